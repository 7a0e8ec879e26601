"""The dirty log: the first write to a page after it is cleared faults, later ones do not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.privilege import PrivilegeCosts
from xengym.testing.page_tables import DirtyLogAlone

SECOND = 1_000_000_000
MODEL = MemoryModel((Region(1000, 5000.0), Region(100_000, 2000.0)))


def test_a_swept_page_faults_once_a_round():
    log = DirtyLogAlone(MemoryModel((Region(1000, 500.0, "sweep"),)))
    log.clear()
    assert log.first_writes(SECOND) == pytest.approx(500)
    assert log.first_writes(SECOND) == pytest.approx(500)
    assert log.first_writes(SECOND) == 0
    log.clear()
    assert log.first_writes(SECOND) == pytest.approx(500)


def test_random_writes_fault_as_often_as_pages_are_new():
    log = DirtyLogAlone(MODEL)
    log.clear()
    expected = 1000 * (1 - math.exp(-5)) + 100_000 * (1 - math.exp(-0.02))
    assert log.first_writes(SECOND) == pytest.approx(expected)


@given(st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=8), st.floats(0, 1))
def test_all_faults_of_a_round_are_its_dirty_pages(lengths_ns, activity):
    log = DirtyLogAlone(MODEL)
    log.clear()
    faults = sum(log.first_writes(dt_ns, activity) for dt_ns in lengths_ns)
    assert faults == pytest.approx(log.dirty(), abs=1.01 * len(MODEL.regions))


def test_clearing_more_often_costs_more():
    costs = PrivilegeCosts()

    def cost_ns(rounds):
        log = DirtyLogAlone(MODEL)
        total = 0.0
        for _ in range(rounds):
            log.clear()
            faults = log.first_writes(8 * SECOND // rounds)
            total += log.cost_ns(faults, log.rebuilt_tables(1024), costs)
        return total

    assert cost_ns(1) < cost_ns(4) < cost_ns(16)


def test_a_few_writes_build_nearly_every_table_again():
    log = DirtyLogAlone(MemoryModel((Region(102_400, 1000.0),)))
    log.clear()
    log.first_writes(SECOND)
    # 100 tables of 1024 pages, each with ten writes on average.
    assert log.rebuilt_tables(1024) == pytest.approx(100 * (1 - math.exp(-1000 / 102_400) ** 1024))
    log.clear()
    assert log.rebuilt_tables(1024) == 0


def test_the_cost_is_by_hand():
    costs = PrivilegeCosts(exit_ns=1000, shadow_update_ns=500, shadow_base_ns=10)
    assert DirtyLogAlone(MODEL).cost_ns(100, 3, costs) == 100 * 1500 + 30


def test_the_cost_of_looking_does_not_depend_on_the_size():
    # Two regions of a terabyte take as many operations as two pages; the numbers stay exact enough.
    log = DirtyLogAlone(MemoryModel((Region(2**28, 100.0), Region(1, 1.0))))
    log.clear()
    assert log.first_writes(SECOND) == pytest.approx(100 + 1 - math.exp(-1), rel=1e-6)
