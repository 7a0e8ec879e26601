"""Scheduling policies by name: Xen's, those a program registers, and those that installed packages offer.

A package offers a scheduler as an entry point of the group ``xengym.schedulers`` in its ``pyproject.toml``:

    [project.entry-points."xengym.schedulers"]
    lottery = "my_package.lottery:Lottery"

It is known everywhere then, the command line included, and imported when first asked for. What it names is a subclass
of ``Scheduler`` or of ``PythonPolicy``, or a function called as ``factory(version, **options)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xengym.policies.schedulers.api import Scheduler

#: Group of the entry points by which installed packages offer schedulers.
ENTRY_POINTS = "xengym.schedulers"

#: Those that come with the package: name to ``module:class``, imported when first asked for.
_BUILT_IN = {
    "arinc653": "xengym.policies.schedulers.arinc653:Arinc653Scheduler",
    "bvt": "xengym.policies.schedulers.bvt:BvtScheduler",
    "communication-aware": "xengym.policies.schedulers.communication_aware:CommunicationAwareScheduler",
    "credit": "xengym.policies.schedulers.credit:CreditScheduler",
    "credit2": "xengym.policies.schedulers.credit2:Credit2Scheduler",
    "external": "xengym.policies.schedulers.external:ExternalScheduler",
    "null": "xengym.policies.schedulers.null:NullScheduler",
    "rtds": "xengym.policies.schedulers.rtds:RtdsScheduler",
    "sedf": "xengym.policies.schedulers.sedf:SedfScheduler",
    "sedf-dc": "xengym.policies.schedulers.sedf_dc:SedfDcScheduler",
    "share-guard": "xengym.policies.schedulers.share_guard:ShareGuardScheduler",
    "workload-manager": "xengym.policies.schedulers.workload_manager:WorkloadManagerScheduler",
}
_REGISTERED: dict[str, Callable[..., Scheduler]] = {}


@lru_cache(maxsize=1)
def _offered() -> dict[str, list[EntryPoint]]:
    """What installed packages offer, by name; looked up once."""
    offered: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in _BUILT_IN:
            warnings.warn(f"{_source(point)} offers a scheduler {point.name!r}, which is xengym's own", stacklevel=2)
        else:
            offered.setdefault(point.name, []).append(point)
    return offered


def _source(point: EntryPoint) -> str:
    return f"package {point.dist.name!r}" if point.dist is not None else f"entry point {point.value!r}"


def scheduler_names() -> list[str]:
    """Names of the schedulers there are, sorted."""
    return sorted({*_BUILT_IN, *_REGISTERED, *_offered()})


def register_scheduler(name: str, factory: Callable[..., Scheduler]) -> None:
    """Make a scheduler known by name in this process; it goes before one that an installed package offers.

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
    factory: Callable[..., Scheduler]
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        factory = getattr(import_module(module), attribute)
        return factory
    points = _offered().get(name, [])
    if not points:
        raise ValueError(f"unknown scheduler {name!r}; expected one of {', '.join(scheduler_names())}")
    if len(points) > 1:
        raise ValueError(f"scheduler {name!r} is offered by {' and by '.join(map(_source, points))}; expected one")
    return _load(points[0])


@lru_cache(maxsize=64)
def _load(point: EntryPoint) -> Callable[..., Scheduler]:
    from xengym.policies.schedulers.python_policy import PythonPolicy, python_scheduler

    where = f"scheduler {point.name!r} of {_source(point)}"
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where} cannot be imported: {error}") from error
    if isinstance(loaded, type) and issubclass(loaded, PythonPolicy):
        return python_scheduler(loaded)
    if not callable(loaded):
        raise ValueError(f"{where}: {point.value} is no class of a scheduler and no function that makes one")
    factory: Callable[..., Scheduler] = loaded
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
