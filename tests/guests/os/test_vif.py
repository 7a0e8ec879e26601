"""Virtual interfaces: how they come and go, and what becomes of the packets and pages that were in their rings."""

import pytest

from tests.guests.os.net_rig import MS, US, Rig, costs
from xengym.machine.memory_costs import HOST_PAGES

PAGES = 16384


def vif(rig, number=0):
    return rig.section("vif")[number]


class TestConnecting:
    def test_a_front_end_posts_64_buffers(self):
        rig = Rig()
        ring = vif(rig)["rx"]
        assert ring["req_prod"] - ring["req_cons"] == 64
        assert rig.section("grants")["num_granted"].tolist() == [0, 64, 0, 0]

    @pytest.mark.parametrize(("mode", "posted"), [("flip", 64), ("copy", 0), ("emulated", 0)])
    def test_a_page_that_is_offered_in_exchange_is_nobody_s(self, mode, posted):
        rig = Rig(mode=mode)
        assert rig.section("memory")["pages"][1] == PAGES - posted
        assert rig.section("host_memory")["free_pages"][0] == HOST_PAGES - 2 * PAGES + posted

    def test_one_without_an_event_channel_leaves_nothing_behind(self):
        rig = Rig()
        rig.section("port")["in_use"][256:512] = 1
        before = int(rig.section("ports")["num_ports"][0])
        with pytest.raises(ValueError, match="domain 1 or its back end has no event-channel port left"):
            rig.control.create_vif(1, nic=rig.card)
        assert rig.section("ports")["num_ports"][0] == before

    def test_one_whose_back_end_is_down_is_connected_when_that_is_up(self):
        rig = Rig()
        rig.control.crash(0, down_ns=MS, boot_ns=0)
        number = rig.control.create_vif(1, nic=rig.card)
        assert not rig.control.vif_status(number).is_connected
        rig.run(2 * MS)
        assert rig.control.vif_status(number).is_connected


class TestDisconnecting:
    def test_pages_are_what_they_were(self):
        rig = Rig()
        rig.clients("flood", every_ns=50 * US, request_bytes=40)
        rig.kind.set_upcall_masked(1, True)  # packets stay in the ring
        rig.run(MS)
        assert rig.io(1)["rx_pending"] == 19
        rig.control.destroy_vif(0)
        assert rig.section("memory")["pages"][1] == PAGES
        assert rig.section("host_memory")["free_pages"][0] == HOST_PAGES - 2 * PAGES
        assert rig.section("grants")["num_granted"][1] == 0

    def test_packets_in_the_receive_ring_count_as_lost(self):
        rig = Rig()
        rig.clients("flood", every_ns=50 * US, request_bytes=40)
        rig.kind.set_upcall_masked(1, True)
        rig.run(MS)
        rig.control.destroy_vif(0)
        assert (rig.io(1)["rx_packets"], rig.io(1)["rx_dropped"], rig.io(1)["rx_pending"]) == (0, 19, 0)

    def test_packets_that_were_sent_do_not(self):
        rig = Rig()
        rig.clients("ping", every_ns=100 * US, request_bytes=40)
        rig.run(MS)
        sent = int(rig.io(1)["tx_packets"])
        assert sent == 9
        rig.control.destroy_vif(0)
        assert rig.io(1)["tx_dropped"] == 0

    def test_packets_that_wait_in_the_transmit_ring_do(self):
        rig = Rig()
        rig.clients("ping", every_ns=100 * US, request_bytes=40)
        rig.run(MS)
        rig.section("ports")["upcall_masked"][0] = 0
        rig.control.set_vif_credit(0, credit_bytes=40, credit_ns=100 * MS)
        rig.run(MS)
        assert rig.io(1)["tx_pending"] == 9
        rig.control.destroy_vif(0)
        assert (rig.io(1)["tx_pending"], rig.io(1)["tx_dropped"]) == (0, 9)

    def test_work_asked_for_before_is_not_done_on_another_domain_s_rings(self):
        rig = Rig(guests=2, costs=costs(netfront_rx_ns=MS))
        rig.control.destroy_vif(1)
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(1500 * US)  # domain 1 is at its first packet, and its ring has more for it
        rig.control.destroy_vif(0)
        assert rig.control.create_vif(2, nic=rig.card) == 0
        rig.clients("flood", 2, every_ns=100 * US, request_bytes=50)
        rig.run(20 * MS)
        assert rig.kind.served_ns()[1, 1] == rig.host.runstate_ns(1)["running"]
        assert rig.io(2)["rx_packets"] > 0

    def test_another_interface_of_the_domain_takes_over(self):
        rig = Rig()
        rig.control.create_vif(1, nic=rig.card)
        rig.clients("ping", every_ns=MS, request_bytes=40)
        rig.run(2500 * US)
        rig.control.destroy_vif(0)
        rig.run(2 * MS)
        assert rig.asked_and_ended() == (4, 4, 0)
        assert rig.control.vif_status(1).rx_packets == 2


def test_there_are_64_at_most():
    with pytest.raises(ValueError, match=r"max_vifs must be 1\.\.64, found 65"):
        Rig(limits={"max_vifs": 65})
