"""Credit's state and the lists in it: run queues, active vCPUs of a domain, active domains."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport mask_test
from xengym.machine.state cimport NO_VCPU
from xengym.policies.schedulers.api cimport Hypervisor, Scheduler
from xengym.sim.trace cimport TRACE_ACTIVE, trace

import numpy as np

cdef CreditPool _pool
cdef CreditPcpu _pcpu
cdef CreditVcpu _vcpu
cdef CreditDomain _domain


cdef class CreditState(Scheduler):
    """What the other parts of the scheduler work on; knows the order of its lists, decides nothing."""

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("credit", np.asarray(<CreditPool[:1]>&_pool).dtype, 1),
            ("credit_pcpu", np.asarray(<CreditPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("credit_vcpu", np.asarray(<CreditVcpu[:1]>&_vcpu).dtype, max_vcpus + num_pcpus),
            ("credit_domain", np.asarray(<CreditDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef CreditPool[::1] pool = views["credit"]
        cdef CreditPcpu[::1] pcpu = views["credit_pcpu"]
        cdef CreditVcpu[::1] vcpu = views["credit_vcpu"]
        cdef CreditDomain[::1] domain = views["credit_domain"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]

    def queued(self):
        """VCPUs in the run queues, pCPU by pCPU, each queue in its order; idle vCPUs are left out."""
        return [v for p in range(self.m.num_pcpus) if mask_test(self.pool_pcpus, p) for v in self._queue(p)]

    def _queue(self, int p):
        cdef int v = self.pcpu[p].head
        queue = []
        while v != NO_VCPU:
            if v < self.m.max_vcpus:
                queue.append(v)
            v = self.vcpu[v].next
        return queue

    # -- domains and vCPUs come and go ---------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept nogil:
        cdef CreditDomain* dom = &self.domain[d]
        dom.weight = 256
        dom.cap_pct = 0
        dom.num_active = 0
        dom.first_active = NO_VCPU
        dom.last_active = NO_VCPU
        dom.next = -1
        dom.prev = -1
        dom.is_active = 0

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.start_ns = 0
        svc.residual = 0
        svc.descheduled_at_ns = 0
        svc.credit = 0
        svc.priority = PRI_UNDER
        svc.next = NO_VCPU
        svc.prev = NO_VCPU
        svc.is_queued = 0
        svc.next_active = NO_VCPU
        svc.prev_active = NO_VCPU
        svc.is_active = 0
        svc.is_parked = 0
        svc.is_yielding = 0
        # Placement at creation leaves the mark of a move set; the first wake-up consumes it (4.7 on).
        svc.just_moved = 1
        if self.rules.starts_active:
            self._activate(v)

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        if svc.is_queued:
            self._queue_remove(v)
        if svc.is_parked:
            svc.is_parked = 0
            self.hall.unpause_vcpu(v)
        if svc.is_active:
            self._deactivate(v)

    cdef void _activate(self, int v) noexcept nogil:
        """Put v at the head of its domain's active list, and the domain at the head of the active domains."""
        cdef int d = self.m.vcpu[v].domain
        cdef CreditDomain* dom = &self.domain[d]
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.is_active = 1
        svc.prev_active = NO_VCPU
        svc.next_active = dom.first_active
        if dom.first_active != NO_VCPU:
            self.vcpu[dom.first_active].prev_active = v
        else:
            dom.last_active = v
        dom.first_active = v
        dom.num_active += 1
        if self.rules.weight_per_vcpu:
            self.pool.weight += dom.weight
        if not dom.is_active:
            dom.is_active = 1
            self._domain_to_head(d)
            if not self.rules.weight_per_vcpu:
                self.pool.weight += dom.weight
        trace(self.m, TRACE_ACTIVE, self.m.vcpu[v].pcpu, v, d, 1)

    cdef void _deactivate(self, int v) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef CreditDomain* dom = &self.domain[d]
        cdef CreditVcpu* svc = &self.vcpu[v]
        svc.is_active = 0
        if svc.prev_active != NO_VCPU:
            self.vcpu[svc.prev_active].next_active = svc.next_active
        else:
            dom.first_active = svc.next_active
        if svc.next_active != NO_VCPU:
            self.vcpu[svc.next_active].prev_active = svc.prev_active
        else:
            dom.last_active = svc.prev_active
        dom.num_active -= 1
        if self.rules.weight_per_vcpu:
            self.pool.weight -= dom.weight
        if dom.num_active == 0:
            dom.is_active = 0
            self._domain_unlink(d)
            if not self.rules.weight_per_vcpu:
                self.pool.weight -= dom.weight
        trace(self.m, TRACE_ACTIVE, self.m.vcpu[v].pcpu, v, d, 0)

    cdef void _domain_to_head(self, int d) noexcept nogil:
        cdef CreditPool* pool = self.pool
        self.domain[d].prev = -1
        self.domain[d].next = pool.first_domain
        if pool.first_domain >= 0:
            self.domain[pool.first_domain].prev = d
        else:
            pool.last_domain = d
        pool.first_domain = d

    cdef void _domain_unlink(self, int d) noexcept nogil:
        cdef CreditPool* pool = self.pool
        cdef CreditDomain* dom = &self.domain[d]
        if dom.prev >= 0:
            self.domain[dom.prev].next = dom.next
        else:
            pool.first_domain = dom.next
        if dom.next >= 0:
            self.domain[dom.next].prev = dom.prev
        else:
            pool.last_domain = dom.prev

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void _queue_insert(self, int p, int v) noexcept nogil:
        """Insert before the first entry of strictly lower priority: behind its equals."""
        cdef CreditVcpu* vcpu = self.vcpu
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int priority = vcpu[v].priority
        cdef int at = pc.head
        cdef int before
        while at != NO_VCPU and vcpu[at].priority >= priority:
            at = vcpu[at].next
        # A yielder steps over one more, unless that is idle or the last.
        if vcpu[v].is_yielding and at != NO_VCPU and vcpu[at].priority != PRI_IDLE and vcpu[at].next != NO_VCPU:
            at = vcpu[at].next
        before = vcpu[at].prev if at != NO_VCPU else pc.tail
        vcpu[v].next = at
        vcpu[v].prev = before
        if before != NO_VCPU:
            vcpu[before].next = v
        else:
            pc.head = v
        if at != NO_VCPU:
            vcpu[at].prev = v
        else:
            pc.tail = v
        vcpu[v].is_queued = 1

    cdef void _queue_remove(self, int v) noexcept nogil:
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef CreditPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        else:
            pc.head = svc.next
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        else:
            pc.tail = svc.prev
        svc.is_queued = 0
        if self.rules.yield_is_sticky:
            svc.is_yielding = 0

    cdef void _queue_sort(self, int p) noexcept nogil:
        """Stable partition: BOOST and UNDER in front in the order they have, all others behind in theirs."""
        cdef CreditVcpu* vcpu = self.vcpu
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int front_head = NO_VCPU, front_tail = NO_VCPU, back_head = NO_VCPU, back_tail = NO_VCPU
        cdef int v = pc.head
        while v != NO_VCPU:
            if vcpu[v].priority >= PRI_UNDER:
                vcpu[v].prev = front_tail
                if front_tail != NO_VCPU:
                    vcpu[front_tail].next = v
                else:
                    front_head = v
                front_tail = v
            else:
                vcpu[v].prev = back_tail
                if back_tail != NO_VCPU:
                    vcpu[back_tail].next = v
                else:
                    back_head = v
                back_tail = v
            v = vcpu[v].next
        if front_head != NO_VCPU and back_head != NO_VCPU:
            vcpu[front_tail].next = back_head
            vcpu[back_head].prev = front_tail
            vcpu[back_tail].next = NO_VCPU
            pc.head = front_head
            pc.tail = back_tail
