"""RTDS of Xen 4.8: global earliest deadline first with deferrable servers, no extra time."""

from __future__ import annotations

from dataclasses import dataclass

from tests.policies.schedulers.models.machine import NEVER, Machine, Vcpu

NS_PER_US = 1000
DEFAULT_PERIOD_NS, DEFAULT_BUDGET_NS = 10_000_000, 4_000_000


@dataclass
class Server:
    """One vCPU's server."""

    period_ns: int
    budget_ns: int
    left_ns: int = DEFAULT_BUDGET_NS
    deadline_ns: int = DEFAULT_PERIOD_NS
    charged_to_ns: int = 0
    is_depleted: bool = False

    def replenish(self, now_ns: int) -> None:
        """Move the deadline beyond now by whole periods; a whole budget."""
        while self.deadline_ns <= now_ns:
            self.deadline_ns += self.period_ns
        self.charged_to_ns = now_ns
        self.left_ns = self.budget_ns


class RtdsModel(Machine):
    """Params of a vCPU: ``period_us``, ``budget_us``; they count from the first replenishment on."""

    def __init__(self, num_pcpus: int, vcpus: list[Vcpu]) -> None:
        super().__init__(num_pcpus, vcpus)
        self.servers = [
            Server(vcpu.params["period_us"] * NS_PER_US, vcpu.params["budget_us"] * NS_PER_US) for vcpu in vcpus
        ]
        self.tickled: set[int] = set()
        self.runq: list[int] = []
        self.depletedq: list[int] = []
        self.replq: list[int] = []

    # -- the queues ----------------------------------------------------------------------------------------------

    def insert(self, queue: list[int], v: int) -> None:
        """By deadline, before its equals."""
        deadline_ns = self.servers[v].deadline_ns
        at = next((i for i, w in enumerate(queue) if self.servers[w].deadline_ns >= deadline_ns), len(queue))
        queue.insert(at, v)

    def enqueue(self, v: int) -> None:
        if self.servers[v].left_ns > 0:
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
            deadlines = {p: self.servers[self.current[p]].deadline_ns for p in candidates}
            if not deadlines or max(deadlines.values()) <= self.servers[v].deadline_ns:
                return
            chosen = max(deadlines, key=lambda p: (deadlines[p], -p))
        self.tickled.add(chosen)
        self.pending.add(chosen)

    # -- operations ----------------------------------------------------------------------------------------------

    def woken(self, v: int) -> None:
        if self.is_current(v):
            return
        if self.now_ns >= self.servers[v].deadline_ns:
            self.servers[v].replenish(self.now_ns)
        self.insert(self.replq, v)
        self.enqueue(v)
        self.tickle(v)

    def next_timer_ns(self) -> int:
        return self.servers[self.replq[0]].deadline_ns if self.replq else NEVER

    def fire_timers(self) -> None:
        due = []
        while self.replq and self.servers[self.replq[0]].deadline_ns <= self.now_ns:
            v = self.replq.pop(0)
            self.servers[v].replenish(self.now_ns)
            due.append(v)
            for queue in (self.runq, self.depletedq):
                if v in queue:
                    queue.remove(v)
                    self.enqueue(v)
                    break
        for v in reversed(due):
            server = self.servers[v]
            if self.is_current(v) and self.runq:
                if self.servers[self.runq[0]].deadline_ns < server.deadline_ns:
                    self.tickle(self.runq[0])
            elif server.is_depleted:
                server.is_depleted = False
                if v in self.runq:
                    self.tickle(v)
            self.insert(self.replq, v)

    def decide(self, p: int) -> tuple[int | None, int | None]:
        self.tickled.discard(p)
        before = self.current[p]
        after = self.runq[0] if self.runq else None
        if before is not None:
            server = self.servers[before]
            server.left_ns -= self.now_ns - server.charged_to_ns
            server.charged_to_ns = self.now_ns
            if server.left_ns <= 0:
                server.left_ns = 0
                server.is_depleted = True
            elif self.vcpus[before].is_runnable and (
                after is None or server.deadline_ns <= self.servers[after].deadline_ns
            ):
                after = before
        if after is None:
            return None, None
        if after != before:
            self.runq.remove(after)
            self.servers[after].charged_to_ns = self.now_ns
        return after, self.servers[after].left_ns

    def saved(self, v: int) -> None:
        if self.vcpus[v].is_runnable:
            self.enqueue(v)
            self.tickle(v)
        else:
            self.replq.remove(v)
