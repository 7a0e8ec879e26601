"""Scheduling policies by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.credit import CreditScheduler

_SCHEDULERS: dict[str, Callable[..., Scheduler]] = {"credit": CreditScheduler}


def scheduler_names() -> list[str]:
    """Names of the registered schedulers, sorted."""
    return sorted(_SCHEDULERS)


def register_scheduler(name: str, factory: Callable[..., Scheduler]) -> None:
    """Make a scheduler known by name.

    Args:
        name: what configurations call it; must be new.
        factory: called as ``factory(version, **options)`` for each host.

    Raises:
        ValueError: the name is taken.
    """
    if name in _SCHEDULERS:
        raise ValueError(f"a scheduler named {name!r} is registered already")
    _SCHEDULERS[name] = factory


def make_scheduler(name: str, version: str = "current", **options: Any) -> Scheduler:
    """A new scheduler object.

    Raises:
        ValueError: unknown name, version or option; the message lists what is known.
    """
    try:
        factory = _SCHEDULERS[name]
    except KeyError:
        raise ValueError(f"unknown scheduler {name!r}; expected one of {', '.join(scheduler_names())}") from None
    try:
        return factory(version, **options)
    except TypeError as error:
        raise ValueError(f"scheduler {name!r}: {error}") from error
