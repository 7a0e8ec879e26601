import pytest

from tests.hypervisor.cluster.rig import PAGES, S, cluster, domain
from xengym.monitor.cluster_totals import totals


def test_totals_by_hand_with_one_domain_that_has_left() -> None:
    # 2 pCPUs at 100 to 200 W. For 10 s both demand 2 and get 1; then one alone gets 2.
    c = cluster(1, [domain(2.0), domain(2.0, leaves_ns=10 * S)])
    c.run_until(20 * S)
    found = totals(c)
    assert found.fidelity == "fluid"
    assert found.energy_kwh == pytest.approx(200 * 20 / 3.6e6)
    assert found.hosts_on == 1.0
    # 20 s of violation in 30 s of domains' time; 40 pCPU-seconds of 60 demanded.
    assert found.violation_frac == pytest.approx(20 / 30)
    assert found.unmet_frac == pytest.approx(20 / 60)
    assert (found.arrived, found.left, found.refused) == (2, 1, 0)


def test_moves_in_the_totals() -> None:
    c = cluster(2, [domain(0.5, host=0)])
    c.order_move(0, 1)
    c.run_until(10 * S)
    found = totals(c)
    assert (found.moves, found.aborted) == (1, 0)
    assert found.move_s == pytest.approx(PAGES * 4096 * 8 / 100e6, abs=1e-6)
    assert found.moved_gb == pytest.approx(PAGES * 4096 / 1e9, rel=1e-6)


def test_nothing_has_happened_yet() -> None:
    found = totals(cluster(1, []))
    assert found.energy_kwh == found.violation_frac == found.unmet_frac == found.hosts_on == 0.0
