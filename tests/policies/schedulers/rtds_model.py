"""RTDS of Xen 4.8 once more, in plain Python and without the kernel: lists, a loop over instants, nothing clever.

Written from the description of the algorithm alone, so that what both have wrong is wrong there. It knows hogs,
periodic programs and lists, and the conventions of the conformance data: completions, then wake-ups (both in vCPU
order), then timers, then passes on ascending pCPUs, each until it has none pending, in rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NS_PER_US = 1000
DEFAULT_PERIOD_NS, DEFAULT_BUDGET_NS = 10_000_000, 4_000_000
NEVER = 2**62


@dataclass
class ModelVcpu:
    """One vCPU: its server, its program and where it stands."""

    program: tuple  # ("hog",), ("periodic", run, period, offset) or ("list", pairs, loop), all ns
    period_ns: int
    budget_ns: int
    pcpu: int
    start_ns: int
    left_ns: int = DEFAULT_BUDGET_NS
    deadline_ns: int = DEFAULT_PERIOD_NS
    charged_to_ns: int = 0
    is_depleted: bool = False
    is_runnable: bool = False
    position: int = 0
    work_ns: int = 0
    wake_at_ns: int = NEVER
    ran_ns: int = 0

    def next_work(self) -> None:
        """Take the next piece of work."""
        if self.program[0] == "hog":
            self.work_ns = NEVER
        elif self.program[0] == "periodic":
            self.work_ns = self.program[1]
        else:
            self.work_ns = self.program[1][self.position][0]

    def completed(self, now_ns: int) -> str:
        """The work is done: ``"block"``, ``"yield"`` or ``"go on"``; when blocked, ``wake_at_ns`` is set."""
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

    def replenish(self, now_ns: int) -> None:
        """Move the deadline beyond now by whole periods; a whole budget."""
        while self.deadline_ns <= now_ns:
            self.deadline_ns += self.period_ns
        self.charged_to_ns = now_ns
        self.left_ns = self.budget_ns


@dataclass
class RtdsModel:
    """A host; ``run`` fills ``trace`` with ``(ns, pCPU, vCPU or None)`` and ``passes`` with the passes of each pCPU."""

    num_pcpus: int
    vcpus: list[ModelVcpu]
    trace: list[tuple[int, int, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now_ns = 0
        self.current: list[int | None] = [None] * self.num_pcpus
        self.slice_end_ns = [NEVER] * self.num_pcpus
        self.passes = [0] * self.num_pcpus
        self.pending: set[int] = set()
        self.tickled: set[int] = set()
        self.runq: list[int] = []
        self.depletedq: list[int] = []
        self.replq: list[int] = []
        for vcpu in self.vcpus:
            vcpu.wake_at_ns = vcpu.start_ns

    # -- the queues ----------------------------------------------------------------------------------------------

    def insert(self, queue: list[int], v: int) -> None:
        """By deadline, before its equals."""
        deadline_ns = self.vcpus[v].deadline_ns
        at = next((i for i, w in enumerate(queue) if self.vcpus[w].deadline_ns >= deadline_ns), len(queue))
        queue.insert(at, v)

    def enqueue(self, v: int) -> None:
        if self.vcpus[v].left_ns > 0:
            self.insert(self.runq, v)
        else:
            self.depletedq.insert(0, v)

    def tickle(self, v: int) -> None:
        own = self.vcpus[v].pcpu
        candidates = [p for p in range(self.num_pcpus) if p not in self.tickled]
        idle = [p for p in candidates if self.current[p] is None]
        if self.current[own] is None:
            chosen = own
        elif idle:
            chosen = idle[0]
        else:
            deadlines = {p: self.vcpus[self.current[p]].deadline_ns for p in candidates}
            if not deadlines or max(deadlines.values()) <= self.vcpus[v].deadline_ns:
                return
            chosen = max(deadlines, key=lambda p: (deadlines[p], -p))
        self.tickled.add(chosen)
        self.pending.add(chosen)

    # -- what happens --------------------------------------------------------------------------------------------

    def wake(self, v: int) -> None:
        vcpu = self.vcpus[v]
        vcpu.wake_at_ns = NEVER
        vcpu.next_work()
        vcpu.is_runnable = True
        if self.current[vcpu.pcpu] == v:
            return
        if self.now_ns >= vcpu.deadline_ns:
            vcpu.replenish(self.now_ns)
        self.insert(self.replq, v)
        self.enqueue(v)
        self.tickle(v)

    def replenishments(self) -> None:
        due = []
        while self.replq and self.vcpus[self.replq[0]].deadline_ns <= self.now_ns:
            v = self.replq.pop(0)
            self.vcpus[v].replenish(self.now_ns)
            due.append(v)
            for queue in (self.runq, self.depletedq):
                if v in queue:
                    queue.remove(v)
                    self.enqueue(v)
                    break
        for v in reversed(due):
            vcpu = self.vcpus[v]
            if self.current[vcpu.pcpu] == v and self.runq:
                if self.vcpus[self.runq[0]].deadline_ns < vcpu.deadline_ns:
                    self.tickle(self.runq[0])
            elif vcpu.is_depleted:
                vcpu.is_depleted = False
                if v in self.runq:
                    self.tickle(v)
            self.insert(self.replq, v)

    def do_pass(self, p: int) -> None:
        self.passes[p] += 1
        self.tickled.discard(p)
        before = self.current[p]
        after = self.runq[0] if self.runq else None
        if before is not None:
            vcpu = self.vcpus[before]
            vcpu.left_ns -= self.now_ns - vcpu.charged_to_ns
            vcpu.charged_to_ns = self.now_ns
            if vcpu.left_ns <= 0:
                vcpu.left_ns = 0
                vcpu.is_depleted = True
            elif vcpu.is_runnable and (after is None or vcpu.deadline_ns <= self.vcpus[after].deadline_ns):
                after = before
        self.slice_end_ns[p] = NEVER
        if after is not None:
            self.slice_end_ns[p] = self.now_ns + self.vcpus[after].left_ns
        if after == before:
            return
        if after is not None:
            self.runq.remove(after)
            self.vcpus[after].charged_to_ns = self.now_ns
            self.vcpus[after].pcpu = p
        self.current[p] = after
        self.trace.append((self.now_ns, p, after))
        if before is not None and self.vcpus[before].is_runnable:
            self.enqueue(before)
            self.tickle(before)
        elif before is not None:
            self.replq.remove(before)

    def all_passes(self) -> None:
        while self.pending:
            for p in range(self.num_pcpus):
                while p in self.pending:
                    self.pending.remove(p)
                    self.do_pass(p)

    def completions(self) -> None:
        for v, vcpu in enumerate(self.vcpus):
            if self.current[vcpu.pcpu] == v and vcpu.is_runnable and vcpu.work_ns == 0:
                what = vcpu.completed(self.now_ns)
                vcpu.is_runnable = what != "block"
                if what != "go on":
                    self.pending.add(vcpu.pcpu)

    def run(self, until_ns: int) -> None:
        """Live up to that instant, which is not lived itself."""
        while True:
            instants = [vcpu.wake_at_ns for vcpu in self.vcpus] + self.slice_end_ns
            instants += [self.now_ns + self.vcpus[v].work_ns for v in self.current if v is not None]
            instants += [self.vcpus[v].deadline_ns for v in self.replq[:1]]
            next_ns = min(instants)
            end_ns = min(next_ns, until_ns)
            for v in self.current:
                if v is not None:
                    self.vcpus[v].work_ns -= end_ns - self.now_ns
                    self.vcpus[v].ran_ns += end_ns - self.now_ns
            self.now_ns = end_ns
            if next_ns >= until_ns:
                return
            self.completions()
            for v, vcpu in enumerate(self.vcpus):
                if vcpu.wake_at_ns == self.now_ns:
                    self.wake(v)
            self.replenishments()
            self.pending |= {p for p in range(self.num_pcpus) if self.slice_end_ns[p] == self.now_ns}
            self.all_passes()
