"""The scenario file of the scheduler conformance data: what was run, and what came out of the original code.

Schema ``xen-sched-oracle/1``: ``{"schema": ..., "scenarios": [...]}``. Times are integer nanoseconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA = "xen-sched-oracle/1"


class OracleError(ValueError):
    """The file is not a scenario file of a known schema; the message names file, scenario and key."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class HogWorkload(_Model):
    """Always wants to run."""

    type: Literal["hog"]


class PeriodicWorkload(_Model):
    """Runs ``run_ns``, then blocks until the next ``offset_ns + k period_ns``."""

    type: Literal["periodic"]
    run_ns: int = Field(ge=1)
    period_ns: int = Field(ge=1)
    offset_ns: int = Field(default=0, ge=0)


class ListWorkload(_Model):
    """``[run, block]`` pairs; block -1 yields, 0 goes on."""

    type: Literal["list"]
    pairs_ns: list[tuple[int, int]] = Field(min_length=1)
    loop: bool = True


Workload = Annotated[HogWorkload | PeriodicWorkload | ListWorkload, Field(discriminator="type")]


class OracleVcpu(_Model):
    """One vCPU of a scenario."""

    id: int = Field(ge=0)
    initial_pcpu: int = Field(ge=0)
    start_ns: int = Field(default=0, ge=0)
    workload: Workload
    initial_pcpu_chosen_by_scheduler: int | None = None


class OracleDomain(_Model):
    """One domain of a scenario."""

    id: int = Field(ge=0)
    params: dict[str, int] = Field(default_factory=dict)
    vcpus: list[OracleVcpu] = Field(min_length=1)


class ParamChange(_Model):
    """A change of parameters while running; ``domain`` None: of the scheduler."""

    t_ns: int = Field(ge=0)
    domain: int | None
    params: dict[str, int]


class TickPhase(_Model):
    """When the scheduler's timers fire first."""

    first_tick_ns: list[int]
    first_acct_ns: int


class OracleScenario(_Model):
    """One scenario, with the outcomes if the file has them."""

    id: str
    scheduler: str
    implementation: str
    n_pcpus: int = Field(ge=1, le=256)
    duration_ns: int = Field(ge=1)
    options: dict[str, int] = Field(default_factory=dict)
    context_switch_cost_ns: int = Field(default=0, ge=0)
    tick_phase: TickPhase | None = None
    domains: list[OracleDomain] = Field(min_length=1)
    param_changes: list[ParamChange] = Field(default_factory=list)
    outcomes: dict[str, Any] | None = None
    dispatch_trace_2s: list[tuple[int, int, str]] | None = None
    credit_trace_2s: list[tuple[int, list[dict[str, Any]]]] | None = None


def load_oracle(path: str | Path) -> tuple[list[OracleScenario], list[dict[str, Any]]]:
    """Load a scenario file.

    Returns:
        The scenarios, and the same as plain data with every key the file had.

    Raises:
        OracleError: the file is missing, is not JSON, or is not of the schema; says where and what was expected.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OracleError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OracleError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise OracleError(f"{path}:{error.lineno}: is not JSON: {error.msg}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise OracleError(f'{path}: expected {{"schema": "{SCHEMA}", "scenarios": [...]}}, found schema {found!r}')
    raw = data.get("scenarios")
    if not isinstance(raw, list):
        raise OracleError(f"{path}: key 'scenarios': expected a list, found {type(raw).__name__}")
    scenarios = []
    for number, item in enumerate(raw):
        label = item.get("id", f"number {number}") if isinstance(item, dict) else f"number {number}"
        try:
            scenarios.append(OracleScenario.model_validate(item))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise OracleError(
                f"{path}: scenario {label}: key {key!r}: {first['msg']}, found {first['input']!r:.80}"
            ) from error
    return scenarios, raw
