"""What XenMon costs, what Xen adds to a kernel's operations, and consolidation, beyond the verdicts of their rows."""

import pytest

from xengym.testing.figures import barham, padala, xenmon


@pytest.mark.parametrize(("operation", "published_us"), barham.XEN_US.items())
def test_r9_operations_within_a_tenth(operation, published_us):
    assert barham.operation_us(operation) == pytest.approx(published_us, rel=0.1)


def test_r9_hypercalls():
    assert barham.hypercalls_per_operation("null_call") == 0
    assert barham.hypercalls_per_operation("protection_fault") == 0
    assert barham.hypercalls_per_operation("page_fault") == barham.hypercalls_per_operation("context_switch") == 1
    # All of fork's updates of page tables are one batch: 40 installed after faults, 8 pins, 2 switches, 1 batch.
    assert barham.hypercalls_per_operation("fork") == 51


def test_a_fully_virtualised_guest_pays_more():
    for operation in ("page_fault", "fork"):
        assert barham.operation_us(operation, is_hvm=True) > 2 * barham.operation_us(operation)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_r23_the_cost_does_not_hang_on_the_seed(seed):
    result = xenmon.monitored(seed=seed)
    assert result.identity_error_ns == 0
    assert 1 < result.cost_pct < 2
    assert 2000 < result.executions_per_s < 4000


def test_r37_the_load_is_fitted_without_a_cost_of_switching():
    assert padala.growth_pct(None) == pytest.approx(100, abs=15)


def test_r37_the_shorter_a_turn_the_more_a_switch_costs():
    growth = [padala.growth_pct(padala.XEN_COSTS, turn_ns=turn_us * 1000) for turn_us in (500, 1000, 2000, 5000)]
    assert growth == sorted(growth, reverse=True)
    assert growth[0] > 400 > growth[1] > 200 > growth[2] > 100
