"""Scheduler parameters as people read them: times in ms, whatever unit the scheduler counts in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MS = {"_ns": 1e-6, "_us": 1e-3, "_ms": 1.0}


def heading(name: str) -> str:
    """A parameter's name as a heading: ``period_ns`` is ``period ms``."""
    return f"{name[:-3]} ms" if name[-3:] in _MS else name


def cell(name: str, value: Any) -> str:
    """A parameter's value under its ``heading``; ``-`` for one that a domain does not have."""
    if value is None:
        return "-"
    return f"{value * _MS[name[-3:]]:g}" if name[-3:] in _MS else str(value)


def phrase(name: str, value: Any) -> str:
    """Name and value in one: ``period 10 ms``, ``weight 512``."""
    return f"{name[:-3]} {cell(name, value)} ms" if name[-3:] in _MS else f"{name} {value}"


def columns(domains: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all parameters that any of the domains has, in their order."""
    return list(dict.fromkeys(name for params in domains for name in params))
