"""Random hosts with devices by number: guests whose packets cost CPU in a driver domain, some of them greedy."""

from __future__ import annotations

from typing import Any

import numpy as np

from xengym.scenarios.config import ScenarioConfig

_STREAM = 0x10
_MAX_GUESTS = 5
_MAX_CLIENTS = 100

#: Room for the largest of them, so that all have hosts of one layout.
_DEVICE_LIMITS = {
    "max_vifs": _MAX_GUESTS, "max_flows": 800, "max_requests": 64 * _MAX_GUESTS, "max_populations": _MAX_GUESTS,
    "max_clients": _MAX_GUESTS * _MAX_CLIENTS,
}  # fmt: skip


def _exponential(mean_ms: float) -> dict[str, Any]:
    return {"kind": "exponential", "mean_ms": mean_ms}


def _web(rng: np.random.Generator) -> dict[str, Any]:
    work_ms = float(rng.uniform(0.3, 2.0))
    size = int(rng.choice([1_000, 8_000, 40_000]))
    if rng.random() < 0.5:
        think = _exponential(float(rng.uniform(30, 150)))
        clients = {"kind": "closed", "think": think, "num": int(rng.integers(4, 31))}
    else:
        clients = {"kind": "open", "think": _exponential(work_ms / float(rng.uniform(0.1, 0.4))), "num": 60}
    return {
        "program": {"kind": "os", "service": {"before": _exponential(work_ms), "sizes_bytes": [(1.0, size)]}},
        "clients": [clients],
        "latency_target_ms": 8 * work_ms + 5,
        "agreed_pcpus": round(float(rng.uniform(0.15, 0.35)), 3),
    }


def _stream(rng: np.random.Generator) -> dict[str, Any]:
    num = int(rng.integers(10, 61))
    service = {"before": {"kind": "constant", "mean_ms": 0.3}, "sizes_bytes": [(1.0, 10_000)]}
    clients = {"kind": "stream", "think": {"kind": "constant", "mean_ms": 200.0}, "num": num, "deadline_ms": 200.0}
    return {
        "program": {"kind": "os", "service": service},
        "clients": [clients],
        "latency_target_ms": 100.0,
        "agreed_pcpus": round(0.05 + num / 250, 3),
    }


def _greedy(rng: np.random.Generator) -> dict[str, Any]:
    service = {"before": _exponential(0.2), "sizes_bytes": [(1.0, 100_000)]}
    clients = {"kind": "closed", "think": {"kind": "constant", "mean_ms": 0.0}, "num": int(rng.integers(4, 17))}
    return {
        "program": {"kind": "os", "service": service},
        "clients": [clients],
        "latency_target_ms": 250.0,
        "agreed_pcpus": 0.1,
    }


def _flooded(rng: np.random.Generator) -> dict[str, Any]:
    interval_ms = float(rng.uniform(0.02, 0.1))
    clients = {"kind": "flood", "think": _exponential(interval_ms), "request_bytes": int(rng.integers(64, 1500))}
    return {"program": {"kind": "os"}, "clients": [clients], "agreed_pcpus": 0.1}


_QUIET = (_web, _stream)
_LOUD = (_greedy, _flooded)


def random_io_scenario(number: int) -> ScenarioConfig:
    """A random host with a network card: one pCPU, its driver in Dom0, 2 to 5 guests, 1 or 2 of them loud, and a hog.

    Args:
        number: any non-negative integer; episodes pass their seed.
    """
    rng = np.random.default_rng([number, _STREAM])
    num_loud = int(rng.integers(1, 3))
    num_quiet = int(rng.integers(1, _MAX_GUESTS - num_loud + 1))
    makers = [_QUIET[int(rng.integers(2))] for _ in range(num_quiet)]
    makers += [_LOUD[int(rng.integers(2))] for _ in range(num_loud)]
    domains: list[dict[str, Any]] = [{"name": "dom0", "program": {"kind": "os"}, "agreed_pcpus": 0.2}]
    for i, maker in enumerate(makers):
        domains.append({"name": f"{maker.__name__[1:]}{i + 1}", "vifs": [{"nic": "eth0"}], **maker(rng)})
    domains.append({"name": "batch", "program": {"kind": "hog"}, "agreed_pcpus": 0.05})
    return ScenarioConfig.model_validate(
        {
            "name": f"random-io-{number}",
            "description": f"random scenario with devices, number {number}",
            "machine": {"cores_per_socket": 1},
            "devices": {
                "model": "xen3_split_flip" if rng.random() < 0.5 else "xen3_split_copy",
                "nics": [{"name": "eth0", "backend": "dom0", "delay_ms": 0.2}],
            },
            "domains": domains,
            "control": {"interval_ms": 20.0, "episode_s": 4.0, "warmup_ms": 200.0},
            "reward": {"sla": 1.0, "isolation": 0.5, "work": 0.0, "switching": 0.0, "goodput": 1.0, "taken": 2.0},
            "limits": {"devices": _DEVICE_LIMITS},
        }
    )
