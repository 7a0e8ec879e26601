"""Credit2, the question how much: a capped domain's budget of CPU time, and who is parked when it is used up.

A cap of c percent gives the domain c percent of a period's length of CPU time in every period. The domain keeps it in a
pool from which a vCPU takes a quota when it is about to run; what it has not used it gives back when it stops. A vCPU
that finds the pool empty is parked until there is budget again. Who runs over its budget, because it may not be
stopped yet, has the domain pay that back.
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.state cimport NO_VCPU, Machine, is_current, policy_timer
from xengym.policies.schedulers.credit2_placement cimport Credit2Placement
from xengym.policies.schedulers.credit2_state cimport NO_CAP, Credit2Domain, Credit2Vcpu
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_PARK, TRACE_REPLENISH, trace

cdef int64_t MIN_QUOTA_NS = 500_000  # less could not be kept to: no slice is shorter


cdef class Credit2Budget(Credit2Placement):
    """Budgets, parking and the replenishment timer."""

    cdef bint _grab_budget(self, int v) noexcept nogil:
        """See that v has budget to run; otherwise park it and say False."""
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Domain* dom
        if svc.budget_ns > 0:
            return True
        dom = &self.domain[self.m.vcpu[v].domain]
        dom.budget_ns += svc.budget_ns
        svc.budget_ns = 0
        if dom.budget_ns <= 0:
            self._park(v)
            return False
        svc.budget_ns = min(dom.quota_ns, dom.budget_ns)
        dom.budget_ns -= svc.budget_ns
        trace(self.m, TRACE_REPLENISH, self.m.vcpu[v].pcpu, v, self.m.vcpu[v].domain, svc.budget_ns)
        return True

    cdef bint _return_budget(self, int v) noexcept nogil:
        """v stops: what it has left is the domain's again. Whether those that are parked for lack of it may go on."""
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Domain* dom = &self.domain[self.m.vcpu[v].domain]
        if svc.budget_ns == NO_CAP:
            return False
        dom.budget_ns += svc.budget_ns
        svc.budget_ns = 0
        return dom.budget_ns > 0

    # -- parking -------------------------------------------------------------------------------------------------

    cdef void _park(self, int v) noexcept nogil:
        cdef Credit2Domain* dom = &self.domain[self.m.vcpu[v].domain]
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        # The mark comes first: it tells `sleep` that the pCPU on which v runs is deciding this moment.
        svc.is_parked = 1
        svc.next_parked = dom.first_parked
        dom.first_parked = v
        trace(self.m, TRACE_PARK, self.m.vcpu[v].pcpu, v, self.m.vcpu[v].domain, 1)
        self.hall.pause_vcpu(v)

    cdef void _forget_parked(self, int v) noexcept nogil:
        cdef int32_t* link = &self.domain[self.m.vcpu[v].domain].first_parked
        while link[0] != v:
            link = &self.vcpu[link[0]].next_parked
        link[0] = self.vcpu[v].next_parked
        self.vcpu[v].is_parked = 0
        self.hall.unpause_vcpu(v)

    cdef void _unpark_all(self, int d) noexcept nogil:
        """Release all that wait for budget, who was parked last first; they compete for it when they are about to run."""
        cdef int v = self.domain[d].first_parked
        cdef int next_v
        self.domain[d].first_parked = NO_VCPU
        while v != NO_VCPU:
            next_v = self.vcpu[v].next_parked
            self.vcpu[v].is_parked = 0
            trace(self.m, TRACE_PARK, self.m.vcpu[v].pcpu, v, d, 0)
            self.hall.unpause_vcpu(v)
            v = next_v

    cdef void domain_timer_fired(self, int d, int which, int64_t now_ns) noexcept nogil:
        """Replenish the domain's budget, by as much as its cap gives it in the periods that have begun."""
        cdef Credit2Domain* dom = &self.domain[d]
        while dom.next_replenishment_ns <= now_ns:
            dom.next_replenishment_ns += self.pool.cap_period_ns
            dom.budget_ns += dom.total_budget_ns
        if dom.budget_ns > 0:
            # Budget does not pile up; a debt that is larger than a period's budget does, and is waited for.
            dom.budget_ns = min(dom.budget_ns, dom.total_budget_ns)
            self._unpark_all(d)
        timer_arm_hypervisor(self.m, policy_timer(self.m, d, 0), dom.next_replenishment_ns)

    # -- setting a cap -------------------------------------------------------------------------------------------

    cdef void _set_cap(self, int d, int32_t cap_pct, int64_t now_ns) noexcept nogil:
        cdef Credit2Domain* dom = &self.domain[d]
        cdef bint had_cap = dom.cap_pct != 0
        dom.cap_pct = cap_pct
        if cap_pct != 0:
            # With a cap in force already this counts from the next replenishment and the next quota on.
            dom.total_budget_ns = self.pool.cap_period_ns * cap_pct // 100
            dom.quota_ns = max(dom.total_budget_ns // self.m.domain[d].num_vcpus, MIN_QUOTA_NS)
            if not had_cap:
                self._begin_cap(d, now_ns)
        elif had_cap:
            self._end_cap(d)

    cdef void _begin_cap(self, int d, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Credit2Domain* dom = &self.domain[d]
        cdef int first = m.domain[d].first_vcpu
        cdef int v
        dom.budget_ns = dom.total_budget_ns
        dom.next_replenishment_ns = now_ns + self.pool.cap_period_ns
        timer_arm_hypervisor(m, policy_timer(m, d, 0), dom.next_replenishment_ns)
        for v in range(first, first + m.domain[d].num_vcpus):
            if is_current(m, v):
                self._burn(v, now_ns)  # until now it ran without a cap: that is not charged to the budget
                self._ask(m.vcpu[v].pcpu)
            self.vcpu[v].budget_ns = 0

    cdef void _end_cap(self, int d) noexcept nogil:
        cdef Machine* m = self.m
        cdef int first = m.domain[d].first_vcpu
        cdef int v
        timer_disarm(m, policy_timer(m, d, 0))
        for v in range(first, first + m.domain[d].num_vcpus):
            self.vcpu[v].budget_ns = NO_CAP
        self._unpark_all(d)
