"""SEDF's state and the order of its queues; nothing here decides."""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.state cimport NO_VCPU
from xengym.policies.schedulers.api cimport Hypervisor, Scheduler

import numpy as np

cdef SedfPool _pool
cdef SedfPcpu _pcpu
cdef SedfVcpu _vcpu
cdef SedfDomain _domain


cdef inline int chain_of(int queue) noexcept nogil:
    """Which of a vCPU's three pairs of neighbours a queue uses: RUNQ and WAITQ share one."""
    return 0 if queue <= WAITQ else queue - 1


cdef class SedfState(Scheduler):
    """What the other parts of the scheduler work on.

    Inserting goes from the head to the first entry that has to come later, so equals keep their order of arrival. A
    change of parameters does not sort anew what is queued: an entry keeps its place until it leaves it by itself.
    """

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("sedf", np.asarray(<SedfPool[:1]>&_pool).dtype, 1),
            ("sedf_pcpu", np.asarray(<SedfPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("sedf_vcpu", np.asarray(<SedfVcpu[:1]>&_vcpu).dtype, max_vcpus),
            ("sedf_domain", np.asarray(<SedfDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef SedfPool[::1] pool = views["sedf"]
        cdef SedfPcpu[::1] pcpu = views["sedf_pcpu"]
        cdef SedfVcpu[::1] vcpu = views["sedf_vcpu"]
        cdef SedfDomain[::1] domain = views["sedf_domain"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]
        for p in range(self.m.num_pcpus):
            self._clear_queues(p)

    def queued(self):
        """vCPU numbers waiting in the scheduler's queues, in order: of each pCPU those with slice left, then the others."""
        found = []
        cdef int p, queue, v
        for p in range(self.m.num_pcpus):
            for queue in (RUNQ, WAITQ):
                v = self.pcpu[p].head[queue]
                while v != NO_VCPU:
                    if v != self.m.pcpu[p].curr:
                        found.append(v)
                    v = self.vcpu[v].next[0]
        return found

    cdef void _clear_queues(self, int p) noexcept nogil:
        cdef int queue
        for queue in range(NUM_QUEUES):
            self.pcpu[p].head[queue] = NO_VCPU
            self.pcpu[p].tail[queue] = NO_VCPU
        self.pcpu[p].slice_ends_ns = 0

    cdef void _link(self, int v, int queue, int before) noexcept nogil:
        """Put v in front of `before` (NO_VCPU: at the tail)."""
        cdef SedfPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int chain = chain_of(queue)
        cdef int after = pc.tail[queue] if before == NO_VCPU else self.vcpu[before].prev[chain]
        svc.next[chain] = before
        svc.prev[chain] = after
        if before == NO_VCPU:
            pc.tail[queue] = v
        else:
            self.vcpu[before].prev[chain] = v
        if after == NO_VCPU:
            pc.head[queue] = v
        else:
            self.vcpu[after].next[chain] = v
        if chain == 0:
            svc.queue = queue
        else:
            svc.in_extra[chain - 1] = 1

    cdef void _unlink(self, int v, int queue) noexcept nogil:
        cdef SedfPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int chain = chain_of(queue)
        if svc.prev[chain] == NO_VCPU:
            pc.head[queue] = svc.next[chain]
        else:
            self.vcpu[svc.prev[chain]].next[chain] = svc.next[chain]
        if svc.next[chain] == NO_VCPU:
            pc.tail[queue] = svc.prev[chain]
        else:
            self.vcpu[svc.next[chain]].prev[chain] = svc.prev[chain]
        svc.next[chain] = NO_VCPU
        svc.prev[chain] = NO_VCPU
        if chain == 0:
            svc.queue = NO_QUEUE
        else:
            svc.in_extra[chain - 1] = 0

    cdef void _insert_by_time(self, int v, int queue) noexcept nogil:
        """Into RUNQ by deadline, or into WAITQ by the begin of the period."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int64_t at_ns = svc.deadline_ns if queue == RUNQ else begin_of(svc)
        cdef int other = self.pcpu[self.m.vcpu[v].pcpu].head[queue]
        while other != NO_VCPU:
            if at_ns < (self.vcpu[other].deadline_ns if queue == RUNQ else begin_of(&self.vcpu[other])):
                break
            other = self.vcpu[other].next[0]
        self._link(v, queue, other)

    cdef void _remove(self, int v) noexcept nogil:
        """Out of RUNQ or WAITQ, wherever it is."""
        if self.vcpu[v].queue != NO_QUEUE:
            self._unlink(v, self.vcpu[v].queue)

    cdef void _insert_extra(self, int v, int queue, int64_t charge) noexcept nogil:
        """Into an extra queue by score; every other entry's score falls by `charge`, what v paid for its turn.

        Those in front of v's place are lowered before they are compared with it, those behind it afterwards.
        """
        cdef SedfVcpu* other
        cdef int64_t score = score_of(&self.vcpu[v], queue)[0]
        cdef int chain = chain_of(queue)
        cdef int entry = self.pcpu[self.m.vcpu[v].pcpu].head[queue]
        cdef int before = NO_VCPU
        while entry != NO_VCPU:
            other = &self.vcpu[entry]
            score_of(other, queue)[0] -= charge
            if before == NO_VCPU and score < score_of(other, queue)[0]:
                before = entry
                if charge == 0:
                    break
            entry = other.next[chain]
        self._link(v, queue, before)

    cdef void _remove_extra(self, int v, int queue) noexcept nogil:
        if self.vcpu[v].in_extra[queue - PENALTY]:
            self._unlink(v, queue)
