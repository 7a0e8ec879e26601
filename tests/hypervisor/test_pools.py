"""cpupools worked by hand: who runs where when pCPUs, domains and schedulers move while the machine runs."""

import pytest

from xengym.guests.cpu import HogKind, ListKind, PeriodicKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import PrivilegeError
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Carried, Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.policies.schedulers.registry import make_scheduler, scheduler_names

MS = 1_000_000


def make_host(num_pcpus, *programs, version="4.8"):
    host = Host(Topology.flat(num_pcpus), CreditScheduler(version), [HogKind(), ListKind(), PeriodicKind()])
    control = Poolctl(host)
    for i, program in enumerate(programs):
        control.create_domain(i + 1, program, pcpus=[i % num_pcpus])
    return host, control


def current(host):
    return host.sections["pcpu"]["curr"].tolist()


def running_ms(host, v):
    return host.runstate_ns(v)["running"] / MS


def idle(host, p):
    return len(host.sections["guest_kind"]) + p


class TestPools:
    def test_at_boot_pool_0_holds_every_pcpu(self):
        host, control = make_host(3, Hog())
        assert control.pools() == {0: [0, 1, 2]}
        assert control.pool_of(1) == 0
        assert host.schedulers == {0: host.scheduler}

    def test_a_new_pool_is_empty_and_has_its_own_scheduler(self):
        host, control = make_host(2)
        scheduler = CreditScheduler("3.2")
        assert control.create_pool(scheduler) == 1
        assert control.pools() == {0: [0, 1], 1: []}
        assert host.schedulers[1] is scheduler
        assert host.schedulers[1].cpupool == 1

    def test_there_are_at_most_as_many_pools_as_pcpus(self):
        _, control = make_host(2)
        control.create_pool(CreditScheduler())
        with pytest.raises(ValueError, match="maximum of 2 cpupools"):
            control.create_pool(CreditScheduler())

    @pytest.mark.parametrize("name", scheduler_names())
    def test_nobody_waits_in_a_pool_without_pcpus(self, name):
        host, control = make_host(2, Hog(), Hog())
        pool = control.create_pool(make_scheduler(name))
        assert host.schedulers[pool].queued() == []

    def test_one_scheduler_object_serves_one_pool(self):
        host, control = make_host(2)
        with pytest.raises(ValueError, match="serves cpupool 0 already"):
            control.create_pool(host.scheduler)
        with pytest.raises(ValueError, match="serves cpupool 0 already"):
            control.change_scheduler(host.scheduler)

    def test_a_pool_is_dissolved_when_no_domain_runs_in_it(self):
        host, control = make_host(2, Hog())
        pool = control.create_pool(CreditScheduler())
        control.remove_pcpu(1)
        control.add_pcpu(pool, 1)
        control.move_domain(1, pool)
        with pytest.raises(ValueError, match=r"domains \[1\] run in cpupool 1"):
            control.destroy_pool(pool)
        control.move_domain(1, 0)
        control.destroy_pool(pool)
        assert control.pools() == {0: [0]}
        host.run_until(50 * MS)
        assert current(host) == [0, idle(host, 1)]

    def test_pool_0_stays(self):
        _, control = make_host(1)
        with pytest.raises(ValueError, match="always exists"):
            control.destroy_pool(0)

    def test_only_a_privileged_domain_may_touch_pools(self):
        host, _ = make_host(2, Hog())
        control = Poolctl(host, caller=1)
        for call in (
            lambda: control.create_pool(CreditScheduler()),
            lambda: control.remove_pcpu(0),
            lambda: control.add_pcpu(0, 0),
            lambda: control.move_domain(1, 0),
            lambda: control.change_scheduler(CreditScheduler()),
            lambda: control.destroy_pool(0),
        ):
            with pytest.raises(PrivilegeError):
                call()


class TestPcpus:
    def test_who_runs_on_a_pcpu_that_leaves_goes_on_elsewhere(self):
        host, control = make_host(2, Hog(), Hog())
        host.run_until(5 * MS)
        assert current(host) == [0, 1]
        assert control.remove_pcpu(1) == []
        assert current(host) == [0, idle(host, 1)]
        host.run_until(1005 * MS)
        assert current(host)[1] == idle(host, 1)
        assert running_ms(host, 0) + running_ms(host, 1) == 1010
        assert running_ms(host, 1) == pytest.approx(505, abs=30)

    def test_a_pcpu_in_no_pool_runs_idle_until_it_joins_one(self):
        host, control = make_host(2, Hog(), Hog())
        control.remove_pcpu(1)
        host.run_until(100 * MS)
        assert host.runstate_ns(idle(host, 1))["running"] == 100 * MS
        control.add_pcpu(0, 1)
        host.run_until(200 * MS)
        assert sorted(current(host)) == [0, 1]
        # It looks for work when it joins, and finds what waits: nothing idles from here on.
        assert running_ms(host, 0) + running_ms(host, 1) == 300

    def test_who_is_bound_to_a_pcpu_that_leaves_may_run_anywhere(self):
        host, control = make_host(2, Hog(), Hog())
        control.set_affinity(2, 0, hard=[1], soft=[1])
        host.run_until(5 * MS)
        assert control.remove_pcpu(1) == [(2, 0)]
        assert control.affinity(2, 0) == ([0, 1], [0, 1])

    def test_a_blocked_vcpu_wakes_elsewhere(self):
        host, control = make_host(2, Hog(), WorkList(((MS, 9 * MS),)))
        host.run_until(5 * MS)
        control.remove_pcpu(1)
        host.run_until(31 * MS)  # no boost after a move: it waits for the end of the slice
        assert host.sections["vcpu"]["dispatched_pcpu"][1] == 0

    def test_the_last_pcpu_of_a_pool_with_domains_stays(self):
        _, control = make_host(1, Hog())
        with pytest.raises(ValueError, match=r"pCPU 0 is the last of cpupool 0, in which domains \[1\] run"):
            control.remove_pcpu(0)

    def test_wrong_numbers_are_named(self):
        _, control = make_host(2, Hog())
        with pytest.raises(ValueError, match=r"no pCPU 2 on this host; there are pCPUs 0\.\.1"):
            control.remove_pcpu(2)
        with pytest.raises(ValueError, match="pCPU 0 is in cpupool 0"):
            control.add_pcpu(0, 0)
        with pytest.raises(ValueError, match=r"no cpupool 7 on this host; there are \[0\]"):
            control.add_pcpu(7, 0)
        control.remove_pcpu(1)
        with pytest.raises(ValueError, match="pCPU 1 is in no cpupool"):
            control.remove_pcpu(1)


class TestDomains:
    def split(self):
        host, control = make_host(2, Hog(), Hog(), Hog())
        pool = control.create_pool(CreditScheduler("3.2"))
        control.remove_pcpu(1)
        control.add_pcpu(pool, 1)
        return host, control, pool

    def test_a_domain_runs_in_its_pool_only(self):
        host, control, pool = self.split()
        host.run_until(100 * MS)
        assert running_ms(host, 2) == pytest.approx(100 / 3, abs=30)
        control.move_domain(3, pool)
        before = running_ms(host, 2)
        host.run_until(400 * MS)
        assert running_ms(host, 2) - before == 300
        assert host.sections["vcpu"]["dispatched_pcpu"][2] == 1
        assert running_ms(host, 0) + running_ms(host, 1) == 400 - before

    def test_its_parameters_carry_over(self):
        _, control, pool = self.split()
        control.adjust_domain(3, weight=512, cap=40)
        assert control.move_domain(3, pool) == Carried({"weight": 512, "cap": 40}, [])
        assert control.domain_params(3) == {"weight": 512, "cap": 40}

    def test_its_affinity_is_forgotten(self):
        _, control, pool = self.split()
        control.set_affinity(3, 0, hard=[0])
        control.move_domain(3, pool)
        assert control.affinity(3, 0) == ([0, 1], [0, 1])

    def test_affinity_to_another_pool_alone_is_refused(self):
        _, control, _ = self.split()
        with pytest.raises(ValueError, match="its hard affinity names no pCPU of cpupool 0"):
            control.set_affinity(3, 0, hard=[1])
        with pytest.raises(ValueError, match="its hard affinity names no pCPU of cpupool 1"):
            control.create_domain(9, Hog(), pool=1, hard_affinity=[0])
        with pytest.raises(ValueError, match=r"no cpupool 5 on this host; there are \[0, 1\]"):
            control.create_domain(9, Hog(), pool=5)

    def test_a_pool_without_pcpus_takes_no_domain(self):
        _, control = make_host(2, Hog())
        pool = control.create_pool(CreditScheduler())
        with pytest.raises(ValueError, match="cpupool 1 has no pCPU on which domain 1 could run"):
            control.move_domain(1, pool)

    def test_work_under_way_is_not_lost(self):
        host, control = make_host(2, WorkList(((30 * MS, 20 * MS),), loop=False))
        pool = control.create_pool(CreditScheduler())
        control.remove_pcpu(1)
        control.add_pcpu(pool, 1)
        host.run_until(10 * MS)
        control.move_domain(1, pool)
        host.run_until(29 * MS)
        assert host.sections["vcpu"]["segments"][0] == 0
        host.run_until(31 * MS)
        assert host.sections["vcpu"]["segments"][0] == 1

    def test_a_paused_domain_moves_and_stays_paused(self):
        host, control, pool = self.split()
        host.run_until(10 * MS)
        control.pause_domain(3)
        control.move_domain(3, pool)
        before = running_ms(host, 2)
        host.run_until(60 * MS)
        assert running_ms(host, 2) == before
        control.unpause_domain(3)
        host.run_until(80 * MS)
        assert running_ms(host, 2) == before + 20

    def test_a_domain_is_created_in_a_pool(self):
        host, control, pool = self.split()
        control.create_domain(9, Hog(), pool=pool)
        host.run_until(50 * MS)
        assert current(host)[1] == 3


class TestChangeOfScheduler:
    def test_the_domains_go_on_where_they_are_under_the_new_one(self):
        host, control = make_host(2, Hog(), Hog(), WorkList(((2 * MS, 8 * MS),)))
        control.adjust_domain(1, weight=512)
        host.run_until(55 * MS)
        before, now = current(host), [running_ms(host, v) for v in range(3)]
        new = CreditScheduler("3.0.3")
        carried = control.change_scheduler(new)
        assert host.scheduler is new
        assert carried == {
            1: Carried({"weight": 512}, []),
            2: Carried({"weight": 256}, []),
            3: Carried({"weight": 256}, []),
        }
        assert control.domain_params(1) == {"weight": 512, "cap": 0}
        assert [running_ms(host, v) for v in range(3)] == now
        host.run_until(55 * MS, inclusive=True)
        assert current(host) == before
        host.run_until(1055 * MS)
        assert sum(running_ms(host, v) for v in range(3)) == pytest.approx(2 * 1055, abs=25)
        assert host.sections["vcpu"]["segments"][2] > 80

    @pytest.mark.parametrize("name", scheduler_names())
    def test_a_move_under_way_ends_where_the_new_affinity_allows(self, name):
        # The pass that would have moved it is still to come when the scheduler changes: pCPU 0 is not allowed any more.
        host, control = make_host(3, Hog())
        host.run_until(5 * MS)
        assert current(host)[0] == 0
        control.set_affinity(1, 0, hard=[2])
        control.change_scheduler(make_scheduler(name))
        assert host.sections["vcpu"]["pcpu"][0] == 2
        host.run_until(6 * MS)
        assert current(host)[0] != 0

    def test_affinities_stay(self):
        host, control = make_host(2, Hog(), Hog())
        control.set_affinity(2, 0, hard=[1])
        host.run_until(5 * MS)
        control.change_scheduler(CreditScheduler("3.2"))
        assert control.affinity(2, 0)[0] == [1]
        host.run_until(100 * MS)
        assert current(host)[1] == 1

    def test_a_capped_vcpu_that_is_parked_is_freed_and_capped_anew(self):
        host, control = make_host(1, Hog())
        control.adjust_domain(1, cap=25)
        host.run_until(40 * MS)
        assert host.sections["vcpu"]["pause_count"][0] == 1
        assert control.change_scheduler(CreditScheduler("4.8"))[1].params == {"weight": 256, "cap": 25}
        assert host.sections["vcpu"]["pause_count"][0] == 0
        before = running_ms(host, 0)
        host.run_until(4040 * MS)
        assert running_ms(host, 0) - before == pytest.approx(1000, abs=31)

    def test_a_snapshot_from_before_brings_the_old_scheduler_back(self):
        host, control = make_host(2, Hog(), Hog(), Hog())
        host.run_until(50 * MS)
        snapshot = host.snapshot()
        host.run_until(300 * MS)
        expected = host.digest()
        host.restore(snapshot)
        control.change_scheduler(CreditScheduler("3.2"))
        host.run_until(90 * MS)
        host.restore(snapshot)
        assert host.scheduler.version == "4.8"
        host.run_until(300 * MS)
        assert host.digest() == expected

    def test_a_snapshot_with_several_pools_restores_into_another_host(self):
        host, control = make_host(2, Hog(), Hog(), Hog())
        pool = control.create_pool(CreditScheduler("3.2"))
        control.remove_pcpu(1)
        control.add_pcpu(pool, 1)
        control.move_domain(2, pool)
        host.run_until(50 * MS)
        other, _ = make_host(2)
        other.restore(host.snapshot())
        assert other == host
        host.run_until(300 * MS)
        other.run_until(300 * MS)
        assert other.digest() == host.digest()
        assert Poolctl(other).pools() == {0: [0], 1: [1]}

    def test_reset_leaves_one_pool(self):
        host, control = make_host(2, Hog())
        control.create_pool(CreditScheduler())
        control.remove_pcpu(1)
        host.reset(0)
        assert control.pools() == {0: [0, 1]}
