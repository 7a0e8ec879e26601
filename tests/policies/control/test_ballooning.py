"""Rules that divide memory: nobody below its floor or above its maximum, and together no more than there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.policies.control.ballooning import fair_targets, proportional_targets

RULES = [proportional_targets, fair_targets]
FLOORS = np.array([10, 10, 10])
MAXIMA = np.array([500, 500, 500])


def targets(rule, wanted, available):
    return rule(np.array(wanted), FLOORS, MAXIMA, available).tolist()


def test_proportional_when_it_does_not_fit():
    # 100 beyond the floors, wanted 90 + 190 + 120 = 400.
    assert targets(proportional_targets, [100, 200, 130], 130) == [10 + 22, 10 + 47, 10 + 30]


def test_proportional_when_there_is_something_left():
    assert targets(proportional_targets, [100, 200, 100], 600) == [150, 300, 150]


def test_fair_meets_small_wants_first():
    assert targets(fair_targets, [50, 300, 300], 450) == [50, 200, 200]


def test_fair_divides_what_is_left_evenly():
    assert targets(fair_targets, [50, 100, 300], 600) == [100, 150, 350]
    assert targets(fair_targets, [50, 100, 480], 750) == [50 + 50, 100 + 50, 500]  # one has its maximum


@pytest.mark.parametrize("rule", RULES)
def test_nobody_gets_more_than_its_maximum(rule):
    assert targets(rule, [10, 10, 10], 10_000) == [500, 500, 500]


@pytest.mark.parametrize("rule", RULES)
def test_floors_are_kept_even_if_there_is_less(rule):
    assert targets(rule, [100, 100, 100], 5) == [10, 10, 10]


domains = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 2000), st.integers(0, 10**6)), min_size=1, max_size=8
)


@pytest.mark.parametrize("rule", RULES)
@given(domains=domains, available=st.integers(0, 5 * 10**6))
def test_laws_of_a_division(rule, domains, available):
    wanted, floors, beyond = (np.array(column) for column in zip(*domains, strict=True))
    maxima = floors + beyond
    found = rule(wanted, floors, maxima, available)
    assert (found >= floors).all()
    assert (found <= maxima).all()
    assert found.sum() <= max(available, floors.sum())
    asked = np.clip(wanted, floors, maxima)
    if asked.sum() <= available:
        assert (found >= asked).all()
    # Not more is left over than there are domains, unless all have their maximum.
    assert (found == maxima).all() or available - found.sum() < 2 * len(domains)


@given(domains=domains, available=st.integers(0, 5 * 10**6))
def test_a_fair_division_cannot_be_made_fairer(domains, available):
    wanted, floors, beyond = (np.array(column) for column in zip(*domains, strict=True))
    maxima = floors + beyond
    found = fair_targets(wanted, floors, maxima, available)
    asked = np.clip(wanted, floors, maxima)
    # Whoever has less than it wants has at least as much as anybody who is above its floor, but for a page.
    for short in np.flatnonzero(found < asked):
        gained = found - floors
        assert gained[short] >= gained[found > floors].max(initial=0) - len(domains)
