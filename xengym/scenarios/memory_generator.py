"""Random hosts with less memory than their guests may want, by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from xengym.scenarios.config import ScenarioConfig

_STREAM = 0x3E3
_MAX_GUESTS = 5
_DOM0_MIB = 64
#: The same for all, since all episodes are lived by one host.
_HOST_MIB = 768


def _guest(rng: np.random.Generator, name: str, share_mib: int) -> dict[str, Any]:
    """A service that wants less than its share most of the time and up to twice and a half as much now and then."""
    service_ms = float(rng.uniform(2, 12))
    low = int(share_mib * rng.uniform(0.2, 0.7))
    high = int(share_mib * rng.uniform(1.3, 2.5))
    phases = [{"s": float(rng.uniform(10, 25)), "mib": low}, {"s": float(rng.uniform(4, 10)), "mib": high}]
    if rng.random() < 0.4:
        phases.insert(1, {"s": float(rng.uniform(3, 8)), "mib": (low + high) // 2})
    load = float(rng.uniform(0.1, 0.3))
    return {
        "name": name,
        "program": {
            "kind": "memory",
            "arrival": {"kind": "exponential", "mean_ms": service_ms / load},
            "service": {"kind": "exponential", "mean_ms": service_ms},
            "touches": int(rng.integers(300, 1500)),
            "phases": phases,
            "spread": 0.5,
            "starts_anywhere": True,
        },
        "memory_mib": share_mib,
        "max_memory_mib": int(2.5 * share_mib),
        "latency_target_ms": 12 * service_ms,
    }


def random_memory_scenario(number: int) -> ScenarioConfig:
    """A random host of two pCPUs with 2 to 5 guests whose working sets grow and shrink.

    Args:
        number: any non-negative integer; episodes pass their seed.
    """
    rng = np.random.default_rng([number, _STREAM])
    num_guests = int(rng.integers(2, _MAX_GUESTS + 1))
    share_mib = (_HOST_MIB - _DOM0_MIB) // num_guests
    work = {"run": {"kind": "exponential", "mean_ms": 0.2}, "sleep": {"kind": "exponential", "mean_ms": 10.0}}
    dom0 = {"name": "dom0", "program": {"kind": "onoff", **work}, "memory_mib": _DOM0_MIB, "min_memory_mib": _DOM0_MIB}
    guests = [_guest(rng, f"guest{i + 1}", share_mib) for i in range(num_guests)]
    return ScenarioConfig.model_validate(
        {
            "name": f"random-memory-{number}",
            "description": f"random scenario with balloons, number {number}",
            "machine": {"cores_per_socket": 2, "memory_mib": _HOST_MIB},
            "domains": [dom0, *guests],
            "control": {"interval_ms": 500.0, "episode_s": 100.0, "warmup_ms": 1000.0},
            "reward": {
                "sla": 1.0, "isolation": 0.0, "work": 0.0, "switching": 0.0, "swapping": 0.5, "ballooning": 0.5,
            },
        }
    )  # fmt: skip
