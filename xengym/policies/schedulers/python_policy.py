"""Write a scheduler in plain Python: derive from ``PythonPolicy``, register it, name it in a scenario.

    class Lottery(PythonPolicy):
        name = "lottery"
        tunables = (Tunable("tickets", 1, 1000, 100, log_scale=True),)

        def attached(self, pool):
            self.random = random.Random(pool.seed)

        def choose(self, pcpu, candidates, now_ns):
            tickets = [self.pool.param(v, "tickets") for v in candidates]
            return self.random.choices(candidates, tickets)[0], 10_000_000

    register_python_policy(Lottery)

It is slow, some microseconds a decision; a compiled scheduler derives from ``SharedQueueScheduler`` or ``Scheduler``.
The guide to all three, with a package of your own, is ``docs/your-own-scheduler.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.registry import register_scheduler
from xengym.policies.schedulers.tunables import Share, Tunable

if TYPE_CHECKING:
    from xengym.policies.schedulers.python_adapter import PythonScheduler


class PythonPolicy:
    """A scheduling policy in plain Python; only ``choose`` has to be written.

    Who waits, who may run where, what happens to an illegal choice and whom a wake-up asks is taken care of
    (``shared_queue.pyx``). Options of a scenario (``scheduler.options``) go to the constructor, but for ``slice_us``
    and ``wake_asks``, which every policy has. A new object is made for each episode: begin in ``attached``, and give
    ``__init__`` only options.

    Whatever decides how it goes on must be in attributes that can be pickled: they are part of a host's snapshot. For
    the same reason chance has to come from a generator of its own, seeded with ``pool.seed``, never from a global one.

    An exception in a method stops time at that instant and is raised to whoever let time pass.

    Attributes:
        name: what scenarios call it.
        versions: versions that may be asked for, oldest first.
        tunables: integer parameters of each domain; an agent may set the first four.
        pool: the cpupool it schedules, to look at (``PythonScheduler``): ``pcpus()``, ``current(pcpu)``, ``param(vcpu,
            name)``, ``domain_of(vcpu)``, ``domid_of(vcpu)``, ``ran_ns(vcpu)``, ``cpu_ns(vcpu)``, ``now_ns``, ``seed``.
            VCPUs and domain slots are numbers, and a number that was given back is given out again.
    """

    name: ClassVar[str] = "python"
    versions: ClassVar[tuple[str, ...]] = ("current",)
    tunables: ClassVar[Sequence[Tunable]] = ()
    pool: PythonScheduler

    def attached(self, pool: PythonScheduler) -> None:
        """It schedules ``pool`` (also ``self.pool``) from now on, at time 0 or later; no vCPU is there yet."""

    def vcpu_added(self, vcpu: int) -> None:
        """A vCPU has appeared; it does not run yet, and its domain's parameters are the defaults."""

    def vcpu_removed(self, vcpu: int) -> None:
        """It has gone."""

    def woken(self, vcpu: int, now_ns: int) -> None:
        """It can run from now on and waits; a pass on a pCPU that may take it follows.

        Not called for one that was switched out and could go on: it is among the candidates of the next ``choose``.
        """

    def choose(self, pcpu: int, candidates: list[int], now_ns: int) -> tuple[int | None, int | None]:
        """Who runs next.

        Args:
            pcpu: where.
            candidates: who may: first the one that runs there, if it can go on, then those waiting, longest first.
            now_ns: simulated time.

        Returns:
            One of ``candidates``, or None for idle; and for how long at most in ns, None for the default slice. Another
            vCPU is refused, counted, and replaced by who has waited longest.
        """
        raise NotImplementedError(f"scheduler {self.name!r} does not say how to choose")

    def share(self, params: Mapping[str, int]) -> Share:
        """What a domain with these parameters is given, in terms that other schedulers understand."""
        return Share()

    def params_from(self, share: Share, num_vcpus: int) -> tuple[dict[str, int], list[str]]:
        """Parameters that come closest to ``share``, and its terms that have no counterpart here.

        So a scenario written for another scheduler keeps its meaning under this one.
        """
        return {}, share.stated()

    def state(self) -> dict[str, Any]:
        """What decides how it goes on: all its attributes but ``pool``."""
        return {name: value for name, value in self.__dict__.items() if name != "pool"}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.__dict__.update(state)


def python_scheduler(policy_class: type[PythonPolicy]) -> Callable[..., Scheduler]:
    """A function that makes schedulers of a policy's class, as ``factory(version, **options)``."""
    from xengym.policies.schedulers.python_adapter import PythonScheduler

    factory = partial(PythonScheduler, policy_class)
    factory.versions = policy_class.versions  # type: ignore[attr-defined]
    return factory


def register_python_policy(policy_class: type[PythonPolicy]) -> None:
    """Make a policy known by its name in this process, for scenarios and environments.

    Raises:
        ValueError: the name is taken.
    """
    register_scheduler(policy_class.name, python_scheduler(policy_class))
