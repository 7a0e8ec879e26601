"""Interrupts and the order of work: one ping step by step, masks, the order of a scan, what a crash leaves."""

import pytest

from tests.guests.os.net_rig import MS, US, Rig, constant, costs
from xengym.guests.os.specs import Loop, Os

ROUND = costs(
    upcall_ns=1000, port_ns=200, hypercall_ns=400, nic_irq_ns=3000, nic_rx_ns=2000, bridge_ns=500, netback_rx_ns=1100,
    flip_ns=4000, flip_batch_ns=700, netfront_rx_ns=1300, echo_ns=600, netfront_tx_ns=900, netback_tx_ns=1700,
    map_ns=800, nic_tx_ns=350, tx_done_ns=250,
)  # fmt: skip


class TestPing:
    def test_step_by_step_through_a_driver_domain(self):
        rig = Rig(costs=ROUND)
        rig.clients("ping", every_ns=MS, request_bytes=100)
        rig.run(1900 * US)
        assert rig.log(
            "CLIENT_SEND", "NIC_IN", "ROUTED", "BACKEND_RX", "FRONTEND_RX", "FRONTEND_TX", "BACKEND_TX", "NIC_OUT",
            "CLIENT_DONE",
        ) == [
            (1_000_000, "CLIENT_SEND", 1),
            (1_100_000, "NIC_IN", 1),
            (1_106_700, "ROUTED", 1),  # upcall, port, interrupt, driver, bridge
            (1_112_500, "BACKEND_RX", 1),  # back end, flip and its batch
            (1_115_600, "FRONTEND_RX", 1),  # upcall, port, front end, protocols
            (1_117_100, "FRONTEND_TX", 1),  # protocols, front end
            (1_118_100, "BACKEND_TX", 1),  # taken at the end of the upcall
            (1_121_650, "NIC_OUT", 1),  # port, back end, bridge, mapping, driver
            (1_221_650, "CLIENT_DONE", 1),
        ]  # fmt: skip
        assert rig.population()["response_ns"] == 221_650

    def test_who_pays_for_it(self):
        rig = Rig(costs=ROUND)
        rig.run(MS)
        before, idle_ns = rig.kind.served_ns(), rig.section("domain_io")["idle_ns"].copy()
        rig.clients("ping", every_ns=MS, request_bytes=100)
        rig.run(1900 * US)
        served = rig.kind.served_ns() - before
        receive, send = 2000 + 500 + 1100 + 4000 + 700 + 400, 1700 + 500 + 800 + 350 + 400
        assert served[0].tolist() == [0, receive + send, 0, 0]
        assert served[1].tolist() == [0, 1300 + 600 + 900 + 600 + 400 + 250, 0, 0]
        idle_ns = rig.section("domain_io")["idle_ns"] - idle_ns
        assert idle_ns[:2].tolist() == [2 * 1200 + 3000, 2 * 1200]

    def test_native_and_inline_take_the_packet_from_the_card_themselves(self):
        for mode, extra_ns in (("native", 0), ("inline", 90)):
            some = {
                "upcall_ns": 1000,
                "port_ns": 200,
                "nic_irq_ns": 3000,
                "nic_rx_ns": 2000,
                "echo_ns": 600,
                "nic_tx_ns": 350,
            }
            rig = Rig(mode=mode, costs=costs(inline_rx_ns=50, inline_tx_ns=40, **some))
            rig.clients("ping", every_ns=MS, request_bytes=100)
            rig.run(1900 * US)
            assert rig.population()["response_ns"] == 200_000 + 1200 + 5600 + 950 + extra_ns


class TestMasks:
    def port(self, rig):
        return int(rig.section("vif")["frontend_port"][0])

    def test_a_masked_port_keeps_its_event_until_it_is_unmasked(self):
        rig = Rig()
        rig.clients("ping", request_bytes=100)
        rig.kind.set_port_masked(1, self.port(rig), True)
        rig.run(5 * MS - 1)
        assert rig.asked_and_ended() == (4, 0, 0)
        assert rig.io(1)["rx_pending"] == 4
        rig.kind.set_port_masked(1, self.port(rig), False)
        rig.run_until(5 * MS)
        assert rig.at("FRONTEND_RX") == [5 * MS - 1] * 4

    def test_a_domain_that_holds_off_gets_nothing(self):
        rig = Rig()
        rig.clients("ping", request_bytes=100)
        rig.kind.set_upcall_masked(1, True)
        upcalls = int(rig.section("ports")["upcalls"][1])
        rig.run(5 * MS - 1)
        assert rig.section("ports")["upcalls"][1] == upcalls
        rig.kind.set_upcall_masked(1, False)
        rig.run(0)
        assert rig.at("FRONTEND_RX") == [5 * MS - 1] * 4

    def test_the_next_device_at_a_port_is_not_masked(self):
        rig = Rig()
        rig.kind.set_port_masked(1, self.port(rig), True)
        rig.control.destroy_vif(0)
        rig.control.create_vif(1, nic=rig.card)
        assert not rig.section("ports")["masked"][1].any()

    def test_a_port_that_is_not_in_use_cannot_be_masked(self):
        with pytest.raises(ValueError, match="domain 1 has no port 7"):
            Rig().kind.set_port_masked(1, 7, True)


class TestScan:
    @pytest.mark.parametrize(("is_round_robin", "order"), [(False, [1, 2]), (True, [2, 1])])
    def test_begins_at_the_first_port_or_behind_the_last_one_taken(self, is_round_robin, order):
        rig = Rig(guests=2, programs={0: Os(scans_round_robin=is_round_robin)}, limits={"max_nics": 2})
        rig.control.destroy_vif(1)
        other = rig.control.create_nic(0, mbit_per_s=8.0, delay_ns=0, irq_gap_ns=0)
        rig.control.create_vif(2, nic=other)
        rig.clients("flood", every_ns=MS, request_bytes=50)
        rig.run(1500 * US)  # the last event was that of the first card, at port 0
        rig.kind.set_upcall_masked(0, True)
        rig.clients("flood", 2, every_ns=MS, request_bytes=50)
        rig.run(MS + 100 * US)
        rig.kind.set_upcall_masked(0, False)
        rig.run(100 * US)
        assert [domain for *_, domain in rig.log("ROUTED")] == [1, *order]


class TestSetAside:
    def test_an_event_sets_a_program_aside_and_it_goes_on_after_it(self):
        work = costs(upcall_ns=10 * US, port_ns=5 * US, netfront_rx_ns=85 * US)
        rig = Rig(costs=work, program=Os(loops=(Loop(constant(2 * MS), constant(MS)),)))
        rig.clients("flood", every_ns=1500 * US, request_bytes=100)
        rig.run(2500 * US)
        # The loop began at 0 and was away for 100 us from 1.6 ms on.
        assert rig.at("FRONTEND_RX") == [1_715_000]  # the driver domain took 15 us
        assert rig.at("JOB_DONE") == [2_100_000]

    def test_a_program_is_not_begun_by_a_domain_that_has_crashed(self):
        rig = Rig(programs={0: Os(loops=(Loop(constant(2 * MS), constant(MS)),))})
        rig.run(MS)
        rig.control.crash(0, down_ns=MS, boot_ns=500 * US)
        rig.run(5 * MS)
        # 1 ms down, 0.5 ms to boot, then the turn anew.
        assert rig.at("JOB_DONE") == [4_500_000]

    def test_cpu_time_is_accounted_for_through_a_crash(self):
        rig = Rig(costs=ROUND, programs={0: Os(loops=(Loop(constant(2 * MS), constant(MS)),))})
        rig.clients("ping", every_ns=30 * US, request_bytes=10)
        for _ in range(40):
            rig.run(333_333)
            if not rig.section("os_domain")["has_crashed"][0]:
                rig.control.crash(0, down_ns=MS, boot_ns=500 * US)
            accounted = rig.kind.served_ns()[0].sum() + rig.io(0)["idle_ns"] - rig.kind.outstanding_ns(0)
            assert rig.host.runstate_ns(0)["running"] == accounted
