"""Credit2 of Xen 4.8, without and with the correction of 2017: one socket, no caps, no soft affinity."""

from __future__ import annotations

from tests.policies.schedulers.models.machine import Machine, Vcpu

MS = 1_000_000
CREDIT_INIT, CARRYOVER, RESIST, COMPENSATION = 10 * MS, 500_000, 500_000, 50_000
MIN_TIMER, MAX_TIMER = 500_000, 10 * MS
IDLE_CREDIT = -(2**30)


class Credit2Model(Machine):
    """Params of a vCPU: ``weight``."""

    def __init__(
        self, num_pcpus: int, vcpus: list[Vcpu], *, ratelimit_ns: int = MS, burns_at_reset: bool = False
    ) -> None:
        super().__init__(num_pcpus, vcpus)
        self.ratelimit_ns, self.burns_at_reset = ratelimit_ns, burns_at_reset
        n = len(vcpus)
        self.weight = [vcpu.params.get("weight", 256) for vcpu in vcpus]
        self.credit, self.residual, self.start = [CREDIT_INIT] * n, [0] * n, [0] * n
        self.is_scheduled, self.is_delayed, self.yields = [False] * n, [False] * n, [False] * n
        self.tickled_for: list[int | None] = [None] * n
        self.runq: list[int] = []
        self.idle = set(range(num_pcpus))
        self.tickled: set[int] = set()

    @property
    def max_weight(self) -> int:
        return max(self.weight)

    # -- credit --------------------------------------------------------------------------------------------------

    def burn(self, v: int) -> None:
        ran = self.now_ns - self.start[v]
        if ran > 0:
            cost, self.residual[v] = divmod(ran * self.max_weight + self.residual[v], self.weight[v])
            self.credit[v] -= cost
            self.start[v] = self.now_ns

    def reset(self, chosen: int) -> None:
        owed = -self.credit[chosen]
        amount = CREDIT_INIT * (1 + owed // CREDIT_INIT) if owed > CREDIT_INIT else CREDIT_INIT
        for v in range(len(self.vcpus)):
            if self.burns_at_reset and v != chosen and self.is_current(v):
                self.burn(v)
            self.credit[v] = min(self.credit[v] + amount, CREDIT_INIT + CARRYOVER)
            self.start[v] = self.now_ns

    # -- queue ---------------------------------------------------------------------------------------------------

    def insert(self, v: int) -> None:
        at = next((i for i, w in enumerate(self.runq) if self.credit[w] < self.credit[v]), len(self.runq))
        self.runq.insert(at, v)

    def tickle(self, v: int) -> None:
        own = self.vcpus[v].pcpu
        ring = [(own + k) % self.num_pcpus for k in range(self.num_pcpus)]
        for p in ring:
            if p in self.idle and p not in self.tickled:
                return self.ask(v, p)
        busy = [p for p in range(self.num_pcpus) if p not in self.idle and p not in self.tickled]
        if own in busy:
            self.burn(self.current[own])
            if self.credit[self.current[own]] < self.credit[v]:
                return self.ask(v, own)
        lowest = None
        for p in busy:
            if p != own:
                self.burn(self.current[p])
                if lowest is None or self.credit[self.current[p]] < self.credit[self.current[lowest]]:
                    lowest = p
        if lowest is not None and self.credit[self.current[lowest]] + RESIST <= self.credit[v]:
            self.ask(v, lowest)
        return None

    def ask(self, v: int, p: int) -> None:
        self.tickled.add(p)
        self.tickled_for[v] = p
        self.pending.add(p)

    # -- operations ----------------------------------------------------------------------------------------------

    def woken(self, v: int) -> None:
        if self.is_current(v) or v in self.runq:
            return
        if self.is_scheduled[v]:
            self.is_delayed[v] = True
            return
        self.insert(v)
        self.tickle(v)

    def yielded(self, v: int) -> None:
        self.yields[v] = True

    def saved(self, v: int) -> None:
        self.is_scheduled[v] = False
        delayed, self.is_delayed[v] = self.is_delayed[v], False
        if delayed and self.vcpus[v].is_runnable:
            self.insert(v)
            self.tickle(v)

    def decide(self, p: int) -> tuple[int | None, int | None]:
        current = self.current[p]
        self.tickled.discard(p)
        skipped = False
        ran = self.now_ns - self.switched_at_ns[p]
        best, best_credit, yields = None, IDLE_CREDIT, False
        limited = False
        if current is not None:
            self.burn(current)
            yields, self.yields[current] = self.yields[current], False
            runnable = self.vcpus[current].is_runnable
            limited = not yields and bool(self.ratelimit_ns) and runnable and ran < self.ratelimit_ns
            if runnable:
                best, best_credit = current, self.credit[current]
        if not limited:
            for v in self.runq:
                asked = self.tickled_for[v]
                if asked is not None and asked != p and asked in self.tickled:
                    skipped = True
                    continue
                if self.vcpus[v].pcpu != p and best_credit + RESIST > self.credit[v]:
                    skipped = True
                    continue
                if yields or self.credit[v] > best_credit:
                    best = v
                break
        if current is not None and best != current and self.vcpus[current].is_runnable:
            self.is_delayed[current] = True
        if best is None:
            self.idle.add(p)
            return None, None
        if best != current:
            self.runq.remove(best)
            self.is_scheduled[best] = True
        self.idle.discard(p)
        if self.credit[best] <= 0 and not skipped:
            self.reset(best)
        self.start[best] = self.now_ns
        self.tickled_for[best] = None
        if self.vcpus[best].pcpu != p:
            self.credit[best] += COMPENSATION
        return best, self.slice_of(best, best == current, ran)

    def slice_of(self, v: int, goes_on: bool, ran: int) -> int:
        least = MIN_TIMER
        if self.ratelimit_ns:
            least = max(least, self.ratelimit_ns - (ran if goes_on else 0))
        left = self.credit[v]
        if self.runq and self.credit[self.runq[0]] > 0:
            left -= self.credit[self.runq[0]]
        time = left * self.weight[v] // self.max_weight if left > 0 else 0
        return least if time < least else min(time, MAX_TIMER)
