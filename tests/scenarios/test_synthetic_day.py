"""The synthetic day: statistics against the published ones and the real day, structure, determinism."""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xengym.formats.planetlab import Day, load_day
from xengym.scenarios.synthetic_day import PUBLISHED_20110303, DayStatistics, synthesize_day

REPOSITORY = Path(__file__).resolve().parents[2]
SEEDS = [0, 1, 2, 3, 4, 5, 6, 7, 12345, 2**32, 2**64 + 1]


@pytest.fixture(scope="module")
def real_day() -> Day:
    shared = Path(os.environ.get("XENGYM_SHARED") or REPOSITORY.parent / "shared")
    folder = shared / "data" / "planetlab" / "20110303"
    if not folder.is_dir():
        pytest.skip(f"the PlanetLab trace is not in {folder} (set XENGYM_SHARED); it may not be redistributed")
    return load_day(folder)


def autocorrelations(day: Day, lag: int) -> NDArray[np.float64]:
    """(num_varying_vms,) float64: each VM's autocorrelation after ``lag`` samples; constant VMs have none."""
    deviation = day.cpu_pct - day.cpu_pct.mean(axis=1, keepdims=True)
    variance = (deviation**2).sum(axis=1)
    covariance = (deviation[:, lag:] * deviation[:, :-lag]).sum(axis=1)
    result: NDArray[np.float64] = covariance[variance > 0] / variance[variance > 0]
    return result


def assert_structure_of_20110303(day: Day) -> None:
    """Figures in brackets: measured on the real day."""
    cpu_pct = day.cpu_pct.astype(np.float64)
    between = float(cpu_pct.mean(axis=1).var())
    within = float(cpu_pct.var(axis=1).mean())
    assert between == pytest.approx(219, abs=25)  # (219.1)
    assert within == pytest.approx(73, abs=12)  # (72.9)
    # Little memory from sample to sample, slowly lost (0.078, 0.061, 0.014), and large differences between
    # VMs: 95th percentile (0.33).
    assert 0.05 < autocorrelations(day, 1).mean() < 0.12
    assert 0.02 < autocorrelations(day, 12).mean() < 0.09
    assert -0.03 < autocorrelations(day, 48).mean() < 0.03
    assert 0.25 < np.percentile(autocorrelations(day, 1), 95) < 0.5
    # Bursts: jumps of more than 20 % from one sample to the next (6.2 % of them).
    jumps = np.abs(np.diff(cpu_pct, axis=1)) > 20
    assert 0.04 < jumps.mean() < 0.09
    # A faint wave over the day: relative amplitude of the first harmonic of the mean over the VMs (0.059).
    wave = cpu_pct.mean(axis=0)
    amplitude = 2 * abs(np.fft.rfft(wave)[1]) / wave.size / wave.mean()
    assert 0.03 < amplitude < 0.09


class TestDayStatistics:
    def test_worked_by_hand(self) -> None:
        # 288 samples: 144 x 0 and 144 x 100; and 288 x 60.
        cpu_pct = np.full((2, 288), 60, dtype=np.uint8)
        cpu_pct[0, :144] = 0
        cpu_pct[0, 144:] = 100
        statistics = DayStatistics.of(Day("d", ("a", "b"), cpu_pct))
        # Variance: (144 * 55^2 + 144 * 45^2 + 288 * 5^2) / 576 = 1275.
        assert asdict(statistics) == {
            "num_vms": 2,
            "mean_pct": 55.0,
            "sd_pct": pytest.approx(1275**0.5),
            "q1_pct": 45.0,  # rank 143.75, between 0 and 60
            "median_pct": 60.0,
            "q3_pct": 70.0,  # rank 431.25, between 60 and 100
            "p95_pct": 100.0,
            # A mean of exactly 50 % is not above it.
            "num_busy_vms": 1,
        }

    def test_the_published_figures_are_those_of_the_real_day(self, real_day: Day) -> None:
        computed = {name: round(value, 2) for name, value in asdict(DayStatistics.of(real_day)).items()}
        assert computed == asdict(PUBLISHED_20110303)


class TestSynthesizeDay:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_agrees_with_the_published_statistics(self, seed: int) -> None:
        statistics = DayStatistics.of(synthesize_day(seed=seed))
        assert statistics.num_vms == PUBLISHED_20110303.num_vms
        assert statistics.mean_pct == pytest.approx(PUBLISHED_20110303.mean_pct, abs=1.0)
        assert statistics.sd_pct == pytest.approx(PUBLISHED_20110303.sd_pct, abs=1.5)
        assert statistics.q1_pct == pytest.approx(PUBLISHED_20110303.q1_pct, abs=1.0)
        assert statistics.median_pct == pytest.approx(PUBLISHED_20110303.median_pct, abs=1.0)
        assert statistics.q3_pct == pytest.approx(PUBLISHED_20110303.q3_pct, abs=2.0)
        assert statistics.p95_pct == pytest.approx(PUBLISHED_20110303.p95_pct, abs=4.0)
        assert 25 <= statistics.num_busy_vms <= 50

    @pytest.mark.parametrize("seed", SEEDS[:4])
    def test_has_the_structure_of_the_real_day(self, seed: int) -> None:
        assert_structure_of_20110303(synthesize_day(seed=seed))

    def test_the_real_day_passes_the_same_structure_test(self, real_day: Day) -> None:
        assert_structure_of_20110303(real_day)

    def test_vm_means_are_spread_as_on_the_real_day(self, real_day: Day) -> None:
        probed = [5, 25, 50, 75, 90, 95, 99]
        real = np.percentile(real_day.cpu_pct.mean(axis=1), probed)
        synthetic = np.percentile(synthesize_day(seed=0).cpu_pct.mean(axis=1), probed)
        np.testing.assert_allclose(synthetic, real, rtol=0.2)

    def test_the_same_seed_gives_the_same_day(self) -> None:
        first, second = synthesize_day(50, seed=7), synthesize_day(50, seed=7)
        assert first.name == second.name == "synthetic-seed7"
        assert first.vm_names == second.vm_names
        np.testing.assert_array_equal(first.cpu_pct, second.cpu_pct)

    def test_another_seed_gives_another_day(self) -> None:
        assert not np.array_equal(synthesize_day(50, seed=7).cpu_pct, synthesize_day(50, seed=8).cpu_pct)

    def test_the_global_generator_is_neither_read_nor_advanced(self) -> None:
        before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
        synthesize_day(5, seed=0)
        assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002

    def test_names_dtype_and_range(self) -> None:
        day = synthesize_day(3, seed=0)
        assert day.vm_names == ("vm0000", "vm0001", "vm0002")
        assert day.cpu_pct.dtype == np.uint8
        assert day.cpu_pct.shape == (3, 288)
        assert synthesize_day(seed=0).cpu_pct.max() <= 99

    def test_names_stay_in_order_beyond_four_digits(self) -> None:
        day = synthesize_day(10_001, seed=0)
        assert day.vm_names[0] == "vm00000"
        assert day.vm_names[-1] == "vm10000"

    @pytest.mark.parametrize("num_vms", [1, 2])
    def test_few_vms(self, num_vms: int) -> None:
        assert synthesize_day(num_vms, seed=0).num_vms == num_vms

    def test_a_small_day_is_representative(self) -> None:
        for seed in range(10):
            assert DayStatistics.of(synthesize_day(50, seed=seed)).mean_pct == pytest.approx(12.31, abs=1.5)

    def test_no_vms(self) -> None:
        with pytest.raises(ValueError, match="num_vms is 0, expected at least 1"):
            synthesize_day(0, seed=0)

    def test_negative_seed(self) -> None:
        with pytest.raises(ValueError, match="seed is -1, expected 0 or more"):
            synthesize_day(seed=-1)
