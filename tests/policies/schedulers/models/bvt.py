"""BVT of Xen 3.0.0 and 3.0.2: one vCPU a domain."""

from __future__ import annotations

from tests.policies.schedulers.models.machine import NEVER, Machine, Vcpu

MCU_NS, MS = 100_000, 1_000_000
WRAP = 2**32


class BvtModel(Machine):
    """Params of a vCPU: ``mcu_adv``, ``warpback``, ``warpvalue``, ``warpl_ms``, ``warpu_ms``."""

    def __init__(
        self, num_pcpus: int, vcpus: list[Vcpu], *, ctx_allow_ns: int = 5 * MS, refreshes: bool = True
    ) -> None:
        super().__init__(num_pcpus, vcpus)
        self.ctx_allow_ns, self.refreshes = ctx_allow_ns, refreshes
        n = len(vcpus)
        self.mcu_adv = [vcpu.params.get("mcu_adv", 10) for vcpu in vcpus]
        self.warpback = [vcpu.params.get("warpback", 0) for vcpu in vcpus]
        self.warp = list(self.warpback)
        self.warpvalue = [vcpu.params.get("warpvalue", 0) for vcpu in vcpus]
        self.warpl = [vcpu.params.get("warpl_ms", 2000) * MS for vcpu in vcpus]
        self.warpu = [vcpu.params.get("warpu_ms", 1000) * MS for vcpu in vcpus]
        self.warp_ends, self.unwarp_ends = [NEVER] * n, [NEVER] * n
        self.avt, self.evt = [0] * n, [0] * n
        self.svt = [0] * num_pcpus
        self.stamp = [0] * num_pcpus
        self.queue: list[list[int]] = [[] for _ in range(num_pcpus)]

    def effective(self, v: int, avt: int) -> int:
        return (avt - self.warpvalue[v]) % WRAP if self.warp[v] else avt

    def avt_now(self, v: int) -> int:
        ran = (self.now_ns - self.stamp[self.vcpus[v].pcpu]) % WRAP
        return (self.avt[v] + -(-ran // MCU_NS) * self.mcu_adv[v]) % WRAP

    def woken(self, v: int) -> None:
        p = self.vcpus[v].pcpu
        if v in self.queue[p]:
            return
        self.queue[p].insert(0, v)
        self.avt[v] = max(self.avt[v], self.svt[p])
        self.evt[v] = self.effective(v, self.avt[v])
        current = self.current[p]
        if current is None:
            self.pending.add(p)
            return
        theirs = self.effective(current, self.avt_now(current))
        if self.evt[v] <= theirs:
            self.pending.add(p)
            return
        cut = self.stamp[p] + (self.evt[v] - theirs) // self.mcu_adv[current] + self.ctx_allow_ns
        self.slice_end_ns[p] = min(self.slice_end_ns[p], max(cut, self.now_ns))

    def decide(self, p: int) -> tuple[int | None, int | None]:
        current = self.current[p]
        queue = self.queue[p]
        if current is not None:
            self.avt[current] = self.avt_now(current)
            self.evt[current] = self.effective(current, self.avt[current])
            if self.warpback[current] and self.warpl[current]:
                self.warp_ends[current] = NEVER
            queue.remove(current)
            if self.vcpus[current].is_runnable:
                queue.append(current)
        order = sorted(range(len(queue)), key=lambda i: self.evt[queue[i]])
        after = queue[order[0]] if queue else None
        if self.refreshes or after != current:
            self.stamp[p] = self.now_ns
        if after is None:
            return None, self.ctx_allow_ns
        if self.warp[after] and self.warpl[after]:
            self.warp_ends[after] = self.now_ns + self.warpl[after]
        self.svt[p] = min(self.avt[v] for v in queue)
        if len(queue) == 1:
            return after, 10 * self.ctx_allow_ns
        ahead = self.evt[queue[order[1]]] - self.evt[after]
        return after, ahead // self.mcu_adv[after] + self.ctx_allow_ns

    def next_timer_ns(self) -> int:
        return min([*self.warp_ends, *self.unwarp_ends])

    def fire_timers(self) -> None:
        for v in range(len(self.vcpus)):
            if self.warp_ends[v] == self.now_ns:
                self.warp_ends[v] = NEVER
                self.warp[v] = 0
                if self.warpu[v] == 0:
                    self.warpback[v] = 0
                    self.pending.add(self.vcpus[v].pcpu)
                self.unwarp_ends[v] = self.now_ns + self.warpu[v]
            if self.unwarp_ends[v] == self.now_ns:
                self.unwarp_ends[v] = NEVER
                if self.warpback[v]:
                    self.warp[v] = 1
                    self.pending.add(self.vcpus[v].pcpu)
