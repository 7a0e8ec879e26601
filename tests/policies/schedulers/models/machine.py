"""A host once more, in plain Python and without the kernel: a loop over instants, nothing clever.

It knows hogs, periodic programs and lists, and the conventions of the conformance data: completions, then wake-ups
(both in vCPU order), then timers, then passes on ascending pCPUs, each until it has none pending, in rounds. A model of
a scheduler derives from it; it is written from the description of the algorithm alone, so that what both have wrong is
wrong there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NEVER = 2**62


@dataclass
class Vcpu:
    """One vCPU's program, and where it stands.

    Programs are ("hog",), ("periodic", run, period, offset) and ("list", pairs, loop), all times in ns.
    """

    program: tuple
    pcpu: int
    start_ns: int
    domain: int = 0
    params: dict = field(default_factory=dict)
    is_runnable: bool = False
    position: int = 0
    work_ns: int = 0
    wake_at_ns: int = NEVER
    ran_ns: int = 0

    def next_work(self) -> None:
        if self.program[0] == "hog":
            self.work_ns = NEVER
        elif self.program[0] == "periodic":
            self.work_ns = self.program[1]
        else:
            self.work_ns = self.program[1][self.position][0]

    def completed(self, now_ns: int) -> str:
        """The work is done: "block", "yield" or "go on"; when blocked, ``wake_at_ns`` is set."""
        if self.program[0] == "periodic":
            _, _, period_ns, offset_ns = self.program
            self.wake_at_ns = offset_ns if now_ns < offset_ns else now_ns + period_ns - (now_ns - offset_ns) % period_ns
            return "block"
        _, pairs, loop = self.program
        pause_ns = pairs[self.position][1]
        self.position += 1
        if self.position == len(pairs):
            if not loop:
                return "block"
            self.position = 0
        if pause_ns > 0:
            self.wake_at_ns = now_ns + pause_ns
            return "block"
        self.next_work()
        return "yield" if pause_ns < 0 else "go on"


class Machine:
    """``run`` fills ``trace`` with ``(ns, pCPU, vCPU or None)`` and ``passes`` with the passes of each pCPU."""

    def __init__(self, num_pcpus: int, vcpus: list[Vcpu]) -> None:
        self.num_pcpus, self.vcpus = num_pcpus, vcpus
        self.trace: list[tuple[int, int, int | None]] = []
        self.now_ns = 0
        self.current: list[int | None] = [None] * num_pcpus
        self.switched_at_ns = [0] * num_pcpus
        self.slice_end_ns = [NEVER] * num_pcpus
        self.passes = [0] * num_pcpus
        self.pending: set[int] = set()
        for vcpu in vcpus:
            vcpu.wake_at_ns = vcpu.start_ns

    # -- what a scheduler says -----------------------------------------------------------------------------------

    def woken(self, v: int) -> None:
        """v can run."""

    def yielded(self, v: int) -> None:
        """v gives way."""

    def decide(self, p: int) -> tuple[int | None, int | None]:
        """Who runs next on p, and the slice (None: no timer)."""
        raise NotImplementedError

    def saved(self, v: int) -> None:
        """v has been switched out."""

    def next_timer_ns(self) -> int:
        """When the scheduler's own timers fire next."""
        return NEVER

    def fire_timers(self) -> None:
        """Those of this instant."""

    # -- the machine ---------------------------------------------------------------------------------------------

    def is_current(self, v: int) -> bool:
        return self.current[self.vcpus[v].pcpu] == v

    def one_pass(self, p: int) -> None:
        self.passes[p] += 1
        before = self.current[p]
        after, slice_ns = self.decide(p)
        self.slice_end_ns[p] = NEVER if slice_ns is None else self.now_ns + slice_ns
        if after == before:
            return
        self.current[p] = after
        self.switched_at_ns[p] = self.now_ns
        if after is not None:
            self.vcpus[after].pcpu = p
        self.trace.append((self.now_ns, p, after))
        if before is not None:
            self.saved(before)

    def all_passes(self) -> None:
        while self.pending:
            for p in range(self.num_pcpus):
                while p in self.pending:
                    self.pending.remove(p)
                    self.one_pass(p)

    def completions(self) -> None:
        for v, vcpu in enumerate(self.vcpus):
            if self.is_current(v) and vcpu.is_runnable and vcpu.work_ns == 0:
                what = vcpu.completed(self.now_ns)
                vcpu.is_runnable = what != "block"
                if what == "yield":
                    self.yielded(v)
                if what != "go on":
                    self.pending.add(vcpu.pcpu)

    def wakes(self) -> None:
        for v, vcpu in enumerate(self.vcpus):
            if vcpu.wake_at_ns == self.now_ns:
                vcpu.wake_at_ns = NEVER
                vcpu.next_work()
                vcpu.is_runnable = True
                self.woken(v)

    def run(self, until_ns: int) -> None:
        """Live up to that instant, which is not lived itself."""
        while True:
            instants = [vcpu.wake_at_ns for vcpu in self.vcpus] + self.slice_end_ns + [self.next_timer_ns()]
            instants += [self.now_ns + self.vcpus[v].work_ns for v in self.current if v is not None]
            next_ns = max(min(instants), self.now_ns)
            end_ns = min(next_ns, until_ns)
            for v in self.current:
                if v is not None:
                    self.vcpus[v].work_ns -= end_ns - self.now_ns
                    self.vcpus[v].ran_ns += end_ns - self.now_ns
            self.now_ns = end_ns
            if next_ns >= until_ns:
                return
            self.completions()
            self.wakes()
            self.fire_timers()
            self.pending |= {p for p in range(self.num_pcpus) if self.slice_end_ns[p] <= self.now_ns}
            self.all_passes()
