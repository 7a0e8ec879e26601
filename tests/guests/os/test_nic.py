"""Cards: the line, interrupts that are held apart, buffers that can be full, batches, room."""

import pytest

from tests.guests.os.net_rig import MS, US, Rig, costs

FLOOD = {"every_ns": 100 * US, "request_bytes": 50}


def nic(rig):
    return rig.section("nic")[rig.card]


class TestLine:
    def test_packets_come_one_after_another_and_late_by_the_delay(self):
        rig = Rig(nic={"delay_ns": 70 * US})
        rig.clients("flood", every_ns=10 * US, request_bytes=100)
        rig.run(600 * US)
        # Sent at 10, 20, 30; a line of 100 us a packet.
        assert rig.at("NIC_IN") == [180 * US, 280 * US, 380 * US, 480 * US, 580 * US]

    def test_the_way_out_is_a_line_of_its_own(self):
        rig = Rig(nic={"delay_ns": 70 * US})
        rig.clients("ping", every_ns=150 * US, request_bytes=100)
        rig.run(700 * US)
        assert rig.at("NIC_OUT") == [320 * US, 470 * US, 620 * US]
        assert rig.at("CLIENT_DONE") == [490 * US, 640 * US]


class TestInterrupts:
    def test_without_a_gap_each_packet_interrupts(self):
        rig = Rig()
        rig.clients("flood", **FLOOD)
        rig.run(1000 * US)
        assert rig.at("INTERRUPT") == [150 * US + 100 * US * k for k in range(9)]

    def test_a_gap_holds_them_apart_and_packets_come_together(self):
        rig = Rig(nic={"irq_gap_ns": 400 * US})
        rig.clients("flood", **FLOOD)
        rig.run(1000 * US)
        assert rig.at("INTERRUPT") == [150 * US, 550 * US, 950 * US]
        assert rig.at("ROUTED") == [150 * US] + [550 * US] * 4 + [950 * US] * 4

    def test_the_driver_polls_while_there_are_packets(self):
        # A packet each 100 us, and the driver takes 130: after the first interrupt it finds the next one there already.
        rig = Rig(costs=costs(nic_rx_ns=130 * US))
        rig.clients("flood", **FLOOD)
        rig.run(2000 * US)
        assert rig.at("INTERRUPT") == [150 * US]
        assert rig.at("ROUTED")[:6] == [280 * US, 410 * US, 540 * US, 670 * US, 930 * US, 930 * US]

    def test_a_batch_costs_one_interrupt_and_what_its_packets_cost(self):
        rig = Rig(nic={"irq_gap_ns": 400 * US}, costs=costs(nic_irq_ns=7 * US, nic_rx_ns=2 * US, bridge_ns=US))
        rig.clients("flood", **FLOOD)
        rig.run(700 * US)
        assert rig.at("ROUTED") == [160 * US] + [550 * US + 7 * US + 4 * 3 * US] * 4


class TestBuffers:
    def test_without_a_free_buffer_a_packet_is_lost_and_counted(self):
        rig = Rig(nic={"rx_buffers": 3, "irq_gap_ns": MS})
        rig.clients("flood", **FLOOD)
        rig.run(1160 * US)
        # The first interrupt comes with the first packet at 150 us, the second at 1150 us: ten came meanwhile.
        assert (nic(rig)["rx_packets"], nic(rig)["rx_dropped"]) == (4, 7)
        assert rig.io(1)["rx_dropped"] == 7
        assert rig.io(1)["rx_packets"] == 4

    def test_what_waits_in_them_is_known(self):
        rig = Rig(nic={"irq_gap_ns": MS}, costs=costs(nic_rx_ns=10 * MS))
        rig.clients("flood", **FLOOD)
        rig.domctl.pause_domain(0)
        rig.run(5 * MS)
        assert rig.io(0)["nic_pending"] == 1  # worked out when somebody looks: the interrupt of the first
        rig.domctl.unpause_domain(0)
        rig.run(10 * US)
        assert rig.io(0)["nic_pending"] == 0
        assert rig.section("os_vcpu")["num_staged"][0] == 49


class TestRoom:
    def test_a_full_switch_is_waited_for_and_not_for_a_line_that_is_free(self):
        # 1024 packets are under way for a second: nobody can send before the first arrives.
        rig = Rig(nic={"delay_ns": 1000 * MS}, mode="native", vif={"mtu": 68})
        rig.control.create_transfer(1, None, window=4096)
        rig.run(900 * MS)
        assert nic(rig)["wire_out"]["tail"] == 1024
        assert nic(rig)["lost"] == 0
        upcalls = int(rig.section("ports")["upcalls"][1])
        assert upcalls < 50

    def test_large_packets_of_a_native_domain_go_on_when_the_card_is_full(self):
        rig = Rig(nic={"mbit_per_s": 8000.0}, mode="native", vif={"is_offloading": True})
        rig.control.create_transfer(1, None, window=1024)
        rig.run(1000 * MS)
        assert nic(rig)["tx_packets"] * 65536 > 0.95 * 1e9

    @pytest.mark.parametrize("mode", ["flip", "native"])
    def test_no_more_than_256_wait_for_the_line(self, mode):
        rig = Rig(mode=mode, vif={"mtu": 1000})
        rig.control.create_transfer(1, None, window=4096)
        rig.run(100 * MS)
        assert 200 < nic(rig)["wire_out"]["tail"] - nic(rig)["departed"] <= 256


class TestLoss:
    def test_by_chance_as_often_as_asked_and_the_same_each_time(self):
        lost = []
        for _ in range(2):
            rig = Rig(nic={"loss_frac": 0.1})
            rig.clients("flood", **FLOOD)
            rig.run(1000 * MS)
            lost.append(int(nic(rig)["lost"]))
        assert lost[0] == lost[1]
        assert 900 < lost[0] < 1100

    def test_a_card_that_goes_loses_what_is_on_its_cables(self):
        rig = Rig(nic={"delay_ns": 10 * MS})
        rig.clients("flood", **FLOOD)
        rig.run(5 * MS)
        rig.domctl.destroy_domain(0)
        assert nic(rig)["lost"] == 50
        rig.run(5 * MS)
        assert nic(rig)["lost"] == 100


class TestPlugging:
    def test_a_card_without_an_event_channel_is_not_plugged_in(self):
        rig = Rig(limits={"max_nics": 2})
        rig.section("port")["in_use"][:256] = 1
        with pytest.raises(ValueError, match="domain 0 has no event-channel port left"):
            rig.control.create_nic(0)
        assert rig.section("nic")["in_use"].tolist() == [1, 0]

    def test_there_are_16_at_most(self):
        with pytest.raises(ValueError, match=r"max_nics must be 1\.\.16, found 17"):
            Rig(limits={"max_nics": 17})
