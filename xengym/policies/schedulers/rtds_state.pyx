"""RTDS's state and the lists in it: the run queue, the depleted, the replenishment events; and what a replenishment is."""
from libc.stdint cimport int64_t
from xengym.machine.state cimport NO_VCPU, Machine, pool_timer
from xengym.policies.schedulers.api cimport Scheduler
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_REPLENISH, trace

import numpy as np

cdef RtdsPool _pool
cdef RtdsVcpu _vcpu
cdef RtdsDomain _domain


cdef class RtdsState(Scheduler):
    """What the decisions work on; knows the order of its lists, decides nothing."""

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("rtds", np.asarray(<RtdsPool[:1]>&_pool).dtype, 1),
            ("rtds_vcpu", np.asarray(<RtdsVcpu[:1]>&_vcpu).dtype, max_vcpus),
            ("rtds_domain", np.asarray(<RtdsDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef RtdsPool[::1] pool = views["rtds"]
        cdef RtdsVcpu[::1] vcpu = views["rtds_vcpu"]
        cdef RtdsDomain[::1] domain = views["rtds_domain"]
        self.pool = &pool[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]

    def queued(self):
        """VCPUs that wait: those with budget by priority, then the depleted."""
        cdef int v
        waiting = []
        for v in (self.pool.run_head, self.pool.depleted_head):
            while v != NO_VCPU:
                waiting.append(v)
                v = self.vcpu[v].next
        return waiting

    cdef void start(self, int64_t now_ns) noexcept nogil:
        self.pool.run_head = NO_VCPU
        self.pool.depleted_head = NO_VCPU
        self.pool.event_head = NO_VCPU

    cdef bint _goes_before(self, int v, int other) noexcept nogil:
        if self.rules.lifo_ties:
            return not outranks(&self.vcpu[other], &self.vcpu[v])
        return outranks(&self.vcpu[v], &self.vcpu[other])

    # -- who waits for a pCPU ------------------------------------------------------------------------------------

    cdef void _enqueue(self, int v) noexcept nogil:
        """Into the run queue, at its place; without budget or leave to go on, to the head of the depleted."""
        cdef RtdsVcpu* vcpu = self.vcpu
        cdef int before = NO_VCPU
        cdef int at
        if vcpu[v].left_ns > 0 or vcpu[v].has_extratime:
            vcpu[v].queue = QUEUE_RUN
            at = self.pool.run_head
            while at != NO_VCPU and not self._goes_before(v, at):
                before = at
                at = vcpu[at].next
        else:
            vcpu[v].queue = QUEUE_DEPLETED
            at = self.pool.depleted_head
        vcpu[v].prev = before
        vcpu[v].next = at
        if at != NO_VCPU:
            vcpu[at].prev = v
        if before != NO_VCPU:
            vcpu[before].next = v
        elif vcpu[v].queue == QUEUE_RUN:
            self.pool.run_head = v
        else:
            self.pool.depleted_head = v

    cdef void _dequeue(self, int v) noexcept nogil:
        cdef RtdsVcpu* svc = &self.vcpu[v]
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        elif svc.queue == QUEUE_RUN:
            self.pool.run_head = svc.next
        else:
            self.pool.depleted_head = svc.next
        svc.queue = QUEUE_NONE

    # -- replenishment -------------------------------------------------------------------------------------------

    cdef void _event_insert(self, int v) noexcept nogil:
        cdef RtdsVcpu* vcpu = self.vcpu
        cdef int before = NO_VCPU
        cdef int at = self.pool.event_head
        while at != NO_VCPU and not self._goes_before(v, at):
            before = at
            at = vcpu[at].next_event
        vcpu[v].has_event = 1
        vcpu[v].prev_event = before
        vcpu[v].next_event = at
        if at != NO_VCPU:
            vcpu[at].prev_event = v
        if before != NO_VCPU:
            vcpu[before].next_event = v
        else:
            self.pool.event_head = v

    cdef void _event_remove(self, int v) noexcept nogil:
        cdef RtdsVcpu* svc = &self.vcpu[v]
        if svc.next_event != NO_VCPU:
            self.vcpu[svc.next_event].prev_event = svc.prev_event
        if svc.prev_event != NO_VCPU:
            self.vcpu[svc.prev_event].next_event = svc.next_event
        else:
            self.pool.event_head = svc.next_event
        svc.has_event = 0

    cdef void _arm(self) noexcept nogil:
        """Let the pool's timer fire at the deadline of the first event: call it when the queue has changed."""
        cdef Machine* m = self.m
        cdef int slot = pool_timer(m, self.cpupool)
        cdef int64_t at_ns
        if self.pool.event_head == NO_VCPU:
            timer_disarm(m, slot)
            return
        # Levels come before deadlines in the queue's order, so a deadline that has passed may come to its head.
        at_ns = max(self.vcpu[self.pool.event_head].deadline_ns, m.clock.now_ns)
        if m.timer[slot].at_ns != at_ns:
            timer_arm_hypervisor(m, slot, at_ns)

    cdef void _replenish(self, int v, int64_t now_ns) noexcept nogil:
        """Begin the period that holds `now_ns`; the present one has ended. The phase of the deadlines is kept."""
        cdef RtdsVcpu* svc = &self.vcpu[v]
        svc.deadline_ns += ((now_ns - svc.deadline_ns) // svc.period_ns + 1) * svc.period_ns
        svc.start_ns = now_ns
        svc.left_ns = svc.budget_ns
        svc.level = 0
        trace(self.m, TRACE_REPLENISH, self.m.vcpu[v].pcpu, v, 0, svc.budget_ns)
