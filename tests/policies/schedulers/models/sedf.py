"""SEDF of Xen 4.5 (and 3.0.3): reservations by time, extra time, best effort; weights by reservation are left out."""

from __future__ import annotations

from dataclasses import dataclass

from tests.policies.schedulers.models.machine import Machine, Vcpu

QUANTUM = 500_000
MS = 1_000_000


@dataclass
class Server:
    """One vCPU's reservation and scores."""

    period: int = 100 * MS
    slice: int = 0
    extraweight: int = 1
    aware: bool = True
    deadline: int = 0
    used: int = 0
    started: int = 0
    blocked: int = 0
    penalty: int = 0
    utilisation: int = 0
    asleep: bool = True
    wants_penalty: bool = False
    running_extra: int | None = None

    @property
    def begin(self) -> int:
        return self.deadline - self.period


class SedfModel(Machine):
    """Params of a vCPU: ``period_ns``, ``slice_ns``, ``extratime``; or ``weight`` for best effort; or none."""

    def __init__(self, num_pcpus: int, vcpus: list[Vcpu]) -> None:
        super().__init__(num_pcpus, vcpus)
        self.servers = []
        for vcpu in vcpus:
            given = vcpu.params
            if "period_ns" in given:
                server = Server(given["period_ns"], given["slice_ns"], 0, bool(given["extratime"]))
            else:
                server = Server(extraweight=given.get("weight", 1))
            self.servers.append(server)
        self.runq: list[list[int]] = [[] for _ in range(num_pcpus)]
        self.waitq: list[list[int]] = [[] for _ in range(num_pcpus)]
        self.extra: list[list[list[int]]] = [[[], []] for _ in range(num_pcpus)]
        self.slice_expires = [0] * num_pcpus
        self.messages = 0

    # -- queues --------------------------------------------------------------------------------------------------

    def by_time(self, queue: list[int], v: int, key: str) -> None:
        mine = getattr(self.servers[v], key)
        at = next((i for i, w in enumerate(queue) if getattr(self.servers[w], key) > mine), len(queue))
        queue.insert(at, v)

    def score(self, v: int, i: int) -> int:
        return self.servers[v].penalty if i == 0 else self.servers[v].utilisation

    def lower(self, v: int, i: int, by: int) -> None:
        if i == 0:
            self.servers[v].penalty -= by
        else:
            self.servers[v].utilisation -= by

    def add_extra(self, p: int, v: int, i: int, sub: int) -> None:
        queue = self.extra[p][i]
        at = len(queue)
        for k, w in enumerate(queue):
            self.lower(w, i, sub)
            if at == len(queue) and self.score(v, i) < self.score(w, i):
                at = k
                if sub == 0:
                    break
        queue.insert(at, v)

    def drop_extra(self, p: int, v: int, i: int) -> None:
        if v in self.extra[p][i]:
            self.extra[p][i].remove(v)

    # -- operations ----------------------------------------------------------------------------------------------

    def woken(self, v: int) -> None:
        server, p, now = self.servers[v], self.vcpus[v].pcpu, self.now_ns
        server.asleep = False
        if v in self.runq[p] or v in self.waitq[p]:
            return
        if server.deadline == 0:
            server.deadline = now + server.slice
        if now < server.begin:
            if server.wants_penalty:
                self.add_extra(p, v, 0, 0)
        elif now < server.deadline:
            server.deadline += server.period
            if server.blocked:
                lost = max(0, server.slice - server.used)
                if lost:
                    server.penalty = (server.period << 10) // lost
                    self.drop_extra(p, v, 0)
                    server.wants_penalty = True
                    self.add_extra(p, v, 0, 0)
            server.used = 0
        else:
            server.deadline = now + server.period
            server.used = 0
        if server.aware:
            self.add_extra(p, v, 1, 0)
        if server.begin > now:
            self.by_time(self.waitq[p], v, "begin")
        else:
            self.by_time(self.runq[p], v, "deadline")
        if self.preempts(p, v):
            self.pending.add(p)

    def preempts(self, p: int, v: int) -> bool:
        server, current = self.servers[v], self.current[p]
        if server.begin < self.slice_expires[p] or current is None:
            return True
        theirs = self.servers[current]
        if theirs.running_extra is None:
            return False
        return server.wants_penalty and (theirs.running_extra == 1 or server.penalty < theirs.penalty)

    def stop_slice(self, p: int, v: int) -> None:
        server = self.servers[v]
        server.used += self.now_ns - server.started
        if server.used < server.slice and not server.asleep:
            return
        self.runq[p].remove(v)
        if server.used >= server.slice:
            server.used -= server.slice
            server.deadline += server.period
        if server.asleep:
            self.drop_extra(p, v, 0)
            self.drop_extra(p, v, 1)
        else:
            self.by_time(self.waitq[p], v, "begin")

    def stop_extra(self, p: int, v: int) -> None:
        server = self.servers[v]
        i, server.running_extra = server.running_extra, None
        server.used = 0
        self.extra[p][i].remove(v)
        old = self.score(v, i)
        if i == 0:
            server.wants_penalty = False
        else:
            server.utilisation = (
                2**17 // server.extraweight if server.extraweight else ((server.period << 10) // server.slice)
            )
        if server.asleep:
            self.waitq[p].remove(v)
            self.drop_extra(p, v, 1 - i)
        elif server.aware if i == 1 else server.wants_penalty:
            self.add_extra(p, v, i, old)

    def begin_periods(self, p: int) -> None:
        runq, waitq, now = self.runq[p], self.waitq[p], self.now_ns
        while waitq and self.servers[waitq[0]].begin <= now:
            self.by_time(runq, waitq.pop(0), "deadline")
        v = runq[0] if runq else None
        while v is not None:
            server = self.servers[v]
            # Who follows it now is next, also where somebody has just been put there.
            following = runq[runq.index(v) + 1 :][:1]
            if server.slice == 0:
                runq.remove(v)
                server.deadline += server.period
                if server.begin < now:
                    server.deadline += -(-(now - server.begin) // server.period) * server.period
                self.by_time(waitq, v, "begin")
            elif server.deadline < now or server.used > server.slice:
                self.messages += 1
                runq.remove(v)
                server.deadline += server.period
                if server.deadline < now:
                    server.deadline += -(-(now - server.deadline) // server.period) * server.period
                server.used = 0
                if server.begin > now:
                    self.by_time(waitq, v, "begin")
                else:
                    self.by_time(runq, v, "deadline")
            else:
                break
            v = following[0] if following else None

    def decide(self, p: int) -> tuple[int | None, int | None]:
        current, now = self.current[p], self.now_ns
        if current is not None:
            server = self.servers[current]
            if not self.vcpus[current].is_runnable:
                server.asleep = True
            if server.asleep:
                server.blocked = now
            if server.running_extra is None:
                self.stop_slice(p, current)
            else:
                self.stop_extra(p, current)
        self.begin_periods(p)
        runq, waitq = self.runq[p], self.waitq[p]
        chosen, length = None, 1000 * MS
        if runq:
            chosen = runq[0]
            left = self.servers[chosen].slice - self.servers[chosen].used
            length = min(now + left, self.servers[waitq[0]].begin) - now if waitq else left
        elif waitq:
            length = self.servers[waitq[0]].begin - now
            if length >= QUANTUM:
                for i in (0, 1):
                    if self.extra[p][i]:
                        chosen, length = self.extra[p][i][0], QUANTUM
                        self.servers[chosen].running_extra = i
                        break
        if length < 0:
            self.messages += 1
            length = QUANTUM
        if chosen is not None:
            self.servers[chosen].started = now
        self.slice_expires[p] = now + length
        return chosen, length
