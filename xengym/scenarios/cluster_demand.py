"""Where the demand of a cluster's domains comes from: traces if they are there, else generators.

A folder that was named and lacks what a scenario asks for is an error, never replaced by a generator: the results
would pass for those of the traces.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xengym.formats import azure, bitbrains
from xengym.formats.vm_traces import DEMAND_ONE, VmTraces, as_demand
from xengym.scenarios.cluster_config import (
    AzureDemand,
    BitbrainsDemand,
    ConstantDemand,
    DemandConfig,
    PlanetLabDemand,
    WaveDemand,
)
from xengym.scenarios.config import ScenarioError
from xengym.scenarios.demand import find_demand
from xengym.scenarios.synthetic_bitbrains import synthesize_bitbrains

SAMPLE_S = 300

#: Machines of a generated source whose number the scenario leaves open: as many as the real one has.
_BITBRAINS_MACHINES = 500


@lru_cache(maxsize=8)
def _planetlab(data: Path | None, seed: int) -> tuple[VmTraces, str]:
    source = find_demand(data, seed=seed)
    return VmTraces.of_day(source.day), source.description


@lru_cache(maxsize=4)
def _bitbrains(data: Path, days: int) -> VmTraces:
    files = bitbrains.find_files(data)
    if not files:
        raise ScenarioError(
            f"{data}: found no Bitbrains machines, expected NUMBER.csv or NUMBER.csv.gz, or a folder of them"
        )
    return bitbrains.load_traces(files, days=days)


@lru_cache(maxsize=4)
def _azure(data: Path) -> VmTraces:
    readings, tables = azure.find_files(data)
    if not readings:
        raise ScenarioError(
            f"{data}: found no Azure readings, expected *readings*.csv or .csv.gz, or a folder azure-v2"
        )
    return azure.load_traces(readings, tables)


def find_traces(demand: DemandConfig, data: Path | None, seed: int, count: int | None) -> tuple[VmTraces, str]:
    """Machines for a group of domains, and a line that says where they come from.

    Args:
        demand: of kind ``planetlab``, ``bitbrains`` or ``azure``.
        data: folder with traces, or None.
        seed: of a generated source.
        count: domains to be served, if it is given.
    """
    if isinstance(demand, PlanetLabDemand):
        return _planetlab(data, seed)
    if isinstance(demand, BitbrainsDemand):
        if data is None:
            traces = synthesize_bitbrains(count or _BITBRAINS_MACHINES, seed=seed, days=demand.days)
            return traces, (
                f"synthetic machines with the published statistics of Bitbrains 2013-8 (no trace folder given), "
                f"{traces.num_vms} machines, {demand.days} days, seed {seed}"
            )
        traces = _bitbrains(data, demand.days)
        return traces, f"Bitbrains 2013-8, {demand.days} days of {traces.num_vms} machines from {data}"
    if isinstance(demand, AzureDemand):
        if data is None:
            raise ScenarioError("demand of kind 'azure' has no generator: name a folder with Azure traces")
        traces = _azure(data)
        return traces, f"Azure, {traces.num_vms} machines from {data}"
    raise AssertionError(demand)


def wave(
    demand: ConstantDemand | WaveDemand, count: int, num_samples: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Demand of ``count`` domains, ``uint16`` of shape ``(count, num_samples)`` in hundredths of a per cent."""
    if isinstance(demand, ConstantDemand):
        return np.full((count, num_samples), round(demand.pct * DEMAND_ONE / 100), dtype=np.uint16)
    at_h = np.arange(num_samples) * (SAMPLE_S / 3600.0)
    middle, swing = 0.5 * (demand.high_pct + demand.low_pct), 0.5 * (demand.high_pct - demand.low_pct)
    mean = middle + swing * np.cos(2.0 * np.pi * (at_h - demand.peak_h) / demand.period_h)
    pct = mean + demand.spread_pct * rng.standard_normal((count, num_samples))
    return as_demand(pct)
