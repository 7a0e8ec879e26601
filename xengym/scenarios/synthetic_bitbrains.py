"""Weeks of business machines drawn at random, for when no Bitbrains trace is there.

The traces may not be redistributed. This generator draws machines with the published statistics of the month 2013-8
of GWA-T-12 "rnd" (500 machines) and a similar structure in time; no reading is in here, only figures computed from
the month.

- *Size*: cores by their measured frequency; MHz a core between 2600 and 2926; memory by cores, with a log-normal
  spread.
- *Mean demand*: spread over the machines as measured (`_MEAN_QUANTILES_PCT`): most do nearly nothing, one in nine is
  above 30 %. Larger machines are busier: their ranks are tied by a Gaussian copula, so that the mean weighted by MHz
  is almost twice the plain one, as measured.
- *Time*: a machine is steady (its mean, a faint daily wave, a slow drift and noise), or it works in batches: for
  hours at 100 %, for hours at nearly nothing. Half of those with means of 20 to 60 % do, as two of the four such
  machines looked at.

Constants marked *measured* are figures of the month; those marked *fitted* were chosen so that the statistics of
generated months come close to them; *assumed* ones are neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xengym.formats.vm_traces import TO_THE_END_S, VmTraces, as_demand

SAMPLES_PER_DAY = 288

#: Cores and the number of machines that have so many. Measured; three machines that are switched off are left out.
_CORES = (1, 2, 4, 6, 8, 16, 32)
_CORE_COUNTS = np.array([228, 93, 115, 2, 55, 1, 3])
#: Memory in GB of a machine with so many cores, and its log-normal spread. Fitted to a few machines of each size.
_MEMORY_GB = {1: 1.0, 2: 8.0, 4: 10.0, 6: 16.0, 8: 24.0, 16: 64.0, 32: 32.0}
_MEMORY_LOG_SD = 0.6
_MHZ_A_CORE = (2600.0, 2660.0, 2700.0, 2926.0)

#: Quantiles of the machines' means, per cent; in between, the logarithm is interpolated. Those at 0.5, 0.78 and 0.89
#: are measured, the others fitted to the mean.
_MEAN_FRAC = np.array([0.0, 0.10, 0.25, 0.50, 0.65, 0.78, 0.85, 0.89, 0.95, 0.99, 1.0])
_MEAN_QUANTILES_PCT = np.array([0.02, 0.1, 0.4, 1.52, 2.6, 5.0, 12.0, 30.5, 42.0, 56.0, 80.0])
#: Correlation of a machine's size and its mean, as normal scores. Fitted to the mean weighted by MHz.
_SIZE_TO_MEAN = 0.56

#: Part of the machines with means in this range that work in batches. Fitted.
_BATCH_FRAC = 0.5
_BATCH_RANGE_PCT = (20.0, 60.0)
#: Mean length of a batch. Fitted to the autocorrelation after an hour.
_BATCH_S = 4.5 * 3600.0
_BATCH_IDLE_PCT = 0.5

#: Steady machines: relative spread of the noise from sample to sample for a machine of the given mean, and of the
#: drift, whose autocorrelation falls to 1/e in the time below. Fitted.
_NOISE_AT_PCT = np.array([0.05, 0.5, 2.0, 10.0, 30.0, 60.0])
_NOISE_CV = np.array([2.5, 1.2, 0.6, 0.3, 0.2, 0.1])
_DRIFT_LOG_SD = 0.9
_DRIFT_S = 4.0 * 3600.0
#: Samples that a level of the noise holds, on average. Fitted to the autocorrelation after 5 min.
_HOLD_SAMPLES = 2.5
#: Amplitude of the daily wave, mean of an exponential distribution over the machines. Assumed.
_DAILY_AMPLITUDE = 0.15
#: Sent bytes a second: median and log-normal spread. Fitted.
_SENT_BYTES_PER_S = 3000.0
_SENT_LOG_SD = 1.8

_SAMPLE_S = 300.0
_STREAM_KEY = 20_130_800


@dataclass(frozen=True)
class MonthStatistics:
    """Figures that sum up many machines; in per cent, unless said otherwise.

    Attributes:
        mean_pct: mean over all machines and samples.
        weighted_mean_pct: the same, weighted by MHz.
        median_vm_pct: median of the machines' means.
        light_frac: part of the machines whose mean is below 5 %.
        busy_frac: part of the machines whose mean is above 30 %.
        cores: part of the machines with 1, 2, 4 and 8 cores.
    """

    mean_pct: float
    weighted_mean_pct: float
    median_vm_pct: float
    light_frac: float
    busy_frac: float
    cores: tuple[float, float, float, float]

    @classmethod
    def of(cls, traces: VmTraces) -> MonthStatistics:
        """Compute the figures, not rounded."""
        means = traces.mean_pct
        return cls(
            mean_pct=float(means.mean()),
            weighted_mean_pct=float((means * traces.mhz).sum() / traces.mhz.sum()),
            median_vm_pct=float(np.median(means)),
            light_frac=float((means < 5).mean()),
            busy_frac=float((means > 30).mean()),
            cores=tuple(float((traces.vcpus == cores).mean()) for cores in (1, 2, 4, 8)),  # type: ignore[arg-type]
        )


PUBLISHED_2013_8 = MonthStatistics(
    mean_pct=6.96,
    weighted_mean_pct=12.9,
    median_vm_pct=1.52,
    light_frac=0.78,
    busy_frac=0.11,
    cores=(228 / 500, 93 / 500, 115 / 500, 55 / 500),
)
"""The month 2013-8, all 500 machines."""


def synthesize_bitbrains(num_vms: int = 500, *, seed: int, days: int = 7) -> VmTraces:
    """Draw machines with the statistics of the Bitbrains month.

    Args:
        num_vms: number of machines, at least 1.
        seed: 0 or more; the same seed, number and days give the same machines (with the same numpy).
        days: length of the traces, at least 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if num_vms < 1 or days < 1 or seed < 0:
        raise ValueError(f"expected num_vms and days of at least 1 and seed 0 or more, found {num_vms}, {days}, {seed}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM_KEY,))))
    score = rng.standard_normal(num_vms)
    cores = _cores(_SIZE_TO_MEAN * score + np.sqrt(1.0 - _SIZE_TO_MEAN**2) * rng.standard_normal(num_vms))
    means = _means_pct(score, rng)
    num_samples = days * SAMPLES_PER_DAY
    is_batch = (means > _BATCH_RANGE_PCT[0]) & (means < _BATCH_RANGE_PCT[1]) & (rng.random(num_vms) < _BATCH_FRAC)
    pct = np.empty((num_vms, num_samples))
    for vm in range(num_vms):
        pct[vm] = _batches(means[vm], num_samples, rng) if is_batch[vm] else _steady(means[vm], num_samples, rng)
    # Cutting at 100 % and the chance of a short stretch have moved the mean: put it right where there is room.
    now = pct.mean(axis=1)
    pct = np.minimum(pct * (means / np.maximum(now, 1e-9))[:, np.newaxis], 100.0)
    digits = max(4, len(str(num_vms - 1)))
    memory_gb = np.array([_MEMORY_GB[int(c)] for c in cores]) * np.exp(_MEMORY_LOG_SD * rng.standard_normal(num_vms))
    return VmTraces(
        name=f"synthetic-bitbrains-seed{seed}",
        vm_names=tuple(f"vm{number:0{digits}d}" for number in range(num_vms)),
        demand=as_demand(pct),
        vcpus=cores.astype(np.int32),
        mhz=cores * rng.choice(np.array(_MHZ_A_CORE), num_vms),
        memory_bytes=(np.clip(memory_gb, 0.125, 192.0) * (1 << 30)).astype(np.int64),
        sent_bytes_per_s=_SENT_BYTES_PER_S * np.exp(_SENT_LOG_SD * rng.standard_normal(num_vms)),
        created_s=np.zeros(num_vms, np.int64),
        deleted_s=np.full(num_vms, TO_THE_END_S, np.int64),
    )


def _ranks(score: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.argsort(np.argsort(score))


def _cores(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cores by rank of the score: as many machines of each size as measured."""
    cumulative = np.cumsum(_CORE_COUNTS) / _CORE_COUNTS.sum()
    frac = (_ranks(score) + 0.5) / len(score)
    return np.array(_CORES)[np.searchsorted(cumulative, frac)]


def _means_pct(score: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Means by rank of the score: one from each of equal slices of the distribution."""
    frac = (_ranks(score) + rng.random(len(score))) / len(score)
    means: NDArray[np.float64] = np.exp(np.interp(frac, _MEAN_FRAC, np.log(_MEAN_QUANTILES_PCT)))
    return means


def _steady(mean_pct: float, num_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    cv = float(np.interp(np.log(mean_pct), np.log(_NOISE_AT_PCT), _NOISE_CV)) * np.exp(0.4 * rng.standard_normal())
    keep = np.exp(-_SAMPLE_S / _DRIFT_S)
    steps = np.sqrt(1.0 - keep**2) * rng.standard_normal(num_samples)
    drift = np.empty(num_samples)
    drift[0] = rng.standard_normal()
    for i in range(1, num_samples):
        drift[i] = keep * drift[i - 1] + steps[i]
    log_sd = min(_DRIFT_LOG_SD, cv) * rng.exponential(1.0)
    amplitude = min(0.9, rng.exponential(_DAILY_AMPLITUDE))
    phase = rng.random()
    wave = 1.0 + amplitude * np.cos(2.0 * np.pi * (np.arange(num_samples) / SAMPLES_PER_DAY - phase))
    shape = cv**-2
    noise = rng.gamma(shape, 1.0 / shape, num_samples)
    # A level holds for a while: readings of one machine follow each other closely.
    begins = rng.random(num_samples) < 1.0 / _HOLD_SAMPLES
    begins[0] = True
    noise = noise[np.maximum.accumulate(np.where(begins, np.arange(num_samples), 0))]
    load: NDArray[np.float64] = mean_pct * wave * np.exp(log_sd * drift - 0.5 * log_sd**2) * noise
    return np.minimum(load, 100.0)


def _batches(mean_pct: float, num_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    busy_frac = mean_pct / 100.0
    idle_s = _BATCH_S * (1.0 - busy_frac) / busy_frac
    pct = np.empty(num_samples)
    at, is_busy = 0, bool(rng.random() < busy_frac)
    while at < num_samples:
        length = 1 + int(rng.exponential(_BATCH_S if is_busy else idle_s) / _SAMPLE_S)
        pct[at : at + length] = 100.0 if is_busy else _BATCH_IDLE_PCT
        at, is_busy = at + length, not is_busy
    return pct
