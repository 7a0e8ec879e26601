"""The whole kind: crash and restart, memory, accounts of CPU time, copies."""

import pickle

import pytest

from tests.guests.os.net_rig import FREE, MS, SECOND, US, Rig, constant, costs
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Loop, Os, Service
from xengym.hypervisor.host import Host
from xengym.machine.io_costs import SPLIT_COSTS
from xengym.machine.memory_costs import HOST_PAGES
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler

FAST = {"mbit_per_s": 1e6}


class TestCrash:
    def test_what_the_card_held_and_the_back_end_had_in_hand_is_lost_and_counted(self):
        rig = Rig(costs=costs(nic_rx_ns=500 * US))
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(2 * MS)
        assert rig.io(0)["nic_pending"] + rig.section("os_vcpu")["num_staged"][0] > 0
        rig.control.crash(0, down_ns=MS, boot_ns=0)
        landed = int(rig.section("nic")["rx_packets"][0])
        assert rig.io(0)["nic_pending"] == 0
        assert rig.io(1)["rx_packets"] + rig.io(1)["rx_dropped"] == landed

    def test_nobody_is_served_until_it_has_booted(self):
        rig = Rig(nic={"delay_ns": 0})
        rig.clients("ping", every_ns=MS, request_bytes=50)
        rig.run(3500 * US)
        rig.control.crash(0, down_ns=4 * MS, boot_ns=2 * MS)
        assert not rig.control.vif_status(0).is_connected
        rig.run(4 * MS - 1)
        assert not rig.control.vif_status(0).is_connected
        rig.run(1)
        assert rig.control.vif_status(0).is_connected
        rig.run_until(9499 * US)
        assert rig.asked_and_ended() == (9, 3, 0)
        rig.run_until(9800 * US)
        assert rig.asked_and_ended() == (9, 9, 0)  # the card held them all the while

    def test_connections_of_guests_outlive_it(self):
        rig = Rig(program=Os(service=Service(constant(MS))), nic={"mbit_per_s": 100.0})
        rig.clients("closed", every_ns=MS, num=4)
        rig.run(SECOND)
        for _ in range(3):
            rig.control.crash(0, down_ns=100 * MS, boot_ns=50 * MS)
            rig.run(SECOND)
        issued, answered, failed = rig.asked_and_ended()
        assert failed == 0
        assert 0 <= issued - answered <= 4
        assert rig.section("os_domain")["crashes"][0] == 3

    def test_its_loops_begin_their_turn_anew(self):
        rig = Rig(programs={0: Os(loops=(Loop(constant(3 * MS), constant(MS)),))})
        rig.run(2 * MS)
        rig.control.crash(0, down_ns=MS, boot_ns=MS)
        rig.run(10 * MS)
        assert rig.at("JOB_DONE") == [7 * MS, 11 * MS]

    def test_one_that_serves_nothing_or_is_down_cannot_crash(self):
        rig = Rig()
        with pytest.raises(ValueError, match="domain 1 serves no devices, or is down already"):
            rig.control.crash(1)
        rig.control.crash(0)
        with pytest.raises(ValueError, match="domain 0 serves no devices, or is down already"):
            rig.control.crash(0)

    def test_a_driver_domain_that_is_another_s_guest_gets_its_packets_again(self):
        rig = Rig(limits={"max_nics": 2})
        rig.control.create_nic(1)  # so that it may crash
        rig.clients("ping", every_ns=MS, request_bytes=50)
        rig.run(5500 * US)
        rig.control.crash(1, down_ns=MS, boot_ns=MS)
        rig.run(5 * MS)
        assert rig.asked_and_ended()[1] >= 7
        assert rig.control.vif_status(0).is_connected

    def test_a_domain_that_is_destroyed_while_it_is_down_does_not_come_back(self):
        rig = Rig()
        rig.control.crash(0, down_ns=MS)
        rig.domctl.destroy_domain(0)
        rig.run(10 * MS)
        assert not rig.section("vif")["in_use"].any()


class TestMemory:
    def test_pages_come_from_the_host_and_go_back(self):
        rig = Rig()
        assert rig.section("host_memory")["free_pages"][0] == HOST_PAGES - 2 * 16384 + 64
        rig.domctl.destroy_domain(1)
        rig.domctl.destroy_domain(0)
        assert rig.section("host_memory")["free_pages"][0] == HOST_PAGES

    def test_a_domain_that_needs_more_than_there_is_is_refused_before_anything_is_changed(self):
        rig = Rig()
        before = rig.host.digest()
        with pytest.raises(ValueError, match=r"domain 3: needs 1048576 pages, but 1015808 are free"):
            rig.domctl.create_domain(3, Os(memory_pages=HOST_PAGES))
        assert rig.host.digest() == before


class TestAccounts:
    def test_what_was_done_for_a_domain_that_is_gone_stays_in_the_sum(self):
        rig = Rig(costs=SPLIT_COSTS)
        rig.clients("ping", every_ns=100 * US, request_bytes=50)
        rig.run(10 * MS)
        served = int(rig.kind.served_ns()[0, 1])
        rig.domctl.destroy_domain(1)
        idle_ns = int(rig.io(0)["idle_ns"])
        assert rig.domctl.create_domain(9, Os()) == 1
        assert rig.kind.served_ns()[0, 1] == 0
        assert rig.io(0)["idle_ns"] == idle_ns + served > idle_ns


class TestCopies:
    @pytest.mark.parametrize("how", ["restore", "pickle"])
    def test_a_host_goes_on_in_its_copy_as_it_would_itself(self, how):
        def make():
            rig = Rig(guests=2, costs=SPLIT_COSTS, program=Os(service=Service(constant(MS))), nic={"loss_frac": 0.01})
            rig.control.set_callee(1, 2)
            return rig

        rig = make()
        rig.clients("closed", every_ns=MS, num=8)
        rig.control.create_transfer(2, None)
        rig.run(300 * MS)
        rig.control.crash(0)
        rig.run(10 * MS)
        if how == "pickle":
            copy = pickle.loads(pickle.dumps(rig.host))
        else:
            copy = make().host
            copy.restore(rig.host.snapshot())
        for _ in range(5):
            rig.run(200 * MS)
            copy.run_until(rig.host.now_ns, inclusive=True)
            assert copy.digest() == rig.host.digest()

    def test_a_kind_serves_one_host(self):

        rig = Rig()
        with pytest.raises(ValueError, match="os: this object serves another host; each host needs its own"):
            Host(Topology.flat(1), CreditScheduler(), [rig.kind], max_domains=4, max_vcpus=16)

    def test_a_host_has_64_domains_with_devices_at_most(self):
        with pytest.raises(ValueError, match="at most 64 domains on a host with devices, found 65"):
            OsKind(FREE, 65, 65)
