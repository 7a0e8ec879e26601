"""A scheduler in plain Python, as a user would write it: here a lottery, and policies that go wrong."""

import pickle
import random

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.topology import Topology
from xengym.policies.schedulers import registry
from xengym.policies.schedulers.python_adapter import PythonScheduler
from xengym.policies.schedulers.python_policy import PythonPolicy, register_python_policy
from xengym.policies.schedulers.tunables import Tunable

MS = 1_000_000


class Lottery(PythonPolicy):
    name = "lottery"
    tunables = (Tunable("tickets", 1, 1000, 100, log_scale=True),)

    def attached(self, pool):
        super().attached(pool)
        self.random = random.Random(pool.seed)

    def choose(self, pcpu, candidates, now_ns):
        tickets = [self.pool.param(v, "tickets") for v in candidates]
        return self.random.choices(candidates, tickets)[0], MS


def make_host(policy, num_pcpus=1, num_domains=2, program=None, **options):
    host = Host(Topology.flat(num_pcpus), PythonScheduler(policy, **options), [HogKind(), ListKind()], seed=7)
    control = Poolctl(host)
    for domid in range(1, num_domains + 1):
        control.create_domain(domid, program or Hog())
    return host, control


def running_ms(host):
    return [host.runstate_ns(v)["running"] / MS for v in range(host.sections["clock"]["num_vcpus"][0])]


class TestLottery:
    def test_shares_follow_the_tickets(self):
        host, control = make_host(Lottery)
        control.adjust_domain(1, tickets=300)
        host.run_until(4000 * MS)
        # 4000 draws with p = 3/4: four standard deviations are 110.
        assert running_ms(host)[0] == pytest.approx(3000, abs=110)
        assert sum(running_ms(host)) == 4000

    def test_the_seed_decides(self):
        digests = []
        for seed in (1, 1, 2):
            host, _ = make_host(Lottery)
            host.reset(seed)
            for domid in (1, 2):
                Poolctl(host).create_domain(domid, Hog())
            host.run_until(100 * MS)
            digests.append(host.digest())
        assert digests[0] == digests[1] != digests[2]

    @pytest.mark.parametrize("how", ["restore", "pickle", "elsewhere"])
    def test_a_snapshot_holds_the_policy_s_own_state(self, how):
        host, control = make_host(Lottery, num_pcpus=2, num_domains=4, program=WorkList(((3 * MS, 2 * MS),)))
        control.adjust_domain(2, tickets=7)
        host.run_until(50 * MS)
        snapshot = host.snapshot()
        if how == "pickle":
            other = pickle.loads(pickle.dumps(host))
        elif how == "elsewhere":
            other, _ = make_host(Lottery, num_pcpus=2, num_domains=0)
            other.restore(snapshot)
        host.run_until(300 * MS)
        if how == "restore":
            expected = host.digest()
            host.restore(snapshot)
            host.run_until(300 * MS)
            assert host.digest() == expected
        else:
            other.run_until(300 * MS)
            assert other.digest() == host.digest()

    def test_a_restored_host_and_its_original_stay_equal_when_domains_come(self):
        # Equal states must have equal digests, whichever of their parts are the same objects.
        host, _ = make_host(Lottery)
        other, _ = make_host(Lottery, num_domains=0)
        other.restore(host.snapshot())
        for each in (host, other):
            Poolctl(each).create_domain(9, Hog())
        assert other.digest() == host.digest()

    def test_parameters_have_limits(self):
        _, control = make_host(Lottery)
        with pytest.raises(ValueError, match=r"domain 1, .*lottery: tickets must be an integer 1\.\.1000, found 0"):
            control.adjust_domain(1, tickets=0)
        with pytest.raises(ValueError, match="unknown parameter weight; expected one of: tickets"):
            control.adjust_domain(1, weight=5)
        assert control.domain_params(1) == {"tickets": 100}


class TestOperations:
    def test_a_policy_is_told_who_comes_wakes_and_goes(self):
        class Recorder(PythonPolicy):
            name = "recorder"

            def attached(self, pool):
                super().attached(pool)
                self.told = []

            def vcpu_added(self, vcpu):
                self.told.append(("added", vcpu))

            def vcpu_removed(self, vcpu):
                self.told.append(("removed", vcpu))

            def woken(self, vcpu, now_ns):
                self.told.append(("woken", vcpu, now_ns // MS))

            def choose(self, pcpu, candidates, now_ns):
                self.told.append(("choose", pcpu, candidates, now_ns // MS))
                return candidates[0], None

        host, control = make_host(Recorder, num_domains=1, program=WorkList(((2 * MS, 3 * MS),)))
        host.run_until(6 * MS)
        control.destroy_domain(1)
        told = host.scheduler.policy.told
        assert told == [
            ("added", 0), ("woken", 0, 0), ("choose", 0, [0], 0), ("woken", 0, 5), ("choose", 0, [0], 5),
            ("removed", 0),
        ]  # fmt: skip

    def test_it_sees_the_pool(self):
        class Looker(PythonPolicy):
            name = "looker"

            def attached(self, pool):
                super().attached(pool)
                self.seen = []

            def choose(self, pcpu, candidates, now_ns):
                pool = self.pool
                v = candidates[-1]
                self.seen.append(
                    (pool.pcpus(), pool.current(pcpu), pool.domain_of(v), pool.domid_of(v), pool.cpu_ns(v) // MS,
                     pool.now_ns == now_ns, pool.seed)
                )  # fmt: skip
                return v, 10 * MS

        host, _ = make_host(Looker)
        host.run_until(25 * MS)
        assert host.scheduler.policy.seen == [
            ([0], None, 1, 2, 0, True, 7), ([0], 1, 0, 1, 0, True, 7), ([0], 0, 1, 2, 10, True, 7),
        ]  # fmt: skip

    def test_a_policy_that_fails_stops_time_and_its_error_is_raised(self):
        class Faulty(PythonPolicy):
            name = "faulty"

            def choose(self, pcpu, candidates, now_ns):
                if now_ns >= 10 * MS:
                    raise RuntimeError("out of ideas")
                return candidates[-1], 5 * MS

        host, _ = make_host(Faulty)
        with pytest.raises(RuntimeError, match="out of ideas"):
            host.run_until(100 * MS)
        assert host.now_ns == 10 * MS
        assert sum(running_ms(host)) == 10
        # The machine is sound: the default was taken, and one may go on.
        with pytest.raises(RuntimeError, match="out of ideas"):
            host.run_until(100 * MS)
        assert host.now_ns > 10 * MS

    def test_what_it_may_not_choose_is_refused(self):
        class Stubborn(PythonPolicy):
            name = "stubborn"

            def choose(self, pcpu, candidates, now_ns):
                return 40, None

        host, _ = make_host(Stubborn, slice_us=10_000)
        host.run_until(100 * MS)
        assert host.scheduler.counters() == {"decisions": 10, "refused": 10}
        assert running_ms(host) == [50, 50]

    def test_a_policy_without_a_choice_says_so(self):
        host, _ = make_host(PythonPolicy)
        with pytest.raises(NotImplementedError, match="scheduler 'python' does not say how to choose"):
            host.run_until(MS)


class TestRegistration:
    def test_a_registered_policy_is_a_scheduler_by_name(self):
        class Mine(Lottery):
            name = "my-lottery"

        register_python_policy(Mine)
        try:
            scheduler = registry.make_scheduler("my-lottery", slice_us=500)
            assert (scheduler.name, scheduler.version) == ("my-lottery", "current")
            assert registry.scheduler_versions("my-lottery") == ["current"]
            assert "my-lottery" in registry.scheduler_names()
            with pytest.raises(ValueError, match="'my-lottery' is registered already"):
                register_python_policy(Mine)
            with pytest.raises(ValueError, match="unknown version '2' of scheduler 'my-lottery'"):
                registry.make_scheduler("my-lottery", "2")
        finally:
            registry._REGISTERED.pop("my-lottery")
