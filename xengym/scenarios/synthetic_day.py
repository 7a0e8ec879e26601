"""A day of VM utilisation drawn at random, for when no PlanetLab trace is there.

The traces may not be redistributed, so a fresh installation has none. This generator draws a day with the
published statistics of PlanetLab 20110303 and a similar structure in time. No sample of the trace is in here,
only figures computed from it. The utilisation of VM i in sample t is, in percent,

    cpu_pct[i, t] = round(min(99, steady_pct[i] * slow[i, t] * noise[i, t] * diurnal[t] + burst_pct[i, t]))

- ``steady_pct``: the VM's mean, less what its bursts add. The means are spread over the VMs as the measured
  ones (``_VM_MEAN_QUANTILES_PCT``): three quarters of all variance is between VMs, not in time.
- ``slow``: a log-normal factor of mean 1 whose logarithm is an AR(1) process, the drift over a few hours.
- ``noise``: a gamma factor of mean 1, independent from sample to sample: most of the variance within a VM.
- ``diurnal``: a faint common wave over the day.
- ``burst_pct``: short extra load that starts at random; a few VMs have most of the bursts.

Within one VM successive samples are almost independent: averaged over the VMs of 20110303, the
autocorrelation is only 0.08 after 5 min and still 0.06 after an hour, with large differences between VMs
(95th percentile 0.33 after 5 min). The generator keeps this (0.09 and 0.04). Who tests a predictor should
know that there is little to predict beyond a VM's own mean.

Left out: real VMs report even percentages more often than odd ones and are idle (0 %) in 15 % of the samples;
here it is about 10 % and there is no preference for even numbers.

Constants marked *measured* are figures of 20110303 itself; those marked *fitted* were chosen by hand so that
the statistics of the generated days, over several seeds, come close to those of that day.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xengym.formats.planetlab import SAMPLE_S, SAMPLES_PER_DAY, Day

BUSY_VM_PCT = 50.0
"""A VM with a mean above this counts as busy in ``DayStatistics``."""


@dataclass(frozen=True)
class DayStatistics:
    """Figures that sum up a day: over all samples of all VMs, unless said otherwise.

    Attributes:
        num_vms: number of VMs.
        mean_pct: mean, percent.
        sd_pct: standard deviation (of the population, divisor n), percent.
        q1_pct: first quartile, percent; this and the other quantiles interpolate linearly.
        median_pct: median, percent.
        q3_pct: third quartile, percent.
        p95_pct: 95th percentile, percent.
        num_busy_vms: number of VMs whose mean over the day is above 50 %.
    """

    num_vms: int
    mean_pct: float
    sd_pct: float
    q1_pct: float
    median_pct: float
    q3_pct: float
    p95_pct: float
    num_busy_vms: int

    @classmethod
    def of(cls, day: Day) -> Self:
        """Compute the figures of a day.

        Args:
            day: the day, real or synthetic.

        Returns:
            The figures, not rounded.
        """
        q1_pct, median_pct, q3_pct, p95_pct = np.percentile(day.cpu_pct, [25, 50, 75, 95])
        return cls(
            num_vms=day.num_vms,
            mean_pct=float(day.cpu_pct.mean()),
            sd_pct=float(day.cpu_pct.std()),
            q1_pct=float(q1_pct),
            median_pct=float(median_pct),
            q3_pct=float(q3_pct),
            p95_pct=float(p95_pct),
            num_busy_vms=int(np.count_nonzero(day.cpu_pct.mean(axis=1) > BUSY_VM_PCT)),
        )


PUBLISHED_20110303 = DayStatistics(
    num_vms=1052,
    mean_pct=12.31,
    sd_pct=17.09,
    q1_pct=2.0,
    median_pct=6.0,
    q3_pct=15.0,
    p95_pct=50.0,
    num_busy_vms=37,
)
"""PlanetLab 20110303, computed from the day's files, with two decimals. Number of VMs, mean and standard
deviation are those usually quoted for it (Beloglazov and Buyya 2012, see ``xengym.formats.planetlab``)."""

# Quantiles of the VMs' means over the day, percent. Measured. In between, the logarithm is interpolated
# linearly. The knots are denser at the top, where a few VMs carry much of the load, and one lies at 50 %, so
# that the share of busy VMs (3.5 %) is met.
_VM_MEAN_FRAC = np.array([0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.80, 0.85, 0.90, 0.95, 0.965, 0.99, 1.0])
_VM_MEAN_QUANTILES_PCT = np.array([0.65, 1.4, 1.6, 2.8, 6.8, 14.4, 17.7, 25.7, 33.7, 40.8, 50.0, 74.0, 94.6])

# Coefficient of variation (sd / mean) of ``noise`` for a VM of the given mean: light VMs vary most. Fitted to
# the median sd of VMs of that mean, less what bursts and drift contribute.
_NOISE_CV_AT_PCT = np.array([1.0, 3.0, 6.0, 12.0, 24.0, 41.0, 60.0, 80.0, 95.0])
_NOISE_CV = np.array([1.0, 0.95, 0.70, 0.50, 0.42, 0.31, 0.26, 0.10, 0.03])
# Log-normal spread of that coefficient between VMs of the same mean. Fitted.
_NOISE_CV_LOG_SD = 0.4

# Sd of log(slow) relative to the VM's noise coefficient: the mean of an exponential distribution over the VMs
# (a few VMs drift much and most hardly at all). Fitted to the autocorrelation, mean and 95th percentile over
# the VMs.
_SLOW_TO_NOISE_MEAN = 0.36
# Bound on the sd of log(slow), against an extreme factor for a single VM.
_SLOW_LOG_SD_MAX = 1.0
# Time in which the autocorrelation of log(slow) falls to 1/e. Fitted to the autocorrelation after 1 to 4 h.
_SLOW_TIME_S = 12_000.0

# Share of a VM's mean that comes from its bursts, averaged over VMs of small mean; it falls linearly to none
# at the next constant, as a busy VM has no room for them. One VM's propensity is exponential around this.
# Fitted.
_BURST_SHARE_FRAC = 0.07
_BURST_FREE_PCT = 50.0
# Mean height of a burst (exponential). Fitted: bursts of 20 to 40 % are typical.
_BURST_HEIGHT_PCT = 30.0
# Mean length of a burst (geometric, whole samples): nearly all last for one sample. Fitted.
_BURST_LENGTH_SAMPLES = 1.1

# The common wave: a cosine of this relative amplitude with its peak this long after the first sample.
# Measured: least squares on the mean over all VMs. (The time of day of the first sample is not known.)
_DIURNAL_AMPLITUDE_FRAC = 0.06
_DIURNAL_PEAK_S = 12 * 3600.0
_DAY_S = SAMPLES_PER_DAY * SAMPLE_S

# The largest value in any of the ten distributed days (100 never occurs).
_CEILING_PCT = 99.0

# Sets this stream apart from other uses of the same seed, so that demand is independent of the simulation's
# noise.
_STREAM_KEY = 20_110_303


def synthesize_day(num_vms: int = 1052, *, seed: int) -> Day:
    """Draw a day calibrated to the published statistics of PlanetLab 20110303.

    The VMs' means are a stratified sample (one from each of ``num_vms`` equal slices of the distribution, in
    random order), so that a day of few VMs is representative as well. With 1052 VMs, ``DayStatistics.of``
    differs from ``PUBLISHED_20110303`` by at most: mean 1, sd 1.5, q1 1, median 1, q3 2, p95 4 (percent
    points), and 25 to 50 VMs are busy. (Over 200 seeds the extremes were: mean 12.1..12.4, sd 16.9..17.4,
    q1 2, median 5..6, q3 15, p95 48..51, 33..43 VMs busy.)

    Args:
        num_vms: number of VMs, at least 1.
        seed: 0 or more. The same seed and ``num_vms`` give the same day (with the same numpy; its
            distributions may change between versions). Days of different ``num_vms`` have nothing in common.

    Returns:
        A day named ``synthetic-seed<seed>`` whose VMs are ``vm0000``, ``vm0001``, ...; utilisation 0..99
        percent.

    Raises:
        ValueError: ``num_vms`` is below 1 or ``seed`` is negative.
    """
    if num_vms < 1:
        raise ValueError(f"num_vms is {num_vms}, expected at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM_KEY,))))

    vm_mean_pct = _vm_means_pct(num_vms, rng)
    noise_cv = _noise_cvs(vm_mean_pct, rng)
    burst_pct, burst_mean_pct = _bursts_pct(vm_mean_pct, rng)
    # A propensity some 14 times the average would take more than the VM has: never below zero.
    steady_pct = np.maximum(vm_mean_pct - burst_mean_pct, 0.0)
    shape = np.broadcast_to((noise_cv**-2)[:, np.newaxis], (num_vms, SAMPLES_PER_DAY))
    noise = rng.gamma(shape, 1.0 / shape)
    load_pct = steady_pct[:, np.newaxis] * _slow_factor(noise_cv, rng) * noise * _diurnal_factor() + burst_pct

    # Zeros in front, so that the names in ascending order are the VMs in order.
    digits = max(4, len(str(num_vms - 1)))
    return Day(
        name=f"synthetic-seed{seed}",
        vm_names=tuple(f"vm{index:0{digits}d}" for index in range(num_vms)),
        cpu_pct=np.rint(np.minimum(load_pct, _CEILING_PCT)).astype(np.uint8),
    )


def _vm_means_pct(num_vms: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (num_vms,) float64, each VM's mean over the day in percent, in random order."""
    rank_frac = rng.permutation((np.arange(num_vms) + rng.random(num_vms)) / num_vms)
    log_mean: NDArray[np.float64] = np.interp(rank_frac, _VM_MEAN_FRAC, np.log(_VM_MEAN_QUANTILES_PCT))
    return np.exp(log_mean)


def _noise_cvs(vm_mean_pct: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (num_vms,) float64, each VM's coefficient of variation of ``noise``, given its mean."""
    typical_log = np.interp(np.log(vm_mean_pct), np.log(_NOISE_CV_AT_PCT), np.log(_NOISE_CV))
    spread_log = rng.normal(-0.5 * _NOISE_CV_LOG_SD**2, _NOISE_CV_LOG_SD, vm_mean_pct.size)
    noise_cv: NDArray[np.float64] = np.exp(typical_log + spread_log)
    return noise_cv


def _slow_factor(noise_cv: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (num_vms, 288) float64 of mean 1: the drift. ``noise_cv`` is (num_vms,)."""
    num_vms = noise_cv.size
    log_sd = np.minimum(_SLOW_TO_NOISE_MEAN * noise_cv * rng.exponential(1.0, num_vms), _SLOW_LOG_SD_MAX)[:, np.newaxis]
    keep = np.exp(-SAMPLE_S / _SLOW_TIME_S)
    innovation = np.sqrt(1.0 - keep**2) * rng.standard_normal((num_vms, SAMPLES_PER_DAY))
    # Unit variance at every instant, the first included.
    unit = np.empty((num_vms, SAMPLES_PER_DAY))
    unit[:, 0] = rng.standard_normal(num_vms)
    for sample in range(1, SAMPLES_PER_DAY):
        unit[:, sample] = keep * unit[:, sample - 1] + innovation[:, sample]
    factor: NDArray[np.float64] = np.exp(log_sd * unit - 0.5 * log_sd**2)
    return factor


def _bursts_pct(
    vm_mean_pct: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the bursts.

    Args:
        vm_mean_pct: (num_vms,) float64, each VM's mean over the day, percent.
        rng: where the randomness comes from.

    Returns:
        (num_vms, 288) float64, the load that bursts add, percent, and (num_vms,) float64, its expectation.
    """
    num_vms = vm_mean_pct.size
    room_frac = np.clip(1.0 - vm_mean_pct / _BURST_FREE_PCT, 0.0, 1.0)
    expected_pct = _BURST_SHARE_FRAC * vm_mean_pct * room_frac * rng.exponential(1.0, num_vms)
    start_probability = expected_pct / (_BURST_HEIGHT_PCT * _BURST_LENGTH_SAMPLES)
    starts = rng.random((num_vms, SAMPLES_PER_DAY)) < start_probability[:, np.newaxis]
    continues = rng.random((num_vms, SAMPLES_PER_DAY)) < 1.0 - 1.0 / _BURST_LENGTH_SAMPLES
    height_pct = rng.exponential(_BURST_HEIGHT_PCT, (num_vms, SAMPLES_PER_DAY))
    burst_pct = np.where(starts, height_pct, 0.0)
    for sample in range(1, SAMPLES_PER_DAY):
        carried = continues[:, sample] & ~starts[:, sample]
        burst_pct[carried, sample] = burst_pct[carried, sample - 1]
    return burst_pct, expected_pct


def _diurnal_factor() -> NDArray[np.float64]:
    """Return (288,) float64 of mean 1, the wave common to all VMs."""
    since_peak_s = np.arange(SAMPLES_PER_DAY) * SAMPLE_S - _DIURNAL_PEAK_S
    factor: NDArray[np.float64] = 1.0 + _DIURNAL_AMPLITUDE_FRAC * np.cos(2.0 * np.pi * since_peak_s / _DAY_S)
    return factor
