"""Write a scheduler in plain Python: derive from ``PythonPolicy``, register it, name it in a scenario.

    class Lottery(PythonPolicy):
        name = "lottery"
        tunables = [Tunable("tickets", 1, 1000, 100, log_scale=True)]

        def attached(self, pool):
            super().attached(pool)
            self.random = random.Random(pool.seed)

        def choose(self, pcpu, candidates, now_ns):
            tickets = [self.pool.param(v, "tickets") for v in candidates]
            return self.random.choices(candidates, tickets)[0], 10_000_000

    register_python_policy(Lottery)

It is slow, some microseconds a decision; a compiled scheduler derives from ``SharedQueueScheduler`` or ``Scheduler``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from xengym.policies.schedulers.registry import register_scheduler
from xengym.policies.schedulers.tunables import Tunable

if TYPE_CHECKING:
    from xengym.policies.schedulers.python_adapter import PythonScheduler


class PythonPolicy:
    """A scheduling policy in plain Python; only ``choose`` has to be written.

    Whatever decides how it goes on must be in attributes that can be pickled: they are part of a host's snapshot.

    Attributes:
        name: what scenarios call it.
        versions: versions that may be asked for.
        tunables: parameters of each domain; an agent may set the first four.
        pool: the cpupool it schedules, to look at (``PythonScheduler``): ``pcpus()``, ``current(pcpu)``, ``param(vcpu,
            name)``, ``domid_of(vcpu)``, ``ran_ns(vcpu)``, ``cpu_ns(vcpu)``, ``now_ns``, ``seed``.
    """

    name: ClassVar[str] = "python"
    versions: ClassVar[tuple[str, ...]] = ("current",)
    tunables: ClassVar[Sequence[Tunable]] = ()
    pool: PythonScheduler

    def attached(self, pool: PythonScheduler) -> None:
        """It schedules ``pool`` from now on, at time 0 of an episode or later; no vCPU is there yet."""
        self.pool = pool

    def vcpu_added(self, vcpu: int) -> None:
        """A vCPU has appeared; it does not run yet."""

    def vcpu_removed(self, vcpu: int) -> None:
        """It has gone."""

    def woken(self, vcpu: int, now_ns: int) -> None:
        """It can run from now on and waits; a pass on a pCPU that may take it follows."""

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

    def state(self) -> dict[str, Any]:
        """What decides how it goes on: all its attributes but ``pool``."""
        return {name: value for name, value in self.__dict__.items() if name != "pool"}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.__dict__.update(state)


def register_python_policy(policy_class: type[PythonPolicy]) -> None:
    """Make a policy known by its name, for scenarios, environments and the command line.

    Raises:
        ValueError: the name is taken.
    """
    from xengym.policies.schedulers.python_adapter import PythonScheduler

    factory = partial(PythonScheduler, policy_class)
    factory.versions = policy_class.versions  # type: ignore[attr-defined]
    register_scheduler(policy_class.name, factory)
