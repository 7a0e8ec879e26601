"""null: every vCPU has a pCPU of its own, or waits until one is free.

Design. A pCPU serves one vCPU, the one assigned to it, and idles while that does not want to run. There are no slices,
no accounting and no choice to make, so a pass costs next to nothing and a wake-up runs at once: the scheduler for
partitioned machines with no more vCPUs than pCPUs. Beyond that it is a lottery: a vCPU that finds every allowed pCPU
taken goes to a wait queue and does not run at all until another goes offline, is destroyed or moves. That another
blocks, for however long, does not help it.

Assignment. A vCPU that comes online takes the pCPU where it lives if that is free (and preferred, where soft affinity is
effective); otherwise it queues, and the free pCPUs it may use are asked to look. A pCPU that becomes free goes to the
first that waits: among those that prefer it, then among those that may run there at all. Being paused or blocked changes
nothing about an assignment, nor about a place in the queue.

Kept as Xen has it, though it surprises: a change of affinity places the vCPU anew, and its pCPU is offered to the wait
queue before the vCPU itself is considered. So it may come away without, and nobody asks the free pCPUs to look then.

Beyond Xen: a vCPU that goes offline and comes back before its pCPU has made a pass has lost its assignment but still
runs, so its wake-up is ignored. Here it comes online when it leaves the CPU; there it would be lost.

It has no parameters: what another scheduler gave a domain is lost when it moves here.

Source: Xen 4.22; Xen's documentation of the null scheduler. There was none before 4.9.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport mask_and, mask_clear, mask_next, mask_set, mask_test
from xengym.machine.state cimport MASK_WORDS, NO_VCPU, PAUSE_DOWN, Machine, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Scheduler
from xengym.sim.trace cimport TRACE_PICKED, TRACE_TICKLE, trace

import numpy as np

cdef NullPool _pool
cdef NullPcpu _pcpu
cdef NullVcpu _vcpu


cdef inline bint is_online(Machine* m, int v) noexcept nogil:
    return not m.vcpu[v].pause_flags & PAUSE_DOWN


cdef class NullScheduler(Scheduler):
    """Xen's null scheduler.

    Args:
        version: only the current release, 4.22.
    """

    versions = ("4.22", "current")

    def __init__(self, version="current"):
        if version not in self.versions:
            raise ValueError(
                f"unknown version {version!r} of scheduler 'null'; expected one of {', '.join(self.versions)}"
            )
        self.name = "null"
        self.version = self.versions[0]

    def __reduce__(self):
        return NullScheduler, (self.version,)

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("null", np.asarray(<NullPool[:1]>&_pool).dtype, 1),
            ("null_pcpu", np.asarray(<NullPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("null_vcpu", np.asarray(<NullVcpu[:1]>&_vcpu).dtype, max_vcpus),
        ]

    def bind(self, views):
        cdef NullPool[::1] pool = views["null"]
        cdef NullPcpu[::1] pcpu = views["null_pcpu"]
        cdef NullVcpu[::1] vcpu = views["null_vcpu"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]

    def queued(self):
        """VCPUs that want to run and do not: in the wait queue's order, then those whose pCPU has a pass to come."""
        cdef Machine* m = self.m
        cdef int p
        cdef int v = self.pool.wait_head
        waiting = []
        while v != NO_VCPU:
            if is_runnable(m, v):
                waiting.append(v)
            v = self.vcpu[v].next
        for p in range(m.num_pcpus):
            v = self.pcpu[p].vcpu
            if mask_test(self.pool_pcpus, p) and v != NO_VCPU and is_runnable(m, v) and not is_current(m, v):
                waiting.append(v)
        return waiting

    cdef void start(self, int64_t now_ns) noexcept nogil:
        self.pool.wait_head = NO_VCPU
        self.pool.wait_tail = NO_VCPU

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        self.pcpu[p].vcpu = NO_VCPU
        mask_set(self.pool.free, p)

    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        mask_clear(self.pool.free, p)

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef int p
        self.vcpu[v].is_waiting = 0
        if not is_online(self.m, v):
            return
        p = self.pick_pcpu(v)
        self.m.vcpu[v].pcpu = p
        if self.pcpu[p].vcpu == NO_VCPU:
            self._assign(v, p)
        else:
            self._wait(v)

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        if self.vcpu[v].is_waiting:
            self._stop_waiting(v)
        else:
            self._release(v)

    # -- the wait queue ------------------------------------------------------------------------------------------

    cdef void _wait(self, int v) noexcept nogil:
        cdef NullVcpu* svc = &self.vcpu[v]
        svc.is_waiting = 1
        svc.next = NO_VCPU
        svc.prev = self.pool.wait_tail
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = v
        else:
            self.pool.wait_head = v
        self.pool.wait_tail = v

    cdef void _stop_waiting(self, int v) noexcept nogil:
        cdef NullVcpu* svc = &self.vcpu[v]
        svc.is_waiting = 0
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        else:
            self.pool.wait_head = svc.next
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        else:
            self.pool.wait_tail = svc.prev

    cdef int _first_waiting(self, int p) noexcept nogil:
        """Who of those that wait should have pCPU p: the first that prefers it, or else the first that may; or NO_VCPU."""
        cdef Machine* m = self.m
        cdef int v = self.pool.wait_head
        while v != NO_VCPU:
            if m.vcpu[v].soft_is_effective and mask_test(m.vcpu[v].allowed, p) and self._prefers(v, p):
                return v
            v = self.vcpu[v].next
        v = self.pool.wait_head
        while v != NO_VCPU and not mask_test(m.vcpu[v].allowed, p):
            v = self.vcpu[v].next
        return v

    # -- assignment ----------------------------------------------------------------------------------------------

    cdef bint _prefers(self, int v, int p) noexcept nogil:
        """Whether its soft affinity speaks for p, or says nothing."""
        return not self.m.vcpu[v].soft_is_effective or mask_test(self.m.vcpu[v].soft_affinity, p)

    cdef bint _is_assigned(self, int v) noexcept nogil:
        return self.pcpu[self.m.vcpu[v].pcpu].vcpu == v

    cdef void _assign(self, int v, int p) noexcept nogil:
        self.pcpu[p].vcpu = v
        self.m.vcpu[v].pcpu = p
        mask_clear(self.pool.free, p)
        trace(self.m, TRACE_PICKED, self.m.clock.executing_pcpu, v, p, 0)

    cdef bint _release(self, int v) noexcept nogil:
        """End v's assignment, if it has one; whether somebody who waited has its pCPU now, which makes a pass then."""
        cdef int p = self.m.vcpu[v].pcpu
        cdef int heir
        if not self._is_assigned(v):
            return False
        self.pcpu[p].vcpu = NO_VCPU
        mask_set(self.pool.free, p)
        heir = self._first_waiting(p)
        if heir == NO_VCPU:
            return False
        self._stop_waiting(heir)
        self._assign(heir, p)
        raise_schedule(self.m, p)
        return True

    cdef void _come_online(self, int v) noexcept nogil:
        cdef Machine* m = self.m
        cdef uint64_t candidates[MASK_WORDS]
        cdef int p = m.vcpu[v].pcpu
        if self.pcpu[p].vcpu == NO_VCPU and mask_test(m.vcpu[v].allowed, p) and self._prefers(v, p):
            self._assign(v, p)
            raise_schedule(m, p)
            return
        self._wait(v)
        mask_and(candidates, m.vcpu[v].allowed, self.pool.free, m.num_words)
        p = mask_next(candidates, -1, m.num_words)
        while p >= 0:
            trace(m, TRACE_TICKLE, m.clock.executing_pcpu, v, p, 0)
            raise_schedule(m, p)
            p = mask_next(candidates, p, m.num_words)

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        if is_current(self.m, v) or self.vcpu[v].is_waiting:
            return
        if self._is_assigned(v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        else:
            self._come_online(v)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        cdef bint asked = False
        if not is_online(self.m, v):
            if self.vcpu[v].is_waiting:
                self._stop_waiting(v)
            else:
                asked = self._release(v)
        if not asked and is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Decision decision
        cdef int v = self.pcpu[p].vcpu
        if v == NO_VCPU:
            v = self._first_waiting(p)
            if v != NO_VCPU:
                self._stop_waiting(v)
                self._assign(v, p)
        decision.slice_ns = -1
        decision.next_vcpu = v if v != NO_VCPU and is_runnable(self.m, v) else self.m.max_vcpus + p
        return decision

    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil:
        # It went offline and came back while it ran: its pCPU was given up, and its wake-up not heard.
        if (v < self.m.max_vcpus and is_runnable(self.m, v) and not self.vcpu[v].is_waiting
                and not self._is_assigned(v)):
            self._come_online(v)

    # -- placement -----------------------------------------------------------------------------------------------

    cdef int pick_pcpu(self, int v) noexcept nogil:
        """A free pCPU (its own counts as free): a preferred one, or else any; or else one to live on without running."""
        cdef Machine* m = self.m
        cdef uint64_t candidates[MASK_WORDS]
        cdef int own = m.vcpu[v].pcpu
        cdef bint has_own = self.pcpu[own].vcpu == NO_VCPU or self.pcpu[own].vcpu == v
        cdef int step, p
        for step in range(0 if m.vcpu[v].soft_is_effective else 1, 2):
            if step == 0:
                mask_and(candidates, m.vcpu[v].allowed, m.vcpu[v].soft_affinity, m.num_words)
            else:
                mask_and(candidates, m.vcpu[v].allowed, m.vcpu[v].allowed, m.num_words)
            if has_own and mask_test(candidates, own):
                return own
            mask_and(candidates, candidates, self.pool.free, m.num_words)
            p = mask_next(candidates, -1, m.num_words)
            if p >= 0:
                return p
        return mask_next(m.vcpu[v].allowed, -1, m.num_words)

    cdef void migrate(self, int v, int p) noexcept nogil:
        cdef Machine* m = self.m
        self._release(v)
        if is_online(m, v):
            if self.pcpu[p].vcpu == NO_VCPU and mask_test(m.vcpu[v].allowed, p):
                if self.vcpu[v].is_waiting:
                    self._stop_waiting(v)
                self._assign(v, p)
            elif not self.vcpu[v].is_waiting:
                self._wait(v)
        m.vcpu[v].pcpu = p
