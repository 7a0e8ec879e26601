import numpy as np
import pytest

from xengym.formats.planetlab import SAMPLES_PER_DAY, Day
from xengym.formats.vm_traces import VmTraces, as_demand, hold_last


def test_a_planetlab_day_in_hundredths_of_a_per_cent() -> None:
    pct = np.arange(2 * SAMPLES_PER_DAY).reshape(2, -1) % 100
    traces = VmTraces.of_day(Day("day", ("a", "b"), pct.astype(np.uint8)))
    assert (traces.demand == 100 * pct).all()
    assert traces.mean_pct == pytest.approx(pct.mean(axis=1))
    assert not traces.demand.flags.writeable


def test_demand_is_cut_at_one_hundred_per_cent() -> None:
    assert as_demand(np.array([-1.0, 0.004, 0.006, 99.999, 114.0])).tolist() == [0, 0, 1, 10_000, 10_000]


def test_holes_hold_the_value_before_and_the_beginning_the_first_one() -> None:
    values = np.array([9.0, 1.0, 9.0, 9.0, 2.0])
    known = np.array([False, True, False, False, True])
    assert hold_last(values, known).tolist() == [1, 1, 1, 1, 2]


def test_what_does_not_fit_together_is_refused() -> None:
    traces = VmTraces.of_day(Day("day", ("a",), np.zeros((1, SAMPLES_PER_DAY), np.uint8)))
    fields = {name: getattr(traces, name) for name in VmTraces.__dataclass_fields__}
    for change, message in (
        ({"vm_names": ("a", "b")}, "demand of 2 machines"),
        ({"demand": np.full((1, 3), 10_001, np.uint16)}, "up to 10000"),
        ({"mhz": np.zeros(2)}, "mhz of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            VmTraces(**{**fields, **change})  # type: ignore[arg-type]
