"""Scheduling policies by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from xengym.policies.schedulers.api import Scheduler

#: Those that come with the package: name to ``module:class``, imported when first asked for.
_BUILT_IN = {
    "arinc653": "xengym.policies.schedulers.arinc653:Arinc653Scheduler",
    "bvt": "xengym.policies.schedulers.bvt:BvtScheduler",
    "credit": "xengym.policies.schedulers.credit:CreditScheduler",
    "credit2": "xengym.policies.schedulers.credit2:Credit2Scheduler",
    "external": "xengym.policies.schedulers.external:ExternalScheduler",
    "null": "xengym.policies.schedulers.null:NullScheduler",
    "rtds": "xengym.policies.schedulers.rtds:RtdsScheduler",
    "sedf": "xengym.policies.schedulers.sedf:SedfScheduler",
}
_REGISTERED: dict[str, Callable[..., Scheduler]] = {}


def scheduler_names() -> list[str]:
    """Names of the schedulers there are, sorted."""
    return sorted([*_BUILT_IN, *_REGISTERED])


def register_scheduler(name: str, factory: Callable[..., Scheduler]) -> None:
    """Make a scheduler known by name.

    Args:
        name: what configurations call it; must be new.
        factory: called as ``factory(version, **options)`` for each host. Its attribute ``versions``, if it has one,
            names the versions it takes.

    Raises:
        ValueError: the name is taken.
    """
    if name in _BUILT_IN or name in _REGISTERED:
        raise ValueError(f"a scheduler named {name!r} is registered already")
    _REGISTERED[name] = factory


def _factory(name: str) -> Callable[..., Scheduler]:
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in _BUILT_IN:
        raise ValueError(f"unknown scheduler {name!r}; expected one of {', '.join(scheduler_names())}")
    module, _, attribute = _BUILT_IN[name].partition(":")
    factory: Callable[..., Scheduler] = getattr(import_module(module), attribute)
    return factory


def scheduler_versions(name: str) -> list[str]:
    """Versions of a scheduler, oldest first; the last is ``"current"``.

    Raises:
        ValueError: unknown name; the message lists what is known.
    """
    return list(getattr(_factory(name), "versions", ("current",)))


def make_scheduler(name: str, version: str = "current", **options: Any) -> Scheduler:
    """A new scheduler object.

    Raises:
        ValueError: unknown name, version or option; the message lists what is known.
    """
    factory = _factory(name)
    try:
        return factory(version, **options)
    except TypeError as error:
        raise ValueError(f"scheduler {name!r}: {error}") from error
