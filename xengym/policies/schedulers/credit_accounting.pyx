"""Credit, the question what it costs: debit, the tick, and the accounting that hands out credits and parks the capped."""
from libc.stdint cimport int64_t
from xengym.machine.state cimport NO_VCPU, PAUSE_MIGRATING, Machine, pool_timer, tick_timer
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.credit_placement cimport CreditPlacement
from xengym.policies.schedulers.credit_state cimport (
    CAP_PRIORITY, DEBIT_SAMPLED, PRI_BOOST, PRI_OVER, PRI_PARKED, PRI_UNDER, UNPARK_BOOSTED, CreditDomain, CreditPcpu,
    CreditPool, CreditVcpu,
)
from xengym.sim.timers cimport timer_arm_hypervisor
from xengym.sim.trace cimport (
    TRACE_ACCOUNTING, TRACE_BOOST, TRACE_CREDIT, TRACE_INACTIVE, TRACE_OFF, TRACE_PARK, trace,
)

cdef int64_t CREDIT_NS = 100_000  # CPU time one credit buys
cdef int64_t CREDITS_PER_MS = 10
cdef int64_t MS_NS = 1_000_000


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef class CreditAccounting(CreditPlacement):
    """Debit, tick and accounting."""

    cdef void _debit(self, int v, int64_t now_ns) noexcept nogil:
        """Charge v for the time since it was last charged."""
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef int64_t ran_ns = now_ns - svc.start_ns
        cdef int64_t cost, credits
        if ran_ns <= 0:
            return
        cost = CREDITS_PER_MS * ran_ns + svc.residual
        credits = cost // MS_NS
        svc.residual = cost - credits * MS_NS
        svc.credit -= credits
        # The remainder is kept here as well, as Xen keeps it twice.
        svc.start_ns += credits * CREDIT_NS

    # -- tick and accounting -------------------------------------------------------------------------------------

    cdef void tick(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditPcpu* pc = &self.pcpu[p]
        cdef int cur = m.pcpu[p].curr
        cdef CreditVcpu* scur = &self.vcpu[cur]
        if not m.vcpu[cur].is_idle:
            if scur.priority == PRI_BOOST:
                scur.priority = PRI_UNDER
                trace(m, TRACE_BOOST, p, cur, 0, 0)
            if self.rules.debit == DEBIT_SAMPLED:
                scur.credit -= self.rules.credits_per_tick
            else:
                self._debit(cur, now_ns)
            if not scur.is_active:
                self._activate(cur)
            elif self.rules.repick_at_tick and self._place(cur, False) != p:
                m.vcpu[cur].pause_flags |= PAUSE_MIGRATING
                raise_schedule(m, p)
        pc.ticks += 1
        if self.rules.ticks_account and p == pool.master and pc.ticks % pool.ticks_per_tslice == 0:
            self.pool_timer_fired(now_ns)
        if pc.sorted_epoch != pool.epoch:
            pc.sorted_epoch = pool.epoch
            self._queue_sort(p)
        timer_arm_hypervisor(m, tick_timer(m, p), now_ns + pool.tick_period_ns)

    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil:
        """Hand out the period's credits by weight, bounded by what a domain can use and by its cap."""
        cdef Machine* m = self.m
        cdef CreditPool* pool = self.pool
        cdef CreditDomain* dom
        cdef int64_t debt = -pool.balance if pool.balance < 0 else 0
        cdef int64_t total = pool.pool_credit + debt
        cdef int64_t all_weight = pool.weight
        cdef int64_t weight_left = all_weight
        cdef int64_t balance = 0
        cdef int64_t effective, ceiling, allowance, cap_share, fair, grant
        cdef int d, next_d, v, next_v
        cdef bint hungry_before = False
        if not self.rules.ticks_account:
            timer_arm_hypervisor(m, pool_timer(m, self.cpupool), now_ns + pool.tslice_ns)
        m.clock.executing_pcpu = pool.master
        if all_weight == 0:
            pool.balance = 0
            self._trace_credits()
            return
        d = pool.first_domain
        while d >= 0:
            dom = &self.domain[d]
            next_d = dom.next
            effective = dom.weight
            if self.rules.weight_per_vcpu:
                effective *= dom.num_active
            weight_left -= effective
            ceiling = dom.num_active * pool.credits_per_tslice
            if debt > 0:
                ceiling += ceil_div(debt * effective, all_weight)
            cap_share = 0
            if dom.cap_pct != 0:
                allowance = ceil_div(dom.cap_pct * pool.credits_per_tslice, 100)
                ceiling = min(ceiling, allowance)
                cap_share = ceil_div(allowance, dom.num_active)
            fair = ceil_div(total * effective, all_weight)
            if fair < ceiling:
                hungry_before = True
                grant = fair
            else:
                grant = ceiling
                if weight_left > 0:
                    total += ceil_div((fair - ceiling) * all_weight, weight_left)
                if hungry_before and pool.first_domain != d:
                    # Next time its surplus reaches those that wanted more.
                    self._domain_unlink(d)
                    self._domain_to_head(d)
            grant = ceil_div(grant, dom.num_active)
            v = dom.first_active
            while v != NO_VCPU:
                next_v = self.vcpu[v].next_active
                balance += self._account_vcpu(v, grant, cap_share, dom.cap_pct != 0)
                v = next_v
            d = next_d
        pool.balance = balance
        pool.epoch += 1
        self._trace_credits()

    cdef void _trace_credits(self) noexcept nogil:
        cdef Machine* m = self.m
        cdef int v
        if m.trace_mode == TRACE_OFF:
            return
        trace(m, TRACE_ACCOUNTING, 0, NO_VCPU, 0, self.pool.balance)
        for v in range(m.max_vcpus):
            if m.vcpu[v].in_use:
                trace(m, TRACE_CREDIT, 0, v, self.vcpu[v].priority + (0 if self.vcpu[v].is_active else TRACE_INACTIVE),
                      self.vcpu[v].credit)

    cdef int64_t _account_vcpu(self, int v, int64_t grant, int64_t cap_share, bint is_capped) noexcept nogil:
        """Credit one vCPU, set its class, park or release it; returns what it adds to the balance."""
        cdef CreditVcpu* svc = &self.vcpu[v]
        cdef int64_t limit = self.pool.credits_per_tslice
        cdef int64_t before_reset
        cdef int pcpu = self.m.vcpu[v].pcpu
        svc.credit += grant
        if svc.credit < 0:
            svc.priority = PRI_OVER
            if is_capped and self.rules.cap_rule == CAP_PRIORITY:
                svc.priority = PRI_PARKED
            elif is_capped and svc.credit < -cap_share and not svc.is_parked:
                svc.is_parked = 1
                trace(self.m, TRACE_PARK, pcpu, v, 0, 1)
                self.hall.pause_vcpu(v)
            if svc.credit < -limit:
                svc.credit = -limit
            return svc.credit
        svc.priority = PRI_UNDER
        if svc.is_parked:
            trace(self.m, TRACE_PARK, pcpu, v, 0, 0)
            if self.rules.unpark_rule == UNPARK_BOOSTED:
                svc.is_parked = 0
                self.hall.unpause_vcpu(v)
            else:
                self.hall.unpause_vcpu(v)
                svc.is_parked = 0
        if svc.credit > limit:
            before_reset = svc.credit
            self._deactivate(v)
            svc.credit = svc.credit // 2 if self.rules.halve_on_leave else 0
            if self.rules.balance_before_reset:
                return before_reset
        return svc.credit
