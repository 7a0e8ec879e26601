import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.hypervisor.cluster.shares import reserved_shares, weighted_shares

limits = st.lists(st.floats(0, 8), min_size=1, max_size=12)


def level_by_bisection(limit: np.ndarray, weight: np.ndarray, capacity: float) -> np.ndarray:
    """The definition, solved for the level by brute force."""
    low, high = 0.0, float((limit / weight).max()) + 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.minimum(limit, weight * middle).sum() > capacity:
            high = middle
        else:
            low = middle
    return np.minimum(limit, weight * low)


def test_equal_weights_share_what_the_small_one_leaves() -> None:
    # 2 pCPUs: 0.2 is satisfied; 1.8 is left for two.
    assert weighted_shares([0.2, 2.0, 5.0], [1, 1, 1], 2.0) == pytest.approx([0.2, 0.9, 0.9])


def test_weights_count_and_a_limited_domain_frees_its_share() -> None:
    # Level: 3 w = 1 : 2 : 3 would be 0.5, 1, 1.5; the last may only use 0.9, and 2.1 is shared 1 : 2.
    assert weighted_shares([9, 9, 0.9], [256, 512, 768], 3.0) == pytest.approx([0.7, 1.4, 0.9])


def test_enough_for_all_gives_each_its_demand() -> None:
    assert weighted_shares([0.5, 0.25], [1, 1000], 4.0).tolist() == [0.5, 0.25]


def test_no_capacity_gives_nothing() -> None:
    assert weighted_shares([0.5, 0.25], [1, 1], -0.5).tolist() == [0.0, 0.0]
    assert reserved_shares([0.5], [0.5], [1], -1.0).tolist() == [0.0]


@given(data=st.data(), limit=limits, capacity=st.floats(0.01, 16))
def test_weighted_shares_are_the_definition(data: st.DataObject, limit: list[float], capacity: float) -> None:
    weight = data.draw(st.lists(st.integers(1, 65535), min_size=len(limit), max_size=len(limit)))
    expected = level_by_bisection(np.array(limit), np.array(weight, float), capacity)
    assert weighted_shares(limit, weight, capacity) == pytest.approx(expected, abs=1e-9)


def test_reservations_come_first_and_extra_time_is_shared_equally() -> None:
    # 2 pCPUs: 0.5 and 0.5 reserved, the third has none; the 1.0 left goes in equal parts to those with the flag.
    assert reserved_shares([2, 2, 2], [0.5, 0.5, 0.0], [1, 0, 1], 2.0) == pytest.approx([1.0, 0.5, 0.5])


def test_a_reservation_that_is_not_used_is_left_to_others() -> None:
    assert reserved_shares([0.1, 2], [0.8, 0.2], [1, 1], 1.0) == pytest.approx([0.1, 0.9])


def test_reservations_that_do_not_fit_are_cut_in_proportion() -> None:
    assert reserved_shares([2, 2], [1.0, 0.5], [1, 1], 0.75) == pytest.approx([0.5, 0.25])


@given(data=st.data(), limit=limits, capacity=st.floats(0.01, 16))
def test_reserved_shares_keep_their_promises(data: st.DataObject, limit: list[float], capacity: float) -> None:
    n = len(limit)
    reserved = np.array(data.draw(st.lists(st.floats(0, 2), min_size=n, max_size=n)))
    extra = np.array(data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=n, max_size=n)))
    wanted = np.array(limit)
    granted = reserved_shares(wanted, reserved, extra, capacity)
    assert granted.sum() <= capacity + 1e-9
    assert (granted <= wanted + 1e-12).all()
    if reserved.sum() <= capacity:
        assert (granted >= np.minimum(wanted, reserved) - 1e-9).all()
    # Work-conserving: whoever may have extra time lacks nothing while something is left.
    if granted.sum() < capacity - 1e-6:
        assert (granted[extra > 0] >= wanted[extra > 0] - 1e-6).all()
    # Above their reservations, those that still want more stand at one level for each unit of extra.
    part = capacity / max(capacity, reserved.sum())
    above = (granted - np.minimum(wanted, reserved * part))[(extra > 0) & (granted < wanted - 1e-6)]
    levels = above / extra[(extra > 0) & (granted < wanted - 1e-6)]
    assert levels.size == 0 or np.ptp(levels) < 1e-6


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="weighted_shares"):
        weighted_shares([1.0], [1, 2], 1.0)
    with pytest.raises(ValueError, match="one length"):
        reserved_shares([1.0], [1, 2], [1], 1.0)
