"""BVT's state: the queue of each pCPU, and what virtual time is; nothing here decides."""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t
from xengym.machine.state cimport NO_VCPU, is_current
from xengym.policies.schedulers.api cimport Hypervisor, Scheduler

import numpy as np

cdef BvtPool _pool
cdef BvtPcpu _pcpu
cdef BvtVcpu _vcpu
cdef BvtDomain _domain

cdef int64_t XEN_REBASE_AT = 0xF0000000
cdef int64_t XEN_REBASE_BY = 0xE0000000
cdef int64_t EXACT_REBASE_AT = <int64_t>1 << 61    # exact virtual times have 64 bits
cdef int64_t EXACT_REBASE_BY = <int64_t>1 << 60


cdef class BvtState(Scheduler):
    """What the scheduler works on.

    A pCPU's queue holds all that can run there, the running vCPU included; its order only breaks ties.
    """

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("bvt", np.asarray(<BvtPool[:1]>&_pool).dtype, 1),
            ("bvt_pcpu", np.asarray(<BvtPcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("bvt_vcpu", np.asarray(<BvtVcpu[:1]>&_vcpu).dtype, max_vcpus),
            ("bvt_domain", np.asarray(<BvtDomain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef BvtPool[::1] pool = views["bvt"]
        cdef BvtPcpu[::1] pcpu = views["bvt_pcpu"]
        cdef BvtVcpu[::1] vcpu = views["bvt_vcpu"]
        cdef BvtDomain[::1] domain = views["bvt_domain"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]
        for p in range(self.m.num_pcpus):  # also those that are not in the cpupool yet
            self.pcpu[p].head = NO_VCPU
            self.pcpu[p].tail = NO_VCPU

    def queued(self):
        """vCPU numbers waiting in the scheduler's queues, in order."""
        found = []
        cdef int p, v
        for p in range(self.m.num_pcpus):
            v = self.pcpu[p].head
            while v != NO_VCPU:
                if v != self.m.pcpu[p].curr:
                    found.append(v)
                v = self.vcpu[v].next
        return found

    cdef void _link(self, int v, bint at_head) noexcept nogil:
        cdef BvtPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        cdef BvtVcpu* svc = &self.vcpu[v]
        svc.is_queued = 1
        svc.next = pc.head if at_head else NO_VCPU
        svc.prev = NO_VCPU if at_head else pc.tail
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = v
        else:
            pc.tail = v
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = v
        else:
            pc.head = v

    cdef void _unlink(self, int v) noexcept nogil:
        cdef BvtPcpu* pc = &self.pcpu[self.m.vcpu[v].pcpu]
        cdef BvtVcpu* svc = &self.vcpu[v]
        svc.is_queued = 0
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        else:
            pc.tail = svc.prev
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        else:
            pc.head = svc.next
        svc.next = NO_VCPU
        svc.prev = NO_VCPU

    # -- virtual time --------------------------------------------------------------------------------------------

    cdef BvtDomain* _domain_of(self, int v) noexcept nogil:
        return &self.domain[self.m.vcpu[v].domain]

    cdef int64_t _charged(self, int v, int64_t now_ns) noexcept nogil:
        """Actual virtual time of v, which runs, at this instant."""
        cdef BvtVcpu* svc = &self.vcpu[v]
        cdef int64_t ran_ns = now_ns - svc.charged_to_ns
        cdef int64_t advance = self._domain_of(v).mcu_adv
        if not self.rules.whole_mcus:
            return svc.avt + ran_ns * advance
        # Xen keeps 32 bits of the time, too.
        ran_ns = <uint32_t>ran_ns
        return (svc.avt + (ran_ns + self.mcu_ns - 1) // self.mcu_ns * advance) & XEN_MAX

    cdef int64_t _effective(self, int v, int64_t avt) noexcept nogil:
        cdef BvtDomain* dom = self._domain_of(v)
        if not dom.is_warping:
            return avt
        if not self.rules.whole_mcus:
            return avt - dom.warp_value * self.mcu_ns
        return (avt - dom.warp_value) & XEN_MAX

    cdef int64_t _least_avt(self, int p, int64_t now_ns) noexcept nogil:
        """Virtual time of the system at this instant; with nobody to run, what it was last."""
        cdef int v = self.pcpu[p].head
        cdef int64_t avt, least = INT64_MAX
        while v != NO_VCPU:
            avt = self._charged(v, now_ns) if is_current(self.m, v) else self.vcpu[v].avt
            least = min(least, avt)
            v = self.vcpu[v].next
        return least if least != INT64_MAX else self.pcpu[p].svt

    cdef void _set_svt(self, int p) noexcept nogil:
        """Virtual time of the system: the least avt of those that can run; unchanged if nobody can."""
        cdef int v = self.pcpu[p].head
        cdef int64_t least = INT64_MAX
        while v != NO_VCPU:
            least = min(least, self.vcpu[v].avt)
            v = self.vcpu[v].next
        if least != INT64_MAX:
            self.pcpu[p].svt = least

    cdef void _rebase(self, int p) noexcept nogil:
        """Set the virtual times of a pCPU back before they reach the end of their range."""
        cdef bint xen = self.rules.whole_mcus
        if self.pcpu[p].svt < (XEN_REBASE_AT if xen else EXACT_REBASE_AT):
            return
        cdef int64_t by = XEN_REBASE_BY if xen else EXACT_REBASE_BY
        cdef BvtVcpu* svc
        cdef int v
        self.pcpu[p].svt -= by
        for v in range(self.m.max_vcpus):
            svc = &self.vcpu[v]
            if svc.is_inserted and self.m.vcpu[v].pcpu == p:
                svc.avt -= by
                svc.evt -= by
                if xen:
                    svc.avt &= XEN_MAX
                    svc.evt &= XEN_MAX
                elif svc.avt < 0:  # a sleeper; it will start from the system's time
                    svc.avt = 0
                    svc.evt = self._effective(v, 0)
