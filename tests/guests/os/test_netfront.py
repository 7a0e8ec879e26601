"""The front end: what packets cost a guest, when it wants to be told, how many buffers it posts."""

import pytest

from tests.guests.os.net_rig import MS, US, Rig, constant, costs
from xengym.guests.os.specs import Os, Service

GUEST = {
    "netfront_rx_ns": 1300, "netfront_tx_ns": 800, "stack_rx_ns": 2000, "stack_rx_per_kib_ns": 1024,
    "stack_tx_ns": 2500, "stack_tx_per_kib_ns": 512, "checksum_per_kib_ns": 2048, "small_pages_ns": 2400,
    "ack_ns": 500, "nic_rx_ns": 1000, "nic_tx_ns": 350, "inline_rx_ns": 890, "inline_tx_ns": 670, "exit_ns": 2500,
    "exits_per_packet": 6,
}  # fmt: skip


def own_ns(rig):
    return int(rig.kind.served_ns()[1, 1])


class TestCosts:
    @pytest.mark.parametrize(
        ("mode", "driver_ns"),
        [("flip", 1300), ("copy", 1300), ("emulated", 1300 + 15000), ("inline", 1890), ("native", 1000)],
    )
    def test_of_a_packet_received(self, mode, driver_ns):
        rig = Rig(mode=mode, costs=costs(**GUEST))
        rig.clients("flood", every_ns=MS, request_bytes=500)
        rig.run(1900 * US)
        assert own_ns(rig) == driver_ns + 2000 + 500

    @pytest.mark.parametrize(
        ("mode", "is_offloading", "cost_ns"),
        [
            ("flip", False, 800 + 2500 + 250 + 1000 + 2400),
            ("flip", True, 800 + 2500 + 250),
            ("emulated", False, 800 + 15000 + 2500 + 250 + 1000 + 2400),
            ("inline", False, 350 + 670 + 2500 + 250 + 1000 + 2400),
            ("native", False, 350 + 2500 + 250 + 1000),
            ("native", True, 350 + 2500 + 250),
        ],
    )
    def test_of_a_packet_sent(self, mode, is_offloading, cost_ns):
        service = Service(constant(0), sizes_bytes=((1.0, 500),))
        rig = Rig(mode=mode, costs=costs(**GUEST), program=Os(service=service), vif={"is_offloading": is_offloading})
        rig.clients("closed", every_ns=100 * MS, request_bytes=500)
        rig.run(99 * MS)
        assert rig.population()["answered"] in (0, 1)
        if rig.population()["answered"] == 0:
            rig.run(50 * MS)
        receive = {"inline": 1890, "native": 1000}.get(mode, 1300 + 15000 * (mode == "emulated"))
        # The request and its answer; the client acknowledges that.
        assert own_ns(rig) == receive + 2000 + 500 + cost_ns + receive + 500


class TestBatches:
    def test_what_has_come_while_it_waited_for_the_cpu_is_one_batch(self):
        rig = Rig(costs=costs(upcall_ns=1000, port_ns=200, netfront_rx_ns=50))
        rig.run(1)
        rig.domctl.pause_domain(1)
        rig.clients("flood", every_ns=100 * US, request_bytes=40)
        rig.run(2050 * US - 1)
        upcalls = int(rig.section("ports")["upcalls"][1])
        rig.domctl.unpause_domain(1)
        rig.run(20 * US)
        assert rig.at("FRONTEND_RX") == [2_050_000 + 1000 + 200 + 20 * 50] * 20
        assert rig.section("ports")["upcalls"][1] == upcalls == 1

    def test_64_packets_at_most(self):
        rig = Rig(costs=costs(netfront_rx_ns=1000))
        rig.section("vif")["rx_target"][0] = 256
        rig.clients("flood", every_ns=100 * US, request_bytes=40)
        rig.run(1 * MS)
        rig.domctl.pause_domain(1)
        rig.run(10 * MS)
        seen = len(rig.at("FRONTEND_RX"))
        rig.domctl.unpause_domain(1)
        rig.run(200 * US)
        at = rig.at("FRONTEND_RX")[seen:]
        assert at.count(at[0]) == 64

    def test_few_notifications_under_load(self):
        rig = Rig(costs=costs(netfront_rx_ns=90 * US), nic={"mbit_per_s": 100.0})
        rig.clients("flood", every_ns=100 * US, request_bytes=40)
        rig.run(50 * MS)
        few = int(rig.section("vif")[0]["rx"]["notifications"])
        rig = Rig(costs=costs(netfront_rx_ns=110 * US), nic={"mbit_per_s": 100.0})
        rig.clients("flood", every_ns=100 * US, request_bytes=40)
        rig.run(50 * MS)
        assert few > 480
        assert rig.section("vif")[0]["rx"]["notifications"] < 5  # it never finds its ring empty


class TestBuffers:
    def test_one_less_after_each_batch_that_left_enough(self):
        rig = Rig()
        rig.domctl.pause_domain(1)
        rig.clients("flood", every_ns=100 * US, request_bytes=40)
        rig.run(7 * MS)
        rig.domctl.unpause_domain(1)
        rig.run(0)
        target = int(rig.section("vif")["rx_target"][0])
        rig.run(1000 * US)
        assert rig.section("vif")["rx_target"][0] == target - 10


class TestSentPackets:
    def test_ids_come_back_when_half_of_those_outstanding_are_done(self):
        rig = Rig(costs=costs(netback_tx_ns=US))
        rig.control.create_transfer(1, None, window=100)
        rig.run(SECONDS)
        vif = rig.section("vif")[0]
        assert vif["tx"]["req_prod"] > 900
        assert vif["num_tx_free"] + (int(vif["tx"]["req_prod"]) - int(vif["tx"]["rsp_cons"])) == 256

    def test_what_no_ring_has_room_for_is_lost_and_counted(self):
        # Batches were begun for an interface with its own driver, which takes larger packets than a ring has slots for.
        rig = Rig(limits={"max_nics": 2}, costs=costs(stack_tx_ns=100 * US), mode="native", vif={"is_offloading": True})
        rig.control.create_transfer(1, None, window=64)
        rig.run(MS)
        assert rig.section("os_vcpu")["num_staged"][1] == 64
        split = rig.control.create_nic(0)
        rig.control.destroy_vif(0)
        rig.control.create_vif(1, nic=split)
        rig.run(10 * MS)
        vif = rig.section("vif")[0]
        assert 0 <= vif["num_tx_free"] <= 256
        assert rig.io(1)["tx_dropped"] == 64 - 16


SECONDS = 2_000 * MS
