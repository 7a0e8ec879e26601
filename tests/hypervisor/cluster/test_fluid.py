import pickle

import numpy as np
import pytest

from tests.hypervisor.cluster.rig import PAGES, S, cluster, domain, host
from xengym.hypervisor.cluster.fluid import FluidCluster
from xengym.hypervisor.cluster.interface import Cluster
from xengym.hypervisor.cluster.specs import ClusterSpec, DemandTable
from xengym.machine.cluster_state import POWERS, REASONS
from xengym.machine.memory_model import MemoryModel, Region


def test_it_is_a_cluster_and_says_its_fidelity() -> None:
    c = cluster(1, [domain()])
    assert isinstance(c, Cluster)
    assert c.fidelity == "fluid"


def test_two_domains_on_a_host_for_ten_seconds() -> None:
    # 2 pCPUs; weights 1 : 3, each could use 2: they get 0.5 and 1.5, and the host is full.
    c = cluster(1, [domain(2.0, weight=256), domain(2.0, weight=768)])
    c.run_until(10 * S)
    assert c.domains["granted_ns"].tolist() == [5 * S, 15 * S]
    assert c.domains["demanded_ns"].tolist() == [20 * S, 20 * S]
    assert c.domains["violation_ns"].tolist() == [10 * S, 10 * S]
    assert c.hosts["busy_pcpu_ns"].tolist() == [20 * S]
    assert c.hosts["overload_ns"].tolist() == [10 * S]
    assert c.hosts["energy_nj"].tolist() == [200 * 10 * S]


def test_power_is_linear_in_the_utilisation() -> None:
    c = cluster(2, [domain(0.5, host=0)])
    c.run_until(10 * S)
    # 0.5 of 2 pCPUs: a quarter of the way from 100 to 200 watts.
    assert c.hosts["energy_nj"].tolist() == [125 * 10 * S, 100 * 10 * S]


def test_caps_vcpus_and_speed_limit_what_a_domain_gets() -> None:
    fast = host(speed=1.5)
    # A cap of 50 % of one pCPU of speed 1.5; one vCPU on such a pCPU; a demand that fits.
    c = cluster(
        [fast, fast, fast], [domain(2.0, cap_pct=50, host=0), domain(2.0, vcpus=1, host=1), domain(1.2, host=2)]
    )
    assert c.domains["granted_pcpus"] == pytest.approx([0.75, 1.5, 1.2])


def test_reservations_under_sedf() -> None:
    sedf = host(shares="sedf")
    half = {"slice_ns": 5, "period_ns": 10, "vcpus": 1}
    c = cluster(
        [sedf], [domain(2.0, has_extra=False, **half), domain(2.0, **half), domain(2.0, slice_ns=0, period_ns=10)]
    )
    # 0.5 reserved each for the first two; 1 pCPU is left: 1/3 for one vCPU, 2/3 for two; one vCPU uses at most 1.
    assert c.domains["granted_pcpus"] == pytest.approx([0.5, 0.5 + 1 / 3, 2 / 3])
    assert c.hosts["reserved_pcpus"].tolist() == [1.0]


def test_demand_follows_the_table_and_begins_anew_at_its_end() -> None:
    table = DemandTable(np.array([[1000, 5000, 10000]], dtype=np.uint16), sample_ns=10 * S)
    c = cluster(1, [domain(1.0, trace_row=0), domain(0.5, trace_row=0, trace_phase=2)], demand=table)
    seen = []
    for at_s in (0, 9, 10, 25, 30):
        c.run_until(at_s * S)
        seen.append(c.domains["demand_pcpus"].tolist())
    assert np.array(seen) == pytest.approx(np.array([[0.1, 0.5], [0.1, 0.5], [0.5, 0.05], [1.0, 0.25], [0.1, 0.5]]))
    # 10 s each at 0.1, 0.5 and 1.0.
    assert c.domains["demanded_ns"][0] == 16 * S


def test_domains_come_and_go_and_their_memory_with_them() -> None:
    late = domain(1.0, arrives_ns=10 * S, leaves_ns=30 * S)
    c = cluster(1, [domain(0.5), late, domain(0.25, arrives_ns=20 * S)], num_domain_slots=3)
    free = []
    for at_s in (5, 10, 25, 30):
        c.run_until(at_s * S)
        free.append(int(c.hosts["free_pages"][0]) // PAGES)
    assert free == [3, 2, 1, 2]
    assert c.domains["in_use"].tolist() == [1, 0, 1]
    assert (int(c.clock["arrived"][0]), int(c.clock["left"][0])) == (3, 1)
    c.run_until(40 * S)
    assert c.domains["serial"].tolist() == [0, 0, 2]
    # What the one that left had used is still in the host's books: 20 s of 1 pCPU.
    assert c.hosts["busy_pcpu_ns"][0] == 20 * S + 20 * S + 5 * S


def test_arrivals_without_room_or_slot_are_refused_with_the_reason() -> None:
    big = [domain(0.1, arrives_ns=i * S) for i in range(1, 7)]
    c = cluster(1, big, num_domain_slots=6)
    c.run_until(10 * S)
    assert c.clock["refused_arrivals"][0][REASONS["memory"]] == 2
    c = cluster(2, big, num_domain_slots=3)
    c.run_until(10 * S)
    assert c.clock["refused_arrivals"][0][REASONS["no-slot"]] == 3


def test_a_domain_that_does_not_fit_its_host_is_an_error() -> None:
    with pytest.raises(ValueError, match="domain 4 cannot be placed on host 0: the host has not enough free memory"):
        cluster(2, [domain(host=0) for _ in range(5)])


def test_a_domain_that_fits_nowhere_at_the_beginning_is_refused_and_counted() -> None:
    c = cluster(1, [domain(memory=MemoryModel((Region(5 * PAGES),))), domain()])
    assert c.clock["refused_arrivals"][0][REASONS["memory"]] == 1
    assert c.domains["serial"][c.domains["in_use"] == 1].tolist() == [1]


def test_suspending_and_waking_take_time_and_power() -> None:
    c = cluster(2, [domain(1.0, host=0)])
    assert c.suspend(0) == REASONS["host-in-use"]
    assert c.suspend(1) == 0
    assert c.order_move(0, 1) == REASONS["host-off"]
    c.run_until(10 * S)
    assert POWERS[c.hosts["power"][1]] == "suspended"
    # 4 s of suspending at 100 W, 6 s at 10 W.
    assert c.hosts["energy_nj"][1] == (400 + 60) * S
    assert c.wake(1) == 0
    c.run_until(20 * S)
    assert POWERS[c.hosts["power"][1]] == "on"
    # 6 s of waking at 200 W, 4 s at 100 W.
    assert c.hosts["energy_nj"][1] == (460 + 1200 + 400) * S
    assert c.hosts["on_ns"][1] == 4 * S


def test_waking_a_host_that_is_being_suspended_takes_both_times() -> None:
    c = cluster(1, [])
    c.suspend(0)
    c.run_until(1 * S)
    assert c.wake(0) == 0
    c.run_until(9 * S)
    assert POWERS[c.hosts["power"][0]] == "waking"
    c.run_until(10 * S)
    assert POWERS[c.hosts["power"][0]] == "on"


def test_a_host_that_dies_takes_its_domains_with_it_until_it_is_woken() -> None:
    c = cluster(1, [domain(1.0)])
    c.run_until(10 * S)
    c.fail_host(0)
    c.run_until(20 * S)
    assert c.domains["granted_ns"][0] == 10 * S
    assert c.domains["dead_ns"][0] == 10 * S
    c.wake(0)
    c.run_until(30 * S)
    assert c.domains["dead_ns"][0] == 16 * S
    assert c.domains["granted_ns"][0] == 14 * S
    assert c.clock["restarts"][0] == 1


def test_parameters_change_shares_at_once() -> None:
    c = cluster(1, [domain(2.0), domain(2.0)])
    assert c.domains["granted_pcpus"].tolist() == [1.0, 1.0]
    assert c.set_params(0, weight=768) == 0
    assert c.domains["granted_pcpus"].tolist() == [1.5, 0.5]
    assert c.set_params(0, cap_pct=100) == 0
    assert c.domains["granted_pcpus"].tolist() == [1.0, 1.0]
    assert c.set_params(5, weight=1) == REASONS["unknown-domain"]
    with pytest.raises(ValueError, match="domain 0: expected weight >= 1"):
        c.set_params(0, weight=0)


def test_a_reservation_that_does_not_fit_is_refused() -> None:
    c = cluster([host(shares="sedf")], [domain(2.0, slice_ns=6, period_ns=10), domain(1.0, vcpus=1)])
    assert c.set_params(1, slice_ns=9, period_ns=10) == REASONS["reservation"]
    assert c.set_params(1, slice_ns=8, period_ns=10) == 0


def test_clients_of_other_sites_are_reached_across_the_sites_link() -> None:
    from xengym.hypervisor.cluster.specs import LinkSpec

    table = DemandTable(np.full((1, 2), 10_000, dtype=np.uint16), sample_ns=10 * S)
    clients = np.array([[2500, 7500], [10_000, 0]], dtype=np.uint16)
    hosts = [host(rack=0, site=0), host(rack=1, site=1)]
    links = {(0, 1): LinkSpec(1e6), (1, 0): LinkSpec(1e6)}
    c = cluster(
        hosts,
        [domain(1.0, net_bytes_per_s=1000.0, host=0)],
        racks=(None, None),
        sites=links,
        demand=table,
        clients=clients,
    )
    c.run_until(5 * S)
    assert c.sites["clients_frac"].tolist() == [0.25, 0.75]
    assert c.links["guest_bytes_per_s"][3 * 2 + 4 + 1] == 750
    assert c.clock["remote_bytes"][0] == pytest.approx(3750)
    c.run_until(20 * S)
    assert c.clock["remote_bytes"][0] == pytest.approx(7500)


def test_snapshots_and_pickles_go_on_alike() -> None:
    table = DemandTable(np.arange(0, 10_000, 97, dtype=np.uint16).reshape(1, -1), sample_ns=S)
    domains = [domain(1.0, trace_row=0, trace_phase=i) for i in range(5)]
    c = cluster(3, domains, demand=table)
    c.order_move(0, 1)
    c.run_until(2 * S + 7)
    state, before = c.snapshot(), c.digest()
    copy = pickle.loads(pickle.dumps(c))
    c.order_move(1, 2)
    c.run_until(30 * S)
    after = c.digest()
    assert after != before
    c.restore(state)
    assert c.digest() == before == copy.digest()
    for twin in (c, copy):
        twin.order_move(1, 2)
        twin.run_until(30 * S)
        assert twin.digest() == after


def test_time_does_not_run_backwards_and_states_must_fit() -> None:
    c = cluster(1, [domain()])
    c.run_until(S)
    with pytest.raises(ValueError, match="run_until"):
        c.run_until(S - 1)
    with pytest.raises(ValueError, match="restore"):
        c.restore(cluster(2, [domain()]).snapshot())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement": "any"}, "placement must be one of"),
        ({"hosts": []}, "at least one host"),
        ({"hosts": [host(rack=1)]}, "rack 1 is not one of the 1 racks"),
        ({"hosts": [host(), host(site=1)]}, "rack 0 is at site 0"),
        ({"hosts": [host(shares="lottery")]}, "shares one of credit, sedf"),
        ({"domains": [domain(trace_row=0)]}, "row 0 of a demand table with 0 rows"),
        ({"domains": [domain(host=7)]}, "host 7 is not one of the 1 hosts"),
        ({"clients": np.ones((1, 3), np.uint16)}, "clients: expected shape"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FluidCluster(ClusterSpec(**{"hosts": [host()], "domains": [], **changes}))  # type: ignore[arg-type]
