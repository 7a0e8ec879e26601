"""Credit2's state: which pCPUs share a run queue, who waits in it and who is assigned to it, and how loaded it is."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset
from xengym.machine.mask cimport (
    mask_clear, mask_count, mask_drop, mask_intersects, mask_is_subset, mask_next, mask_set, mask_test,
)
from xengym.machine.state cimport NO_VCPU, Machine, is_runnable
from xengym.policies.schedulers.api cimport Scheduler

import numpy as np

cdef Credit2Pool _pool
cdef Credit2Pcpu _pcpu
cdef Credit2Runqueue _runqueue
cdef Credit2Vcpu _vcpu
cdef Credit2Domain _domain

cdef int LOAD_UNIT_SHIFT = 10      # loads are averaged in units of 2^10 ns
cdef int64_t CREDIT_INIT = 10_000_000
cdef int32_t DEFAULT_WEIGHT = 256


cdef inline int64_t averaged(
    int64_t average, int64_t load, int64_t since, int64_t now, int window_shift, int precision_shift
) noexcept nogil:
    """An average over a window that slides on: the time since the last update counts with the load that held."""
    if since + (<int64_t>1 << window_shift) < now:
        return load << precision_shift
    cdef int64_t d = now - since
    return average + ((d * (load << precision_shift)) >> window_shift) - ((d * average) >> window_shift)


cdef class Credit2State(Scheduler):
    """What the other parts of the scheduler work on; knows the order of its lists, decides nothing."""

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("credit2", np.asarray(<Credit2Pool[:1]>&_pool).dtype, 1),
            ("credit2_pcpu", np.asarray(<Credit2Pcpu[:1]>&_pcpu).dtype, num_pcpus),
            ("credit2_runqueue", np.asarray(<Credit2Runqueue[:1]>&_runqueue).dtype, num_pcpus),
            ("credit2_vcpu", np.asarray(<Credit2Vcpu[:1]>&_vcpu).dtype, max_vcpus + num_pcpus),
            ("credit2_domain", np.asarray(<Credit2Domain[:1]>&_domain).dtype, max_domains),
        ]

    def bind(self, views):
        cdef Credit2Pool[::1] pool = views["credit2"]
        cdef Credit2Pcpu[::1] pcpu = views["credit2_pcpu"]
        cdef Credit2Runqueue[::1] runqueue = views["credit2_runqueue"]
        cdef Credit2Vcpu[::1] vcpu = views["credit2_vcpu"]
        cdef Credit2Domain[::1] domain = views["credit2_domain"]
        self.pool = &pool[0]
        self.pcpu = &pcpu[0]
        self.runqueue = &runqueue[0]
        self.vcpu = &vcpu[0]
        self.domain = &domain[0]
        views["credit2_pcpu"]["runqueue"] = NO_RUNQUEUE
        views["credit2_vcpu"]["runqueue"] = NO_RUNQUEUE
        views["credit2_vcpu"]["target_runqueue"] = NO_RUNQUEUE

    def queued(self):
        """Numbers of the vCPUs that wait, run queue by run queue, in order."""
        waiting = []
        cdef int r, v
        for r in range(self.pool.num_runqueues):
            v = self.runqueue[r].head if self.runqueue[r].num_pcpus else NO_VCPU
            while v != NO_VCPU:
                waiting.append(v)
                v = self.vcpu[v].next
        return waiting

    # -- pCPUs come and go ---------------------------------------------------------------------------------------

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        cdef int r = self._runqueue_for(p)
        cdef Credit2Runqueue* rq = &self.runqueue[r]
        cdef Credit2Vcpu* idle = &self.vcpu[self.m.max_vcpus + p]
        if rq.num_pcpus == 0:
            memset(rq, 0, sizeof(Credit2Runqueue))
            rq.max_weight = 1
            rq.head = rq.tail = rq.first_member = rq.last_member = NO_VCPU
            rq.pick_bias = p
            if r == self.pool.num_runqueues:
                self.pool.num_runqueues += 1
        rq.num_pcpus += 1
        self.pcpu[p].runqueue = r
        idle.credit = self.rules.idle_credit
        idle.budget_ns = NO_CAP
        mask_set(rq.active, p)
        mask_set(rq.idle, p)
        self._core_idles(rq, p)

    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        cdef Credit2Pool* pool = self.pool
        cdef Credit2Runqueue* rq = &self.runqueue[self.pcpu[p].runqueue]
        self.pcpu[p].runqueue = NO_RUNQUEUE
        rq.num_pcpus -= 1
        mask_clear(rq.active, p)
        mask_clear(rq.idle, p)
        mask_clear(rq.tickled, p)
        mask_clear(rq.smt_idle, p)
        if rq.num_pcpus > 0:
            self._core_idles(rq, p)  # the siblings that stay may be all idle
            if rq.pick_bias == p:
                rq.pick_bias = mask_next(rq.active, -1, self.m.num_words)
        while pool.num_runqueues > 0 and self.runqueue[pool.num_runqueues - 1].num_pcpus == 0:
            pool.num_runqueues -= 1

    cdef int _runqueue_for(self, int p) noexcept nogil:
        """Id of the run queue that pCPU p joins: its sibling's, else the smallest that has room, else a new one."""
        cdef Machine* m = self.m
        cdef Credit2Pool* pool = self.pool
        cdef Credit2Runqueue* rq
        cdef int r, free = NO_RUNQUEUE, best = NO_RUNQUEUE
        cdef int most = m.num_pcpus
        # Not as full as possible but as even as possible: as few run queues as the bound allows, of like size.
        if self.rules.limits_runqueues:
            most = m.num_pcpus // ((m.num_pcpus - 1) // pool.max_cpus_runqueue + 1)
        for r in range(pool.num_runqueues):
            rq = &self.runqueue[r]
            if rq.num_pcpus == 0:
                if free == NO_RUNQUEUE:
                    free = r
                continue
            if not self._belongs(rq, p):
                continue
            if mask_intersects(rq.active, m.topology[p].core_mask, m.num_words):
                return r  # siblings are never parted
            if rq.num_pcpus < most and (pool.arrangement == ARRANGE_ALL or self._size_with_siblings(rq, p) <= most):
                if best == NO_RUNQUEUE or rq.num_pcpus < self.runqueue[best].num_pcpus:
                    best = r
        if best != NO_RUNQUEUE:
            return best
        return free if free != NO_RUNQUEUE else pool.num_runqueues

    cdef bint _belongs(self, Credit2Runqueue* rq, int p) noexcept nogil:
        """Whether p shares with the run queue's pCPUs what the arrangement asks for; a NUMA node is a socket here."""
        cdef Machine* m = self.m
        cdef int peer = mask_next(rq.active, -1, m.num_words)
        if self.pool.arrangement == ARRANGE_ALL:
            return True
        if self.pool.arrangement == ARRANGE_CPU:
            return False
        if self.pool.arrangement == ARRANGE_CORE:
            return m.topology[peer].core == m.topology[p].core
        return m.topology[peer].socket == m.topology[p].socket

    cdef int _size_with_siblings(self, Credit2Runqueue* rq, int p) noexcept nogil:
        """pCPUs that the run queue would hold with p, if all siblings of all its pCPUs were to come as well."""
        cdef Machine* m = self.m
        cdef int w, q
        cdef uint64_t cores[4]
        for w in range(m.num_words):
            cores[w] = m.topology[p].core_mask[w]
        q = mask_next(rq.active, -1, m.num_words)
        while q >= 0:
            for w in range(m.num_words):
                cores[w] |= m.topology[q].core_mask[w]
            q = mask_next(rq.active, q, m.num_words)
        return mask_count(cores, m.num_words)

    cdef void _core_idles(self, Credit2Runqueue* rq, int p) noexcept nogil:
        """p has become idle or has answered: mark its core if all of it, within the run queue, is idle and not asked."""
        cdef uint64_t* core = self.m.topology[p].core_mask
        cdef uint64_t siblings[4]
        cdef int w
        for w in range(self.m.num_words):
            siblings[w] = core[w] & rq.active[w]
            if siblings[w] & ~(rq.idle[w] & ~rq.tickled[w]):
                return
        for w in range(self.m.num_words):
            rq.smt_idle[w] |= siblings[w]

    cdef void _core_is_busy(self, Credit2Runqueue* rq, int p) noexcept nogil:
        """p is no longer idle, or was asked: its core is not idle as a whole."""
        mask_drop(rq.smt_idle, self.m.topology[p].core_mask, self.m.num_words)

    # -- domains and vCPUs come and go ---------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept nogil:
        memset(&self.domain[d], 0, sizeof(Credit2Domain))
        self.domain[d].weight = DEFAULT_WEIGHT
        self.domain[d].first_parked = NO_VCPU

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Domain* dom = &self.domain[m.vcpu[v].domain]
        memset(svc, 0, sizeof(Credit2Vcpu))
        svc.credit = CREDIT_INIT
        svc.budget_ns = NO_CAP if dom.cap_pct == 0 else 0
        svc.load_at = now_ns >> LOAD_UNIT_SHIFT
        svc.avgload = <int64_t>1 << (self.pool.load_precision_shift - 1)  # nothing is known: half a pCPU
        svc.weight = dom.weight
        svc.next = svc.prev = svc.next_member = svc.prev_member = svc.next_parked = NO_VCPU
        svc.runqueue = NO_RUNQUEUE
        svc.target_runqueue = NO_RUNQUEUE
        svc.tickled_pcpu = NO_PCPU
        self._assign(v, self.pcpu[m.vcpu[v].pcpu].runqueue)

    # -- who is assigned to a run queue --------------------------------------------------------------------------

    cdef void _assign(self, int v, int r) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[r]
        svc.runqueue = r
        svc.next_member = NO_VCPU
        svc.prev_member = rq.last_member
        if rq.last_member != NO_VCPU:
            self.vcpu[rq.last_member].next_member = v
        else:
            rq.first_member = v
        rq.last_member = v
        if svc.weight > rq.max_weight:
            rq.max_weight = svc.weight
        rq.b_avgload += svc.avgload

    cdef void _deassign(self, int v) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[svc.runqueue]
        if svc.prev_member != NO_VCPU:
            self.vcpu[svc.prev_member].next_member = svc.next_member
        else:
            rq.first_member = svc.next_member
        if svc.next_member != NO_VCPU:
            self.vcpu[svc.next_member].prev_member = svc.prev_member
        else:
            rq.last_member = svc.prev_member
        svc.runqueue = NO_RUNQUEUE
        if svc.weight == rq.max_weight:
            self._renew_max_weight(rq)
        rq.b_avgload = max(rq.b_avgload - svc.avgload, 0)

    cdef void _renew_max_weight(self, Credit2Runqueue* rq) noexcept nogil:
        cdef int v = rq.first_member
        rq.max_weight = 1
        while v != NO_VCPU:
            rq.max_weight = max(rq.max_weight, <int64_t>self.vcpu[v].weight)
            v = self.vcpu[v].next_member

    # -- who waits in it -----------------------------------------------------------------------------------------

    cdef void _queue_insert(self, int v) noexcept nogil:
        """Insert before the first entry of strictly less credit: behind its equals."""
        cdef Credit2Vcpu* vcpu = self.vcpu
        cdef Credit2Runqueue* rq = &self.runqueue[vcpu[v].runqueue]
        cdef int at = rq.head
        cdef int before
        while at != NO_VCPU and vcpu[at].credit >= vcpu[v].credit:
            at = vcpu[at].next
        before = vcpu[at].prev if at != NO_VCPU else rq.tail
        vcpu[v].next = at
        vcpu[v].prev = before
        if before != NO_VCPU:
            vcpu[before].next = v
        else:
            rq.head = v
        if at != NO_VCPU:
            vcpu[at].prev = v
        else:
            rq.tail = v
        vcpu[v].is_queued = 1

    cdef void _queue_remove(self, int v) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[svc.runqueue]
        if svc.prev != NO_VCPU:
            self.vcpu[svc.prev].next = svc.next
        else:
            rq.head = svc.next
        if svc.next != NO_VCPU:
            self.vcpu[svc.next].prev = svc.prev
        else:
            rq.tail = svc.prev
        svc.is_queued = 0

    # -- load ----------------------------------------------------------------------------------------------------

    cdef void _update_load(self, Credit2Runqueue* rq, int v, int change, int64_t now_ns) noexcept nogil:
        """v begins (1) or ceases (-1) to want a pCPU."""
        self._update_runqueue_load(rq, change, now_ns)
        self._update_vcpu_load(v, change, now_ns)

    cdef void _update_runqueue_load(self, Credit2Runqueue* rq, int change, int64_t now_ns) noexcept nogil:
        cdef int64_t now = now_ns >> LOAD_UNIT_SHIFT
        cdef int window = self.pool.load_window_shift, precision = self.pool.load_precision_shift
        rq.avgload = averaged(rq.avgload, rq.load, rq.load_at, now, window, precision)
        rq.b_avgload = averaged(rq.b_avgload, rq.load, rq.load_at, now, window, precision)
        rq.load += change
        rq.load_at = now

    cdef void _update_vcpu_load(self, int v, int change, int64_t now_ns) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef int64_t now = now_ns >> LOAD_UNIT_SHIFT
        cdef int64_t load = change < 0 if change != 0 else is_runnable(self.m, v)  # what held until now
        svc.avgload = averaged(
            svc.avgload, load, svc.load_at, now, self.pool.load_window_shift, self.pool.load_precision_shift
        )
        svc.load_at = now
