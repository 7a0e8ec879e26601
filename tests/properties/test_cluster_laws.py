"""Laws of clusters under random operations, with failures at any moment.

Each history is lived by two clusters: the second is restored from a snapshot or made from a pickle now and then, and
must agree with the first to the last bit.
"""

import pickle
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.properties.cluster_laws import check_laws, sums
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.specs import ClusterSpec, DemandTable, DomainSpec, HostSpec, LinkSpec
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.migration_state import REASONS
from xengym.units import MS_NS, S_NS

HOSTS, SLOTS = 6, 12
memories = st.sampled_from(
    [
        MemoryModel((Region(5_000),)),
        MemoryModel((Region(1_000, 30_000.0), Region(9_000, 500.0)), 200),
        MemoryModel((Region(3_000, 2_000.0, "sweep"),)),
    ]
)
hosts = st.builds(
    HostSpec,
    pcpus=st.integers(1, 4),
    memory_pages=st.integers(20_000, 60_000),
    speed=st.sampled_from([0.75, 1.0, 1.5]),
    rack=st.integers(0, 2),
    storage=st.sampled_from([0, 0, None]),
    devices=st.integers(0, 1),
    shares=st.sampled_from(["credit", "sedf"]),
    nic_bytes_per_s=st.sampled_from([8e6, 20e6, 125e6]),
)
domains = st.builds(
    DomainSpec,
    memory=memories,
    size_pcpus=st.floats(0.1, 3.0),
    vcpus=st.integers(1, 4),
    weight=st.integers(1, 1024),
    cap_pct=st.sampled_from([0, 0, 50]),
    slice_ns=st.integers(0, 3),
    period_ns=st.just(10),
    has_extra=st.booleans(),
    group=st.sampled_from([None, None, 0]),
    devices=st.sampled_from([0, 0, 0, 1]),
    trace_row=st.sampled_from([None, 0, 1]),
    trace_phase=st.integers(0, 20),
    net_bytes_per_s=st.sampled_from([0.0, 3e6, 30e6]),
    disk_bytes=st.sampled_from([0, 3_000_000]),
    arrives_ns=st.sampled_from([0, 0, 0, 1, 15 * S_NS, 40 * S_NS]),
    leaves_ns=st.sampled_from([None, None, None, 20 * S_NS, 50 * S_NS]),
)
moves = st.builds(
    MoveSpec,
    kind=st.sampled_from(["live", "live", "stop", "self"]),
    law=st.sampled_from(["paper", "shipped"]),
    stop_rule=st.sampled_from(["paper", "shipped"]),
    request_ms=st.sampled_from([0.0, 100.0]),
    resume_ms=st.sampled_from([0.0, 300.0]),
    commit_ms=st.sampled_from([0.0, 50.0]),
)


class ClusterHistory(RuleBasedStateMachine):
    @initialize(
        hosts=st.lists(hosts, min_size=2, max_size=HOSTS),
        domains=st.lists(domains, min_size=1, max_size=16),
        move=moves,
        placement=st.sampled_from(["first-fit", "best-fit", "worst-fit", "balance"]),
        seed=st.integers(0, 1000),
    )
    def build(
        self, hosts: list[HostSpec], domains: list[DomainSpec], move: MoveSpec, placement: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        table = DemandTable(rng.integers(0, 10_001, (2, 20), dtype=np.uint16), sample_ns=7 * S_NS)
        hosts = [HostSpec(**{**vars(host), "site": host.rack // 2}) for host in hosts]
        self.spec = ClusterSpec(
            hosts,
            domains,
            racks=(LinkSpec(15e6), None, LinkSpec(30e6)),
            sites={(0, 1): LinkSpec(4e6, 30 * MS_NS), (1, 0): LinkSpec(6e6, 30 * MS_NS)},
            num_domain_slots=SLOTS,
            num_move_slots=4,
            moves_per_host=2,
            demand=table,
            clients=rng.integers(0, 10_001, (20, 2), dtype=np.uint16),
            move=move,
            placement=placement,
            crosses_subnets=seed % 2 == 0,
        )
        if not any(host.site == 1 for host in hosts):
            self.spec = ClusterSpec(**{**vars(self.spec), "sites": {(0, 1): LinkSpec(4e6), (1, 0): LinkSpec(6e6)}})
        self.both = [FluidCluster(self.spec, seed=seed), FluidCluster(self.spec, seed=seed)]
        self.before = sums(self.both[0])

    def do(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        first, second = (getattr(cluster, name)(*arguments, **keywords) for cluster in self.both)
        assert first == second
        return first

    @rule(dt_ns=st.sampled_from([1, 40, 100 * MS_NS, 300 * MS_NS]) | st.integers(1, S_NS))
    def pass_a_little_time(self, dt_ns: int) -> None:
        self.do("run_until", self.both[0].now_ns + dt_ns)

    @rule(dt_ns=st.sampled_from([S_NS, 2 * S_NS, 3 * S_NS, 5 * S_NS, 20 * S_NS]))
    def pass_time(self, dt_ns: int) -> None:
        self.do("run_until", self.both[0].now_ns + dt_ns)

    @rule(pick=st.integers(0, 1000), dt_ns=st.integers(S_NS, 10 * S_NS))
    def move_for_a_while(self, pick: int, dt_ns: int) -> None:
        self.order_one_that_is_possible(pick)
        self.do("run_until", self.both[0].now_ns + dt_ns)

    @rule(domain=st.integers(-1, SLOTS), host=st.integers(-1, HOSTS))
    def order(self, domain: int, host: int) -> None:
        expected = self.do("check_move", domain, host)
        assert self.do("order_move", domain, host) == expected

    @rule(pick=st.integers(0, 1000))
    def order_one_that_is_possible(self, pick: int) -> None:
        possible = np.argwhere(self.both[0].move_mask())
        if len(possible):
            assert self.do("order_move", *map(int, possible[pick % len(possible)])) == 0

    @rule(pick=st.integers(0, SLOTS - 1))
    def cancel(self, pick: int) -> None:
        self.do("cancel_move", pick)

    @rule(pick=st.integers(0, 1000), restores=st.booleans())
    def change_a_link(self, pick: int, restores: bool) -> None:
        self.do("restore_link" if restores else "fail_link", pick % len(self.both[0].links))
        if pick % 3 and not restores:
            self.do("restore_link", pick % len(self.both[0].links))

    @rule(pick=st.integers(0, 1000))
    def let_a_host_die_or_come_back(self, pick: int) -> None:
        if pick % 3 == 0:
            self.do("fail_host", pick % len(self.both[0].hosts))
        else:
            self.do("wake", pick % len(self.both[0].hosts))

    @rule(pick=st.integers(0, 1000), wakes=st.booleans())
    def change_power(self, pick: int, wakes: bool) -> None:
        self.do("wake" if wakes else "suspend", pick % len(self.both[0].hosts))

    @rule(domain=st.integers(0, SLOTS - 1), weight=st.integers(1, 2000), cap_pct=st.sampled_from([0, 30, 150]))
    def change_parameters(self, domain: int, weight: int, cap_pct: int) -> None:
        self.do("set_params", domain, weight=weight, cap_pct=cap_pct)

    @rule(domain=st.integers(0, SLOTS - 1), slice_ns=st.integers(0, 10), has_extra=st.booleans())
    def change_a_reservation(self, domain: int, slice_ns: int, has_extra: bool) -> None:
        self.do("set_params", domain, slice_ns=slice_ns, period_ns=10, has_extra=has_extra)

    @rule(by_pickle=st.booleans())
    def begin_anew(self, by_pickle: bool) -> None:
        if by_pickle:
            self.both[1] = pickle.loads(pickle.dumps(self.both[1]))
        else:
            state = self.both[1].snapshot()
            self.both[1].run_until(self.both[1].now_ns + S_NS)
            self.both[1].restore(state)

    @invariant()
    def laws_hold(self) -> None:
        if not hasattr(self, "both"):
            return
        c = self.both[0]
        check_laws(c)
        assert c.digest() == self.both[1].digest()
        mask = c.move_mask()
        for d in range(0, SLOTS, 5):
            assert mask[d].tolist() == [c.check_move(d, h) == 0 for h in range(len(c.hosts))]
        now = sums(c)
        assert all(now[name] >= self.before[name] for name in now)
        self.before = now
        clock = c.clock[0]
        over = int(clock["moves_done"] + clock["moves_aborted"].sum())
        assert over + clock["active_moves"] == clock["moves_ordered"]
        assert clock["moves_aborted"][REASONS.index("")] == 0
        on_ns, seconds = float(c.hosts["on_ns"].sum()), c.now_ns
        assert on_ns <= seconds * len(c.hosts)


def test_laws_of_clusters() -> None:
    run_state_machine_as_test(
        ClusterHistory, settings=settings(settings.get_profile("ci"), max_examples=60, stateful_step_count=40)
    )
