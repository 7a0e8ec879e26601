"""One queue for a whole cpupool, and a choice that is made elsewhere: the base of simple schedulers.

Design. Every runnable vCPU that does not run waits in one queue, first come first served. A pass asks `choose` who runs
next on the pCPU and for how long; the answer is checked (the vCPU must be runnable, allowed there and not running
elsewhere) and, where it is not legal, counted as refused and replaced by the default:

    whoever of those allowed on this pCPU has waited longest; nobody waits: the one that runs; it cannot: idle

so that whatever chooses, an agent or a program under test, the machine stays sound. A wake-up asks an idle pCPU where
the vCPU may run (its own first, then the lowest); if there is none it asks the vCPU's own pCPU, or every pCPU where it
may run (`wake_asks="all"`), and the choice there decides whether it preempts. The default by itself is round-robin.

A subclass overrides `choose`, and `ask_for` if a wake-up should ask otherwise: see CONTRIBUTING.md.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport mask_next, mask_test
from xengym.machine.state cimport NO_VCPU, Machine, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Scheduler
from xengym.sim.trace cimport TRACE_REFUSED, TRACE_TICKLE, trace

import numpy as np

from xengym.policies.schedulers.tunables import check_integer

cdef QueuePool _pool
cdef QueueVcpu _vcpu

WAKE_ASKS = ("own", "all")


cdef class SharedQueueScheduler(Scheduler):
    """Base of schedulers with one queue; by itself round-robin.

    Args:
        version: only "current".
        slice_us: slice of the default choice, 100..1000000.
        wake_asks: which busy pCPUs a wake-up asks when no idle one will do: "own" or "all".
    """

    versions = ("current",)

    def __init__(self, version="current", *, slice_us=30_000, wake_asks="own"):
        self.name = self.name or "shared_queue"
        if version not in self.versions:
            raise ValueError(
                f"unknown version {version!r} of scheduler {self.name!r}; expected one of {', '.join(self.versions)}"
            )
        self.version = version
        where = f"scheduler {self.name}"
        check_integer(where, "slice_us", slice_us, 100, 1_000_000)
        if wake_asks not in WAKE_ASKS:
            raise ValueError(f"{where}: wake_asks must be one of {', '.join(WAKE_ASKS)}, found {wake_asks!r}")
        self.options = {"slice_us": int(slice_us), "wake_asks": wake_asks}

    def __reduce__(self):
        return _rebuild, (type(self), self.version, dict(self.options))

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("queue_pool", np.asarray(<QueuePool[:1]>&_pool).dtype, 1),
            ("queue_vcpu", np.asarray(<QueueVcpu[:1]>&_vcpu).dtype, max_vcpus),
        ]

    def bind(self, views):
        cdef QueuePool[::1] pool = views["queue_pool"]
        cdef QueueVcpu[::1] vcpu = views["queue_vcpu"]
        self.pool = &pool[0]
        self.vcpu = &vcpu[0]
        self.pool.default_slice_ns = 1000 * self.options["slice_us"]
        self.pool.wake_asks_all = self.options["wake_asks"] == "all"
        self.pool.head = NO_VCPU
        self.pool.tail = NO_VCPU

    def queued(self):
        """Waiting vCPUs, who has waited longest first."""
        queue = []
        cdef int v = self.pool.head
        while v != NO_VCPU:
            queue.append(v)
            v = self.vcpu[v].next
        return queue

    def counters(self):
        """``decisions``: passes with a choice; ``refused``: choices that were not legal."""
        return {"decisions": int(self.pool.decisions), "refused": int(self.pool.refused)}

    cdef void _append(self, int v) noexcept nogil:
        cdef QueueVcpu* qv = &self.vcpu[v]
        qv.next = NO_VCPU
        qv.prev = self.pool.tail
        if qv.prev != NO_VCPU:
            self.vcpu[qv.prev].next = v
        else:
            self.pool.head = v
        self.pool.tail = v
        qv.is_queued = 1

    cdef void _take(self, int v) noexcept nogil:
        cdef QueueVcpu* qv = &self.vcpu[v]
        if qv.prev != NO_VCPU:
            self.vcpu[qv.prev].next = qv.next
        else:
            self.pool.head = qv.next
        if qv.next != NO_VCPU:
            self.vcpu[qv.next].prev = qv.prev
        else:
            self.pool.tail = qv.prev
        qv.is_queued = 0

    # -- who comes and goes --------------------------------------------------------------------------------------

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_queued = 0

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        if self.vcpu[v].is_queued:
            self._take(v)

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v) or self.vcpu[v].is_queued:
            return
        self._append(v)
        self.ask_for(v, now_ns)

    cdef void ask_for(self, int v, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef uint64_t* allowed = m.vcpu[v].allowed
        cdef int own = m.vcpu[v].pcpu
        cdef int p, chosen = -1
        if mask_test(allowed, own) and m.vcpu[m.pcpu[own].curr].is_idle:
            chosen = own
        else:
            p = mask_next(allowed, -1, m.num_words)
            while p >= 0 and chosen < 0:
                if m.vcpu[m.pcpu[p].curr].is_idle:
                    chosen = p
                p = mask_next(allowed, p, m.num_words)
        if chosen < 0 and not self.pool.wake_asks_all:
            chosen = own
        if chosen >= 0:
            trace(m, TRACE_TICKLE, m.clock.executing_pcpu, NO_VCPU, chosen, 0)
            raise_schedule(m, chosen)
            return
        p = mask_next(allowed, -1, m.num_words)
        while p >= 0:
            trace(m, TRACE_TICKLE, m.clock.executing_pcpu, NO_VCPU, p, 0)
            raise_schedule(m, p)
            p = mask_next(allowed, p, m.num_words)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        elif self.vcpu[v].is_queued:
            self._take(v)

    # -- the choice ----------------------------------------------------------------------------------------------

    cdef int first_waiting(self, int p) noexcept nogil:
        """Who of those allowed on p has waited longest, or NO_VCPU."""
        cdef int v = self.pool.head
        while v != NO_VCPU and not mask_test(self.m.vcpu[v].allowed, p):
            v = self.vcpu[v].next
        return v

    cdef int next_waiting(self, int p, int v) noexcept nogil:
        """Who of those allowed on p waits next behind v, or NO_VCPU."""
        v = self.vcpu[v].next
        while v != NO_VCPU and not mask_test(self.m.vcpu[v].allowed, p):
            v = self.vcpu[v].next
        return v

    cdef bint may_choose(self, int p, int v) noexcept nogil:
        """Whether v may run on p from now: the idle vCPU, the one that runs there and still can, or one that waits."""
        cdef Machine* m = self.m
        if v == m.max_vcpus + p:
            return True
        if v < 0 or v >= m.max_vcpus or not m.vcpu[v].in_use or not mask_test(m.vcpu[v].allowed, p):
            return False
        return is_runnable(m, v) and (m.pcpu[p].curr == v or self.vcpu[v].is_queued)

    cdef Decision default_choice(self, int p) noexcept nogil:
        cdef Machine* m = self.m
        cdef Decision decision
        decision.slice_ns = self.pool.default_slice_ns
        decision.next_vcpu = self.first_waiting(p)
        if decision.next_vcpu == NO_VCPU:
            decision.next_vcpu = m.pcpu[p].curr
            if not self.may_choose(p, decision.next_vcpu):
                decision.next_vcpu = m.max_vcpus + p
        return decision

    cdef Decision choose(self, int p, int64_t now_ns) noexcept nogil:
        return self.default_choice(p)

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef int cur = m.pcpu[p].curr
        cdef int idle = m.max_vcpus + p
        cdef bint has_choice = (cur != idle and self.may_choose(p, cur)) or self.first_waiting(p) != NO_VCPU
        cdef Decision decision
        if has_choice:
            self.pool.decisions += 1
            decision = self.choose(p, now_ns)
            if not self.may_choose(p, decision.next_vcpu):
                self.pool.refused += 1
                trace(m, TRACE_REFUSED, p, decision.next_vcpu, 0, 0)
                decision = self.default_choice(p)
        else:
            decision.next_vcpu = idle
        if decision.next_vcpu != cur:
            # A vCPU that has to move is queued at its next wake-up, which ends the move.
            if cur != idle and is_runnable(m, cur):
                self._append(cur)
            if decision.next_vcpu != idle:
                self._take(decision.next_vcpu)
                m.vcpu[decision.next_vcpu].pcpu = p
        if decision.next_vcpu == idle:
            # Nobody chose to wait for a while: idle until somebody asks, unless others could run here.
            if not has_choice or decision.slice_ns <= 0:
                decision.slice_ns = -1
        elif decision.slice_ns <= 0:
            decision.slice_ns = self.pool.default_slice_ns
        return decision


def _rebuild(cls, version, options):
    return cls(version, **options)
