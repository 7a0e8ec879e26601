"""Random scenarios by number: the same number is the same scenario, everywhere and for ever within a version."""

from __future__ import annotations

from typing import Any

import numpy as np

from xengym.scenarios.config import ScenarioConfig

_STREAM = 0xD0


def _server(rng: np.random.Generator) -> tuple[dict[str, Any], float, float]:
    service_ms = float(rng.uniform(0.5, 4.0))
    load = float(rng.uniform(0.15, 0.6))
    kind = str(rng.choice(["exponential", "lognormal", "uniform"]))
    program = {
        "kind": "server",
        "arrival": {"kind": "exponential", "mean_ms": service_ms / load},
        "service": {"kind": kind, "mean_ms": service_ms, "spread": 0.8 if kind != "exponential" else 0.0},
    }
    return program, load, float(rng.uniform(6, 15)) * service_ms


def _replay(rng: np.random.Generator) -> tuple[dict[str, Any], float, float]:
    low = float(rng.uniform(5, 40))
    period_ms = float(rng.choice([10, 20, 40]))
    program = {
        "kind": "replay", "mean_pct": (low, low + 25), "sample_s": float(rng.uniform(0.2, 1.0)),
        "job_period_ms": period_ms, "spread": float(rng.uniform(0, 0.8)),
    }  # fmt: skip
    return program, (low + 12) / 100, 2 * period_ms


def _periodic(rng: np.random.Generator) -> tuple[dict[str, Any], float, float]:
    period_ms = float(rng.choice([10, 20, 33, 40]))
    load = float(rng.uniform(0.1, 0.5))
    return {"kind": "periodic", "run_ms": load * period_ms, "period_ms": period_ms}, load, period_ms


def _onoff(rng: np.random.Generator) -> tuple[dict[str, Any], float, float]:
    run_ms = float(rng.uniform(0.2, 5.0))
    load = float(rng.uniform(0.1, 0.6))
    program = {
        "kind": "onoff",
        "run": {"kind": "exponential", "mean_ms": run_ms},
        "sleep": {"kind": "pareto", "mean_ms": run_ms * (1 - load) / load, "spread": 1.8},
    }
    return program, load, 5 * run_ms


_MAKERS = (_server, _replay, _periodic, _onoff)


def random_scenario(number: int) -> ScenarioConfig:
    """A random consolidated host: four pCPUs, Dom0, 3 to 7 guests of mixed kinds and 1 to 2 batch hogs among them.

    Args:
        number: any non-negative integer; episodes pass their seed.
    """
    rng = np.random.default_rng([number, _STREAM])
    num_guests = int(rng.integers(3, 8))
    num_hogs = int(rng.integers(1, 3))
    domains: list[dict[str, Any]] = [
        {
            "name": "dom0", "vcpus": 2, "latency_target_ms": 5.0, "agreed_pcpus": 0.25,
            "program": {
                "kind": "onoff",
                "run": {"kind": "exponential", "mean_ms": 0.3},
                "sleep": {"kind": "exponential", "mean_ms": float(rng.uniform(2, 10))},
            },
        }
    ]  # fmt: skip
    for i in range(num_guests - num_hogs):
        program, load, target_ms = _MAKERS[int(rng.integers(len(_MAKERS)))](rng)
        domains.append(
            {
                "name": f"{program['kind']}{i + 1}",
                "vcpus": int(rng.integers(1, 3)),
                "program": program,
                "latency_target_ms": target_ms,
                "agreed_pcpus": round(1.3 * load, 3),
            }
        )
    domains.extend(
        {"name": f"batch{i + 1}", "vcpus": int(rng.integers(1, 5)), "program": {"kind": "hog"}, "agreed_pcpus": 0.4}
        for i in range(num_hogs)
    )
    return ScenarioConfig.model_validate(
        {
            "name": f"random-{number}",
            "description": f"random scenario number {number}",
            "domains": domains,
            "control": {"interval_ms": 10.0, "episode_s": 2.0},
        }
    )
