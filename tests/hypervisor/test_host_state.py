"""A host's state as a whole: snapshot, equality, digest, pickle, reset; and the trace, no part of it."""

import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.programs import Hog, OnOff, Periodic, Replay, Server, WorkList
from xengym.guests.server import ReplayKind, ServerKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.costs import Costs
from xengym.machine.state import TRACE_DTYPE
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
EXPONENTIAL = DistributionSpec("exponential", 2e6)


def make_host(num_pcpus=2, version="4.5", seed=0, **limits):
    kinds = [HogKind(), PeriodicKind(), ListKind(), OnOffKind(), ServerKind(8), ReplayKind(8)]
    return Host(Topology.flat(num_pcpus), CreditScheduler(version), kinds, seed=seed, **limits)


def busy_host(seed=0, **limits):
    """A host with one domain of every program, more load than pCPUs, and random streams in use."""
    host = make_host(seed=seed, **limits)
    control = Domctl(host)
    control.create_domain(0, Periodic(MS, 7 * MS), name="Domain-0")
    control.create_domain(1, Hog(), num_vcpus=2, params={"weight": 512, "cap": 80})
    control.create_domain(2, WorkList(((3 * MS, 2 * MS), (MS, -1))), start_ns=4 * MS)
    control.create_domain(3, OnOff(EXPONENTIAL, DistributionSpec("pareto", 3e6, 2.5)))
    control.create_domain(4, Server(DistributionSpec("exponential", 4e6), EXPONENTIAL), num_vcpus=2)
    control.create_domain(5, Replay(np.array([10, 90, 40], dtype=np.uint8), sample_ns=50 * MS, spread=0.5))
    return host


class TestSnapshot:
    def test_a_restored_host_continues_exactly_as_the_original_did(self):
        host = busy_host()
        host.run_until(123 * MS)
        snapshot = host.snapshot()
        at_snapshot = host.digest()
        host.run_until(400 * MS)
        first = host.digest()
        host.restore(snapshot)
        assert (host.now_ns, host.digest()) == (123 * MS, at_snapshot)
        host.run_until(400 * MS)
        assert host.digest() == first

    def test_a_snapshot_can_be_restored_into_another_host_built_alike(self):
        host = busy_host(seed=5)
        host.run_until(123 * MS)
        other = make_host(seed=9)
        other.restore(host.snapshot())
        assert other == host
        assert other.seed == 5
        assert other.domain_names == host.domain_names
        for each in (host, other):
            each.run_until(300 * MS)
        assert other.digest() == host.digest()

    def test_a_snapshot_is_not_changed_by_what_the_host_does_next(self):
        host = busy_host()
        host.run_until(50 * MS)
        snapshot = host.snapshot()
        again = host.snapshot()
        Domctl(host).destroy_domain(5)
        host.run_until(90 * MS)
        assert snapshot == again
        assert snapshot.domain_names[5] == "dom5"
        assert snapshot != host.snapshot()

    def test_restoring_takes_back_domains_made_since(self):
        host = busy_host()
        host.run_until(10 * MS)
        snapshot = host.snapshot()
        Domctl(host).create_domain(9, WorkList(((5 * MS, MS),)), name="late")
        host.run_until(30 * MS)
        host.restore(snapshot)
        assert "late" not in host.domain_names.values()
        twin = busy_host()
        for each in (host, twin):
            each.run_until(10 * MS)
            Domctl(each).create_domain(8, WorkList(((2 * MS, 3 * MS),)))
            each.run_until(100 * MS)
        assert host.digest() == twin.digest()

    @pytest.mark.parametrize("limits", [{"max_vcpus": 100}, {"max_domains": 40}, {"num_pcpus": 9}])
    def test_a_snapshot_of_another_layout_is_refused_and_changes_nothing(self, limits):
        host = busy_host()
        before = host.digest()
        with pytest.raises(ValueError, match=r"snapshot holds \d+ bytes of state, this host \d+"):
            host.restore(make_host(**limits).snapshot())
        assert host.digest() == before

    def test_a_snapshot_under_another_set_of_guest_kinds_is_refused(self):
        with pytest.raises(ValueError, match="guest kinds"):
            make_host().restore(Host(Topology.flat(2), CreditScheduler(), [HogKind()]).snapshot())


class TestEqualityAndDigest:
    def test_the_same_seed_and_operations_give_the_same_bytes(self):
        one, two = busy_host(seed=3), busy_host(seed=3)
        for each in (one, two):
            each.run_until(500 * MS)
        assert one == two
        assert one.digest() == two.digest()
        assert one.snapshot() == two.snapshot()

    def test_another_seed_gives_another_course(self):
        one, two = busy_host(seed=3), busy_host(seed=4)
        for each in (one, two):
            each.run_until(500 * MS)
        assert one != two
        served = [each.sections["domain"]["work_submitted_ns"][4] for each in (one, two)]
        assert served[0] != served[1]

    def test_how_the_time_is_cut_into_runs_makes_no_difference(self):
        one, two = busy_host(), busy_host()
        one.run_until(200 * MS)
        for until_ns in range(0, 200 * MS + 1, 333_333):
            two.run_until(until_ns)
        two.run_until(200 * MS)
        assert one.digest() == two.digest()

    def test_one_bit_of_state_changes_the_digest(self):
        host = busy_host()
        before = host.digest()
        host.arena.block[-1] ^= 1
        assert host.digest() != before

    def test_different_lists_are_different_states_before_they_have_started(self):
        hosts = [make_host(), make_host()]
        for host, run_ns in zip(hosts, (MS, 2 * MS), strict=True):
            Domctl(host).create_domain(1, WorkList(((run_ns, MS),)), start_ns=5 * MS)
        assert hosts[0] != hosts[1]
        assert hosts[0].digest() != hosts[1].digest()

    def test_a_host_equals_no_other_kind_of_thing_and_cannot_be_hashed(self):
        host = make_host()
        assert host != host.snapshot()
        assert host.snapshot() != host
        for thing in (host, host.snapshot()):
            with pytest.raises(TypeError, match="unhashable"):
                hash(thing)

    def test_reset_returns_to_the_state_of_a_new_host(self):
        host = busy_host(seed=3)
        Domctl(host).adjust_scheduler(tslice_ms=5, ratelimit_us=0)
        host.run_until(100 * MS)
        host.reset(4)
        assert host.digest() == make_host(seed=4).digest()
        assert (host.now_ns, host.seed, host.domain_names) == (0, 4, {})


class TestPickle:
    def test_a_pickled_host_continues_exactly_as_the_original(self):
        host = busy_host(seed=7, costs=Costs(3_000, 20_000), max_domains=7, max_vcpus=9)
        host.run_until(77 * MS)
        copy = pickle.loads(pickle.dumps(host))
        assert copy == host
        assert (copy.seed, copy.domain_names) == (7, host.domain_names)
        for each in (host, copy):
            each.run_until(300 * MS)
        assert copy.digest() == host.digest()

    def test_a_pickled_scheduler_keeps_its_release_and_options(self):
        options = {"tslice_ms": 5, "ratelimit_us": 300, "migration_delay_us": 70}
        scheduler = CreditScheduler("4.8", idle_ticks=True, **options)
        copy = pickle.loads(pickle.dumps(scheduler))
        hosts = [Host(Topology.flat(2), each, [HogKind()]) for each in (scheduler, copy)]
        assert copy.version == "4.8"
        assert copy.params() == options
        assert hosts[0] == hosts[1]


class TestTrace:
    def test_tracing_has_no_effect_on_the_state(self):
        silent, ring, growing = busy_host(), busy_host(), busy_host()
        ring.start_trace(ring=10)
        growing.start_trace()
        for each in (silent, ring, growing):
            each.run_until(500 * MS)
        assert len(growing.trace_records()) > 1000
        assert ring.digest() == silent.digest() == growing.digest()

    def test_a_growing_trace_keeps_every_record(self):
        host = make_host(1, "3.2")
        Domctl(host).create_domain(1, WorkList(((MS, MS),)))
        host.start_trace()
        host.run_until(2 * 4000 * MS)
        records = host.trace_records()
        assert len(records) > 4 * 4096  # it has grown more than once
        assert host.trace_lost == 0
        switches = records[records["kind"] == TraceKind.SWITCH]
        assert len(switches) == host.sections["clock"]["context_switches"][0] == 8000
        np.testing.assert_array_equal(switches["at_ns"], np.arange(8000) * MS)

    def test_a_ring_keeps_the_newest_in_order_and_counts_the_lost(self):
        growing, ring = busy_host(), busy_host()
        growing.start_trace()
        ring.start_trace(ring=100)
        for each in (growing, ring):
            each.run_until(100 * MS)
        everything = growing.trace_records()
        assert ring.trace_lost == len(everything) - 100
        np.testing.assert_array_equal(ring.trace_records(), everything[-100:])

    def test_a_ring_that_is_not_full_has_lost_nothing(self):
        host = make_host(1)
        host.start_trace(ring=1000)
        Domctl(host).create_domain(1, Hog())
        host.run_until(MS)
        assert host.trace_lost == 0
        records = host.trace_records()
        assert 0 < len(records) < 1000
        assert records.dtype == TRACE_DTYPE
        assert TraceKind.DOMAIN_ADD in records["kind"]

    def test_stopping_keeps_what_was_recorded_and_starting_begins_anew(self):
        host = busy_host()
        assert len(host.trace_records()) == 0
        host.start_trace(ring=5)
        host.run_until(20 * MS)
        host.stop_trace()
        kept = host.trace_records()
        host.run_until(40 * MS)
        np.testing.assert_array_equal(host.trace_records(), kept)
        host.start_trace()
        assert (len(host.trace_records()), host.trace_lost) == (0, 0)

    def test_restoring_does_not_rewind_the_trace(self):
        host = busy_host()
        host.start_trace()
        snapshot = host.snapshot()
        host.run_until(20 * MS)
        once = host.trace_records()
        host.restore(snapshot)
        host.run_until(20 * MS)
        np.testing.assert_array_equal(host.trace_records(), np.concatenate([once, once]))

    @pytest.mark.parametrize("ring", [0, -3])
    def test_a_ring_holds_at_least_one_record(self, ring):
        with pytest.raises(ValueError, match=rf"start_trace: ring must hold at least 1 record, found {ring}"):
            make_host().start_trace(ring=ring)
