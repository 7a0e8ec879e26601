"""A cluster of full hosts: it agrees with the fluid one where that is exact, and keeps its laws through failures."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.interface import Cluster
from xengym.hypervisor.cluster.specs import ClusterSpec, DemandTable, DomainSpec, HostSpec, LinkSpec
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.cluster_state import POWERS
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.migration_state import STAGES
from xengym.scenarios.event_cluster import EventCluster
from xengym.units import S_NS

SMALL = MemoryModel((Region(2_000), Region(500, 20_000.0), Region(1_500, 400.0)), 200)
ON = POWERS.index("on")
STANDING = range(STAGES.index("stop-and-copy"), STAGES.index("activation") + 1)


def a_spec(**changes: Any) -> ClusterSpec:
    rng = np.random.default_rng(3)
    table = DemandTable(rng.integers(0, 10_001, (6, 20), dtype=np.uint16), sample_ns=2 * S_NS)
    domains = [DomainSpec(SMALL, trace_row=i, host=i % 2, vcpus=1 + i % 2, size_pcpus=1 + i % 2) for i in range(6)]
    values = {
        "hosts": [HostSpec(4, 20_000, speed=1.25 if i == 2 else 1.0) for i in range(3)],
        "domains": domains,
        "demand": table,
    }
    return ClusterSpec(**{**values, **changes})


def copies(c: EventCluster, slot: int) -> list[tuple[int, bool]]:
    """Where a slot's domain exists, and whether it is paused there."""
    found = []
    for number, machine in enumerate(c.machines):
        domains = machine.host.sections["domain"]
        here = np.flatnonzero((domains["in_use"] != 0) & (domains["domid"] == slot + 1))
        found += [(number, bool(domains["pause_count"][d])) for d in here]
    return found


def check(c: EventCluster) -> None:
    """One copy of each domain, which runs unless it stands still or its host is dead; pages add up."""
    hosts, domains, moves = c.hosts, c.domains, c.moves
    for slot in range(len(domains)):
        found = copies(c, slot)
        if not domains["in_use"][slot]:
            assert found == []
            continue
        stands = domains["move"][slot] >= 0 and c.migrations["stage"][domains["move"][slot]] in STANDING
        is_dead = hosts["power"][domains["host"][slot]] != ON
        assert found == [(int(domains["host"][slot]), bool(stands or is_dead))]
    used = domains["in_use"] == 1
    coming = (moves["in_use"] == 1) & (moves["is_committed"] == 0)
    here = np.bincount(domains["host"][used], domains["pages"][used], len(hosts))
    aside = np.bincount(moves["target"][coming], domains["pages"][moves["domain"][coming]], len(hosts))
    assert (here + aside + hosts["free_pages"] == hosts["memory_pages"]).all()
    assert (hosts["free_pages"] >= 0).all()
    for machine in c.machines:
        streams = machine.host.sections["stream"]
        ends = sum(machine in (m.source, m.target) for m in c._movers.values())
        assert (streams["domain"] >= 0).sum() == ends
        assert machine.host.now_ns == c.now_ns


def test_it_is_a_cluster():
    c = EventCluster(a_spec())
    assert isinstance(c, Cluster)
    assert c.fidelity == "event"
    check(c)


def test_cpu_and_energy_agree_with_the_fluid_cluster():
    spec = a_spec()
    event, fluid = EventCluster(spec, seed=5), FluidCluster(spec)
    for c in (event, fluid):
        c.run_until(40 * S_NS)
    assert event.domains["demanded_ns"] == pytest.approx(fluid.domains["demanded_ns"])
    assert event.domains["granted_ns"] == pytest.approx(fluid.domains["granted_ns"], rel=0.03)
    assert event.hosts["energy_nj"] == pytest.approx(fluid.hosts["energy_nj"], rel=0.01)


@pytest.mark.parametrize("kind", ["live", "stop", "self"])
def test_a_move_takes_as_long_as_in_the_fluid_cluster(kind):
    spec = a_spec(move=MoveSpec(kind=kind))
    results = []
    for c in (EventCluster(spec, seed=5), FluidCluster(spec)):
        c.run_until(3 * S_NS)
        assert c.order_move(0, 2) == 0
        c.run_until(20 * S_NS)
        assert (c.domains["host"][0], c.domains["moves"][0]) == (2, 1)
        results.append((int(c.clock["move_ns"][0]), int(c.domains["downtime_ns"][0])))
    (event_ns, event_down_ns), (fluid_ns, fluid_down_ns) = results
    assert event_ns == pytest.approx(fluid_ns, rel=0.1)
    assert event_down_ns == pytest.approx(fluid_down_ns, rel=0.35)


def test_uplinks_between_racks_bound_the_streams_that_cross_them():
    hosts = [HostSpec(4, 20_000, rack=i // 2) for i in range(4)]
    spec = a_spec(hosts=hosts, racks=(LinkSpec(5e6), LinkSpec(5e6)))
    durations = []
    for c in (EventCluster(spec, seed=5), FluidCluster(spec)):
        c.run_until(3 * S_NS)
        assert c.order_move(0, 2) == 0
        assert c.order_move(1, 3) == 0
        c.run_until(40 * S_NS)
        assert c.domains["moves"][:2].tolist() == [1, 1]
        durations.append(int(c.clock["move_ns"][0]))
    assert durations[0] == pytest.approx(durations[1], rel=0.15)
    assert durations[0] > 2 * SMALL.pages * 4096 / 2.5e6 * S_NS


def test_work_goes_along_and_the_clock_of_the_demand_goes_on():
    spec = a_spec()
    c, still = EventCluster(spec, seed=1), EventCluster(spec, seed=1)
    c.run_until(3 * S_NS)
    c.order_move(0, 2)
    for one in (c, still):
        one.run_until(38 * S_NS)
    assert c.domains["granted_ns"][0] == pytest.approx(still.domains["granted_ns"][0], rel=0.02)


def test_parameters_reach_the_host_and_go_along():
    c = EventCluster(a_spec())
    c.run_until(S_NS)
    assert c.set_params(0, weight=512, cap_pct=40) == 0
    assert Domctl(c.machines[0].host).domain_params(1) == {"weight": 512, "cap": 40}
    c.order_move(0, 2)
    c.set_params(0, weight=777)
    c.run_until(15 * S_NS)
    assert Domctl(c.machines[2].host).domain_params(1) == {"weight": 777, "cap": 40}


def test_a_snapshot_keeps_the_parameters_that_a_move_takes_along():
    c = EventCluster(a_spec())
    c.run_until(S_NS)
    c.order_move(0, 2)
    c.run_until(S_NS + S_NS // 10)
    state = c.snapshot()
    c.set_params(0, weight=777)
    c.restore(state)
    c.set_params(1, weight=500)
    c.run_until(15 * S_NS)
    assert Domctl(c.machines[2].host).domain_params(1) == {"weight": 256, "cap": 0}
    c.restore(state)
    c.run_until(15 * S_NS)
    assert Domctl(c.machines[2].host).domain_params(1) == {"weight": 256, "cap": 0}


def test_clusters_of_neighbouring_seeds_share_no_stream():
    seeds = [{machine.host.seed for machine in EventCluster(a_spec(), seed=seed).machines} for seed in (1, 2)]
    assert len(seeds[0] | seeds[1]) == 6


@pytest.mark.parametrize("what", ["link", "source", "target"])
@pytest.mark.parametrize("stage", ["reservation", "pre-copy", "stop-and-copy", "commitment", "activation"])
def test_a_failure_at_any_stage_leaves_one_copy(stage, what):
    c = EventCluster(a_spec(move=MoveSpec(request_ms=5, commit_ms=5)), seed=2)
    c.run_until(S_NS)
    c.order_move(0, 2)
    while STAGES[c.migrations["stage"][0]] != stage:
        c.run_until(c.now_ns + 1_000_000)
    pages = c.hosts["free_pages"].copy()
    if what == "link":
        c.fail_link(int(c.moves["links"][0][1]))
    else:
        c.fail_host(0 if what == "source" else 2)
    check(c)
    committed = stage == "activation"
    assert c.domains["host"][0] == (2 if committed else 0)
    if not committed:
        assert c.hosts["free_pages"][2] == pages[2] + c.domains["pages"][0]
        assert c.hosts["free_pages"][0] == pages[0]
    before = int(c.domains["granted_ns"][0])
    for host in (0, 2):
        c.wake(host)
    c.run_until(c.now_ns + 20 * S_NS)
    check(c)
    assert c.domains["granted_ns"][0] > before
    assert not c.moves["in_use"].any()


def test_arrivals_and_departures_reach_the_hosts():
    later = DomainSpec(SMALL, arrives_ns=2 * S_NS, leaves_ns=6 * S_NS, demand_frac=0.5)
    c = EventCluster(a_spec(domains=[*a_spec().domains, later], num_domain_slots=7))
    c.run_until(3 * S_NS)
    assert len(copies(c, 6)) == 1
    c.order_move(6, 2)
    c.run_until(5 * S_NS)
    check(c)
    c.run_until(7 * S_NS)
    assert copies(c, 6) == []
    check(c)


class EventHistory(RuleBasedStateMachine):
    """Two clusters live the same history; the second begins anew from a snapshot or a pickle now and then."""

    @initialize(seed=st.integers(0, 1000), kind=st.sampled_from(["live", "stop", "self"]))
    def build(self, seed: int, kind: str) -> None:
        shares = "sedf" if seed % 3 == 0 else "credit"
        hosts = [HostSpec(2 + i, 16_000, shares=shares, wake_ns=S_NS, suspend_ns=S_NS) for i in range(3)]
        spec = a_spec(hosts=hosts, move=MoveSpec(kind=kind), moves_per_host=2)
        self.both = [EventCluster(spec, seed=seed), EventCluster(spec, seed=seed)]

    def do(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        first, second = (getattr(cluster, name)(*arguments, **keywords) for cluster in self.both)
        assert first == second
        return first

    @rule(dt_ms=st.sampled_from([1, 17, 60, 250, 700, 1500]))
    def pass_time(self, dt_ms: int) -> None:
        self.do("run_until", self.both[0].now_ns + dt_ms * 1_000_000)

    @rule(pick=st.integers(0, 1000), dt_ms=st.integers(0, 600))
    def move(self, pick: int, dt_ms: int) -> None:
        possible = np.argwhere(self.both[0].move_mask())
        if len(possible):
            assert self.do("order_move", *map(int, possible[pick % len(possible)])) == 0
            self.do("run_until", self.both[0].now_ns + dt_ms * 1_000_000)

    @rule(pick=st.integers(0, 1000), what=st.sampled_from(["cancel_move", "fail_link", "restore_link", "wake"]))
    def disturb(self, pick: int, what: str) -> None:
        size = {"cancel_move": 6, "wake": 3}.get(what, len(self.both[0].links))
        self.do(what, pick % size)

    @rule(pick=st.integers(0, 1000), suspends=st.booleans())
    def let_a_host_go(self, pick: int, suspends: bool) -> None:
        self.do("suspend" if suspends else "fail_host", pick % 3)

    @rule(domain=st.integers(0, 5), weight=st.integers(1, 1000))
    def change_parameters(self, domain: int, weight: int) -> None:
        self.do("set_params", domain, weight=weight)

    @rule(by_pickle=st.booleans())
    def begin_anew(self, by_pickle: bool) -> None:
        if by_pickle:
            self.both[1] = pickle.loads(pickle.dumps(self.both[1]))
        else:
            state = self.both[1].snapshot()
            self.both[1].run_until(self.both[1].now_ns + S_NS // 3)
            self.both[1].restore(state)

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "both"):
            check(self.both[0])
            assert self.both[0].digest() == self.both[1].digest()


def test_laws_of_clusters_of_full_hosts() -> None:
    run_state_machine_as_test(
        EventHistory, settings=settings(settings.get_profile("ci"), max_examples=15, stateful_step_count=20)
    )
