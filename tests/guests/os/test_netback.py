"""The back end: what flip, copy and emulation cost, batches, buffers that run short, credit, stopped traffic."""

import pytest

from tests.guests.os.net_rig import MS, SECOND, US, Rig, costs

RECEIVE = {
    "netback_rx_ns": 1000,
    "flip_ns": 4000,
    "flip_batch_ns": 700,
    "copy_ns": 300,
    "copy_per_kib_ns": 1024,
    "emulate_ns": 9000,
}
SEND = {"netback_tx_ns": 1000, "bridge_ns": 500, "map_ns": 1600, "nic_tx_ns": 400, "emulate_ns": 9000}


class TestReceiving:
    @pytest.mark.parametrize(
        ("mode", "cost_ns"),
        [("flip", 1000 + 4000 + 700), ("copy", 1000 + 300 + 500), ("emulated", 1000 + 300 + 500 + 9000)],
    )
    def test_what_a_packet_of_500_bytes_costs(self, mode, cost_ns):
        rig = Rig(mode=mode, costs=costs(**RECEIVE))
        rig.clients("flood", every_ns=MS, request_bytes=500)
        rig.run(2 * MS)
        assert rig.at("BACKEND_RX") == [1_500_000 + cost_ns]
        assert rig.kind.served_ns()[0, 1] == cost_ns

    def test_the_hypercalls_of_a_batch_are_shared_by_its_packets(self):
        rig = Rig(costs=costs(**RECEIVE), nic={"irq_gap_ns": 450 * US})
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(750 * US)
        # One packet, then four of the second batch: 700 // 4 each.
        assert rig.kind.served_ns()[0, 1] == 5700 + 4 * (5000 + 175)
        assert rig.at("BACKEND_RX") == [155_700] + [600_000 + 4 * 5175] * 4
        assert rig.section("grants")["num_transfers"][1] == 5

    def test_a_batch_notifies_each_guest_once(self):
        rig = Rig(guests=2, nic={"irq_gap_ns": 10 * MS}, costs=costs(hypercall_ns=100))
        for domid in (1, 2):
            rig.clients("flood", domid, every_ns=MS, request_bytes=50)
        rig.run(5 * MS)
        before = rig.kind.served_ns()[0].tolist()
        rig.run(10 * MS)
        served = rig.kind.served_ns()[0] - before
        assert served.tolist() == [0, 100, 100, 0, 0]
        assert (rig.io(1)["rx_packets"], rig.io(2)["rx_packets"]) == (11, 10)

    def test_without_posted_buffers_packets_are_lost_and_counted(self):
        rig = Rig()
        rig.domctl.pause_domain(1)
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(10 * MS)
        status = rig.control.vif_status(0)
        assert (status.rx_packets, status.rx_dropped) == (64, 35)
        assert rig.io(1)["rx_dropped"] == 35
        assert rig.io(1)["rx_pending"] == 64
        rig.domctl.unpause_domain(1)
        rig.run(0)
        ring = rig.section("vif")[0]["rx"]
        assert ring["req_prod"] - ring["req_cons"] == 256  # it was told to offer more, and more

    def test_a_packet_for_nobody_is_an_orphan(self):
        rig = Rig(nic={"delay_ns": MS})
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(500 * US)
        rig.domctl.destroy_domain(1)
        rig.run(5 * MS)
        assert rig.section("io_host")["orphaned"][0] == 5


class TestSending:
    @pytest.mark.parametrize(
        ("mode", "bytes_", "cost_ns"),
        [("flip", 65, 3500), ("flip", 64, 1900), ("copy", 65, 3500), ("emulated", 65, 12500)],
    )
    def test_what_a_packet_costs(self, mode, bytes_, cost_ns):
        rig = Rig(mode=mode, costs=costs(**SEND))
        rig.clients("ping", every_ns=MS, request_bytes=bytes_)
        rig.run(1900 * US)
        assert rig.at("NIC_OUT") == [1_000_000 + 1000 * bytes_ + 500 + cost_ns + 9000 * (mode == "emulated")]

    def test_interfaces_are_served_in_turn(self):
        rig = Rig(guests=3, costs=costs(netback_tx_ns=10 * US), nic={"mbit_per_s": 1e6})
        for domid in (1, 2, 3):
            rig.control.create_transfer(domid, None, window=100)
        rig.run(20 * MS)
        sent = [int(rig.io(domid)["tx_packets"]) for domid in (1, 2, 3)]
        assert sum(sent) > 1900
        assert max(sent) - min(sent) <= 64

    def test_a_notification_is_sent_only_to_who_waits_for_one(self):
        rig = Rig(costs=costs(netback_tx_ns=10 * US, stack_tx_ns=US), nic={"mbit_per_s": 1e5})
        rig.control.create_transfer(1, None, window=1024)
        rig.run(100 * MS)
        packets = int(rig.io(1)["tx_packets"])
        assert packets > 9000
        assert rig.section("vif")[0]["tx"]["notifications"] < packets / 20


class TestCredit:
    @pytest.mark.parametrize("is_offloading", [False, True])
    def test_no_more_is_sent_than_it_allows(self, is_offloading):
        rig = Rig(
            vif={"credit_bytes": 15_000, "credit_ns": 10 * MS, "is_offloading": is_offloading}, nic={"mbit_per_s": 1e4}
        )
        rig.control.create_transfer(1, None)
        rig.run(2 * SECOND)
        # 1.5 MB/s, and what the first interval allows at once.
        assert rig.io(1)["tx_bytes"] == pytest.approx(3_000_000, rel=0.03)

    def test_it_is_exact_when_the_driver_is_always_there(self):
        rig = Rig(vif={"credit_bytes": 15_000, "credit_ns": 10 * MS}, nic={"mbit_per_s": 1e5})
        rig.control.create_transfer(1, None)
        rig.run_until(99_999_999)
        assert rig.io(1)["tx_bytes"] == 10 * 15_000
        rig.run_until(100 * MS)
        assert rig.io(1)["tx_bytes"] == 11 * 15_000

    def test_looking_for_room_in_the_card_costs_none(self):
        # 1.5 MB/s are allowed and the line takes 1 MB/s: the line decides.
        rig = Rig(vif={"credit_bytes": 15_000, "credit_ns": 10 * MS})
        rig.control.create_transfer(1, None, window=1024)
        rig.run(2 * SECOND)
        nic = rig.section("nic")[0]
        assert nic["wire_out"]["tail"] - nic["departed"] > 150
        assert nic["departed"] * 1500 == pytest.approx(2_000_000, rel=0.01)

    def test_taken_away_it_is_no_limit(self):
        rig = Rig(vif={"credit_bytes": 1_500, "credit_ns": SECOND})
        rig.control.create_transfer(1, None)
        rig.run(MS)
        assert rig.io(1)["tx_packets"] == 1
        rig.control.set_vif_credit(0, credit_bytes=0, credit_ns=0)
        rig.run(MS)
        assert rig.io(1)["tx_packets"] > 1


class TestStoppedTraffic:
    @pytest.mark.parametrize("mode", ["flip", "copy", "inline", "native"])
    def test_nothing_comes_in_and_it_is_counted(self, mode):
        rig = Rig(mode=mode)
        rig.clients("ping", every_ns=MS, request_bytes=50)
        rig.run(2500 * US)
        rig.control.set_traffic(1, allowed=False)
        rig.run(5 * MS)
        assert rig.asked_and_ended() == (7, 2, 0)
        assert (rig.io(1)["rx_packets"], rig.io(1)["rx_dropped"]) == (2, 5)
        rig.control.set_traffic(1, allowed=True)
        rig.run(5 * MS)
        assert rig.asked_and_ended() == (12, 7, 0)

    @pytest.mark.parametrize("mode", ["flip", "native"])
    def test_what_it_sends_waits(self, mode):
        rig = Rig(mode=mode)
        rig.control.set_traffic(1, allowed=False)
        rig.control.create_transfer(1, None, window=5)
        rig.run(MS)
        assert rig.io(1)["tx_packets"] == 0
        rig.control.set_traffic(1, allowed=True)
        rig.run(0)
        assert rig.io(1)["tx_packets"] == 5

    def test_the_driver_does_no_more_than_receive_it(self):
        rig = Rig(costs=costs(nic_rx_ns=1000, bridge_ns=500, netback_rx_ns=100))
        rig.control.set_traffic(1, allowed=False)
        rig.clients("flood", every_ns=MS, request_bytes=50)
        rig.run(5500 * US)
        assert rig.kind.served_ns()[0, 1] == 5 * 1000
