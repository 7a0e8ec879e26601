"""Migration policies, each on clusters small enough to know the answer."""

import numpy as np
import pytest

from tests.hypervisor.cluster.rig import PAGES, S, cluster, domain, host
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.specs import DemandTable, LinkSpec
from xengym.machine.cluster_state import POWERS
from xengym.machine.memory_model import MemoryModel, Region
from xengym.policies.control.cluster_view import Decision, View, carry_out
from xengym.policies.control.consolidation import Consolidation, leaving, overload_limit
from xengym.policies.control.hotspots import HotspotsByVolume, ThresholdBalance, volume
from xengym.policies.control.migration_policies import POLICIES, FollowTheLoad, Scripted, make_policy


def decided(policy, c: FluidCluster) -> Decision:
    policy.begin()
    return policy.decide(View.of(c))


def size(pages: int) -> MemoryModel:
    return MemoryModel((Region(pages),))


# --- threshold balance ---------------------------------------------------------------------------------------------


def test_balance_moves_the_domain_that_comes_closest_to_halving_the_gap() -> None:
    # 0.9 of host 0 and 0.1 of host 1: half the gap is 0.4 of 2 pCPUs, which the second domain has (0.8).
    c = cluster(2, [domain(0.4, host=0), domain(0.8, host=0), domain(0.6, host=0), domain(0.2, host=1)])
    assert decided(ThresholdBalance(), c).moves == [(1, 1)]


def test_balance_leaves_what_is_not_busy_or_has_no_gap() -> None:
    assert decided(ThresholdBalance(), cluster(2, [domain(1.5, host=0)])).moves == []
    full = [domain(1.8, host=0), domain(1.7, host=1)]
    assert decided(ThresholdBalance(), cluster(2, full)).moves == []
    # One domain that would only carry the heat along stays.
    assert decided(ThresholdBalance(), cluster(2, [domain(1.9, host=0)])).moves == []


def test_balance_looks_for_another_host_if_the_coolest_is_full() -> None:
    c = cluster(3, [domain(1.0, host=0), domain(0.9, host=0), domain(0.0, host=1, memory=size(4 * PAGES)),
                    domain(0.1, host=2)])  # fmt: skip
    assert decided(ThresholdBalance(), c).moves == [(1, 2)]


# --- by volume -----------------------------------------------------------------------------------------------------


def test_volume_by_hand() -> None:
    product = volume(np.array([0.5, 1.0]), np.array([0.0, 0.0]), np.array([0.75, 0.0]))
    assert product == pytest.approx([8.0, 100.0])


def test_most_volume_for_its_memory_goes_to_the_host_with_least_volume() -> None:
    # Of 2 pCPUs: volumes 1/(1-.4)/(1-.25), 1/(1-.4)/(1-.5): the first has more for a page. Host 2 has less than host 1.
    c = cluster(3, [domain(0.8, host=0), domain(0.8, host=0, memory=size(2 * PAGES)), domain(0.5, host=1)])
    policy = HotspotsByVolume(k=2, n=3)
    policy.begin()
    assert policy.decide(View.of(c)).moves == []  # hot, but only once
    assert policy.decide(View.of(c)).moves == [(0, 2)]


def test_a_host_that_is_hot_no_longer_is_left_alone() -> None:
    table = DemandTable(np.array([[9000, 9000, 1000]], dtype=np.uint16), sample_ns=S)
    c = cluster(2, [domain(2.0, host=0, trace_row=0)], demand=table)
    policy = HotspotsByVolume(k=2, n=3)
    policy.begin()
    policy.decide(View.of(c))
    c.run_until(S)
    policy.history[-1][:] = True
    c.run_until(2 * S)
    assert policy.decide(View.of(c)).moves == []


def test_nothing_goes_where_it_would_be_hot() -> None:
    c = cluster(2, [domain(0.9, host=0), domain(0.9, host=0), domain(1.0, host=1)])
    assert decided(HotspotsByVolume(k=1, n=1), c).moves == []
    with pytest.raises(ValueError, match="1 <= k <= n"):
        HotspotsByVolume(k=3, n=2)


def test_a_network_card_can_be_the_hot_spot() -> None:
    hosts = [host(nic_bytes_per_s=10e6), host(nic_bytes_per_s=10e6)]
    c = cluster(hosts, [domain(0.1, host=0, net_bytes_per_s=5e6), domain(0.1, host=0, net_bytes_per_s=4e6)])
    assert decided(HotspotsByVolume(k=1, n=1), c).moves == [(0, 1)]


# --- consolidation -------------------------------------------------------------------------------------------------


def test_the_limit_by_hand() -> None:
    few = np.full((11, 1), 0.5)
    assert overload_limit(few).tolist() == [0.7]
    # Median 0.5; absolute deviations 0, 0, ..., 0.1 at half of the twelve: their median is 0.05.
    unsteady = np.array([[0.5]] * 6 + [[0.6]] * 3 + [[0.4]] * 3)
    assert overload_limit(unsteady) == pytest.approx([1 - 2.5 * 0.05])
    assert overload_limit(np.full((12, 1), 0.9)).tolist() == [1.0]


def test_smallest_memory_leaves_first_until_the_excess_is_gone() -> None:
    pages, demand = np.array([30, 10, 20, 5]), np.array([0.5, 0.2, 0.3, 0.0])
    assert leaving(pages, demand, 0.1) == [1]
    assert leaving(pages, demand, 0.4) == [1, 2]
    assert leaving(pages, demand, 0.0) == []


def test_an_overloaded_host_sheds_to_where_power_rises_least() -> None:
    # Without history a host may have 0.7 of 2 pCPUs. Host 2 uses 50 W for its pCPUs, host 1 uses 100.
    hosts = [host(), host(), host(busy_watts=150.0)]
    c = cluster(hosts, [domain(1.0, host=0), domain(0.6, host=0, memory=size(PAGES // 2)), domain(0.5, host=1),
                        domain(0.5, host=2)])  # fmt: skip
    decision = decided(Consolidation(), c)
    assert decision.moves[0] == (1, 2)


def test_the_emptiest_host_is_given_up_and_suspended_when_it_is_empty() -> None:
    c = cluster(3, [domain(0.6, host=0), domain(0.5, host=1), domain(0.2, host=2)])
    policy = Consolidation()
    policy.begin()
    decision = policy.decide(View.of(c))
    # The emptiest host's domain goes to the fullest; then the next one's: 1.3 of the 1.4 pCPUs that a host may have.
    assert decision == Decision(wake=[], moves=[(2, 0), (1, 0)], suspend=[])
    assert carry_out(c, decision) == len(decision.moves)
    c.run_until(300 * S)
    decision = policy.decide(View.of(c))
    assert decision == Decision(wake=[], moves=[], suspend=[1, 2])
    carry_out(c, decision)
    assert POWERS[c.hosts["power"][2]] == "suspending"


def test_a_host_whose_domains_do_not_all_fit_elsewhere_stays() -> None:
    c = cluster(2, [domain(1.0, host=0), domain(0.3, host=1), domain(0.3, host=1)])
    assert decided(Consolidation(), c).moves == []


def test_a_host_is_woken_for_what_has_no_place_and_not_suspended_again() -> None:
    hosts = [host(), host(is_on=False), host(is_on=False)]
    c = cluster(hosts, [domain(0.9, host=0), domain(0.9, host=0)])
    policy = Consolidation()
    policy.begin()
    decision = policy.decide(View.of(c))
    assert (decision.wake, decision.moves, decision.suspend) == ([1], [], [])
    carry_out(c, decision)
    c.run_until(300 * S)
    decision = policy.decide(View.of(c))
    assert decision.moves == [(0, 1)]
    assert decision.suspend == []


def test_pinned_domains_hold_their_host() -> None:
    c = cluster(2, [domain(0.6, host=0), domain(0.2, host=1, is_pinned=True)])
    assert (1, 0) not in decided(Consolidation(), c).moves


# --- the others ----------------------------------------------------------------------------------------------------


def test_domains_follow_their_clients_with_a_margin() -> None:
    table = DemandTable(np.full((1, 3), 10_000, dtype=np.uint16), sample_ns=S)
    clients = np.array([[5500, 4500], [3000, 7000], [3000, 7000]], dtype=np.uint16)
    hosts = [host(rack=0, site=0), host(rack=1, site=1), host(rack=1, site=1)]
    c = cluster(
        hosts,
        [domain(0.1, host=0, net_bytes_per_s=1e3), domain(0.1, host=0, net_bytes_per_s=2e3), domain(0.1, host=0),
         domain(0.5, host=1)],
        racks=(None, None), sites={(0, 1): LinkSpec(1e8), (1, 0): LinkSpec(1e8)}, demand=table, clients=clients,
    )  # fmt: skip
    assert decided(FollowTheLoad(), c).moves == []
    c.run_until(S)
    # Who sends most goes first; who sends nothing has no clients to be near to. Host 2 is the less busy one.
    assert decided(FollowTheLoad(), c).moves == [(1, 2), (0, 2)]
    assert decided(FollowTheLoad(moves=1), c).moves == [(1, 2)]
    assert decided(FollowTheLoad(margin_frac=0.5), c).moves == []


def test_a_script_is_carried_out_once_at_its_times() -> None:
    c = cluster(2, [domain(0.1, host=0), domain(0.1, host=1)])
    policy = Scripted([(20 * S, 1, 0), (0, 0, 1)])
    policy.begin()
    seen = []
    for _ in range(4):
        seen.append(policy.decide(View.of(c)).moves)
        c.run_until(c.now_ns + 10 * S)
    assert seen == [[(0, 1)], [], [(1, 0)], []]
    policy.begin()
    assert policy.decide(View.of(c)).moves == [(0, 1), (1, 0)]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_decides_without_touching_the_cluster(name: str) -> None:
    c = cluster(4, [domain(0.9, host=i % 2) for i in range(4)])
    policy, before = make_policy(name), c.digest()
    assert policy.name == name
    policy.begin()
    policy.decide(View.of(c))
    assert c.digest() == before


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown migration policy 'any'"):
        make_policy("any")
