"""Credit2, the question who is next and for how long: wake-ups and sleep, the decision, and the end of an epoch."""
from libc.stdint cimport int64_t, uint64_t
from xengym.machine.mask cimport mask_clear, mask_set, mask_test
from xengym.machine.state cimport NO_VCPU, Machine, Vcpu, is_current, is_runnable
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.credit2_budget cimport Credit2Budget
from xengym.policies.schedulers.credit2_state cimport (
    NO_CAP, NO_PCPU, RESET_NONE_SKIPPED, Credit2Runqueue, Credit2Vcpu,
)
from xengym.sim.trace cimport TRACE_RATELIMIT, TRACE_RESET, trace

cdef int64_t CREDIT_INIT = 10_000_000        # what a reset gives
cdef int64_t CARRYOVER_MAX = 500_000         # what may be left over from the epoch before
cdef int64_t MIGRATE_COMPENSATION = 50_000   # credit for who is taken to another pCPU, whose caches are cold
cdef int64_t MIN_TIMER_NS = 500_000          # shortest slice
cdef int64_t MAX_TIMER_NS = 10_000_000       # longest slice


cdef class Credit2Decision(Credit2Budget):
    """The run queue's operations, the decision and the reset."""

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        if is_current(self.m, v) or svc.is_queued:
            return
        if svc.is_scheduled:
            svc.is_delayed = 1
            return
        self._update_load(&self.runqueue[svc.runqueue], v, 1, now_ns)
        self._queue_insert(v)
        self._tickle(v, now_ns)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        if is_current(self.m, v):
            if not svc.is_parked:  # else the pass that parks it is under way
                self._ask(self.m.vcpu[v].pcpu)
        elif svc.is_queued:
            self._update_load(&self.runqueue[svc.runqueue], v, -1, now_ns)
            self._queue_remove(v)
        else:
            svc.is_delayed = 0

    cdef void yield_cpu(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_yielding = 1

    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil:
        """v is off its pCPU. If it still wants one it may find another at once."""
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef bint is_delayed, returns
        if self.m.vcpu[v].is_idle:
            return
        svc.is_scheduled = 0
        is_delayed = svc.is_delayed
        svc.is_delayed = 0
        returns = self._return_budget(v)
        if is_delayed and is_runnable(self.m, v):
            self._queue_insert(v)
            self._tickle(v, now_ns)
        else:
            self._update_load(&self.runqueue[svc.runqueue], v, -1, now_ns)
        if returns:
            self._unpark_all(self.m.vcpu[v].domain)

    # -- the decision --------------------------------------------------------------------------------------------

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Credit2Runqueue* rq = &self.runqueue[self.pcpu[p].runqueue]
        cdef Decision decision
        cdef int cur = m.pcpu[p].curr
        cdef int idle = m.max_vcpus + p
        cdef int next, skipped = 0
        cdef Credit2Vcpu* scur = &self.vcpu[cur]
        cdef Credit2Vcpu* snext
        if mask_test(rq.tickled, p):
            mask_clear(rq.tickled, p)
            self._core_idles(rq, p)
        self._burn(cur, now_ns)
        if scur.budget_ns <= 0:
            self._grab_budget(cur)
        next = self._candidate(p, cur, now_ns, &skipped)
        if next != cur and cur != idle and is_runnable(m, cur):
            scur.is_delayed = 1
        decision.next_vcpu = next
        decision.slice_ns = -1
        if next == idle:
            if not mask_test(rq.idle, p):
                mask_set(rq.idle, p)
                self._core_idles(rq, p)
            self._update_runqueue_load(rq, 0, now_ns)  # so that averages follow where nothing else happens
            return decision
        snext = &self.vcpu[next]
        if next != cur:
            self._queue_remove(next)
            snext.is_scheduled = 1
        if mask_test(rq.idle, p):
            mask_clear(rq.idle, p)
            self._core_is_busy(rq, p)
        if self._epoch_is_over(next, rq, skipped):
            self._reset(next, p, now_ns)
            self._balance(self.pcpu[p].runqueue, now_ns)
        snext.start_ns = now_ns
        snext.tickled_pcpu = NO_PCPU
        if m.vcpu[next].pcpu != p:
            snext.credit += MIGRATE_COMPENSATION
            m.vcpu[next].pcpu = p
        # Who is switched out is not queued yet, but will be.
        decision.slice_ns = self._slice(
            next, scur.credit if scur.is_delayed and self.rules.counts_inflight else 0, rq, now_ns
        )
        return decision

    cdef int _candidate(self, int p, int cur, int64_t now_ns, int* skipped) noexcept nogil:
        """Who runs next on p: the current one, idle, or one of the queue; `skipped` counts whom the search passed over."""
        cdef Machine* m = self.m
        cdef Credit2Runqueue* rq = &self.runqueue[self.pcpu[p].runqueue]
        cdef Credit2Vcpu* vcpu = self.vcpu
        cdef int best = m.max_vcpus + p
        cdef int64_t ran_ns = now_ns - m.vcpu[cur].switch_at_ns
        cdef bint yields = vcpu[cur].is_yielding
        cdef int v, next_v
        vcpu[cur].is_yielding = 0
        if cur != best and is_runnable(m, cur):
            if not yields and ran_ns < self.pool.ratelimit_ns:
                trace(m, TRACE_RATELIMIT, p, cur, 0, ran_ns)
                return cur
            if not self._is_called_away(cur, p):
                best = cur
        v = rq.head
        while v != NO_VCPU:
            next_v = vcpu[v].next
            if self.rules.credit_test_first and not yields and vcpu[v].credit <= vcpu[best].credit:
                break
            if self._is_not_for(v, p, vcpu[best].credit):
                skipped[0] += 1
            elif not yields and vcpu[v].credit <= vcpu[best].credit:
                break
            elif self._grab_budget(v):
                return v
            v = next_v
        return best

    cdef bint _is_called_away(self, int v, int p) noexcept nogil:
        """Whether v, which runs on p, would rather be elsewhere, and an idle pCPU is free for it there."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[self.pcpu[p].runqueue]
        cdef int w
        if not self._prefers(v) or mask_test(vc.soft_affinity, p):
            return False
        for w in range(self.m.num_words):
            if rq.idle[w] & ~rq.tickled[w] & vc.soft_affinity[w] & vc.allowed[w]:
                return True
        return False

    cdef bint _is_not_for(self, int v, int p, int64_t best_credit) noexcept nogil:
        """Whether v, which waits, is to be left to others: p is forbidden, another was asked, or it resists moving."""
        cdef Machine* m = self.m
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[svc.runqueue]
        return (
            not is_runnable(m, v)
            or not mask_test(m.vcpu[v].allowed, p)
            or (svc.tickled_pcpu != NO_PCPU and svc.tickled_pcpu != p and mask_test(rq.tickled, svc.tickled_pcpu))
            or (m.vcpu[v].pcpu != p and best_credit + self.pool.migrate_resist > svc.credit)
        )

    cdef bint _epoch_is_over(self, int next, Credit2Runqueue* rq, int skipped) noexcept nogil:
        if self.vcpu[next].credit > 0:
            return False
        if self.rules.reset_when == RESET_NONE_SKIPPED:
            return skipped == 0
        return rq.head == NO_VCPU or self.vcpu[rq.head].credit <= 0

    cdef void _reset(self, int next, int p, int64_t now_ns) noexcept nogil:
        """Give new credit to all that are assigned to p's run queue, asleep or awake."""
        cdef Machine* m = self.m
        cdef int r = self.pcpu[p].runqueue
        cdef int64_t amount = CREDIT_INIT
        cdef Credit2Vcpu* svc
        cdef int v
        if self.rules.reset_repeats:
            if self.vcpu[next].credit < -CREDIT_INIT:
                amount *= 1 + -self.vcpu[next].credit // CREDIT_INIT
        elif self.vcpu[next].credit == self.rules.credit_min:
            amount *= 2
        trace(m, TRACE_RESET, p, next, r, amount)
        v = self.runqueue[r].first_member
        while v != NO_VCPU:
            svc = &self.vcpu[v]
            if self.rules.reset_burns_running and is_current(m, v):
                self._burn(v, now_ns)
                if svc.budget_ns <= 0:
                    self._ask(m.vcpu[v].pcpu)
            svc.credit = min(svc.credit + amount, CREDIT_INIT + CARRYOVER_MAX)
            svc.start_ns = now_ns
            v = svc.next_member

    cdef int64_t _slice(self, int next, int64_t inflight, Credit2Runqueue* rq, int64_t now_ns) noexcept nogil:
        """Until its credit equals that of whoever waits with most, or is used up; within bounds."""
        cdef Machine* m = self.m
        cdef Credit2Vcpu* svc = &self.vcpu[next]
        cdef int64_t shortest_ns = MIN_TIMER_NS
        cdef int64_t ratelimit_ns = self.pool.ratelimit_ns
        cdef int64_t waiting = max(inflight, 0)
        cdef int64_t credit, slice_ns
        if ratelimit_ns != 0:
            if is_current(m, next):
                ratelimit_ns -= now_ns - m.vcpu[next].switch_at_ns
            shortest_ns = max(shortest_ns, ratelimit_ns)
        if rq.head != NO_VCPU:
            waiting = max(waiting, self.vcpu[rq.head].credit)
        credit = svc.credit - waiting
        # One that waits may have more credit and have resisted moving here: then the shortest slice.
        slice_ns = credit * svc.weight // rq.max_weight if credit > 0 else 0
        if svc.budget_ns != NO_CAP:
            slice_ns = min(slice_ns, svc.budget_ns)
        return shortest_ns if slice_ns < shortest_ns else min(slice_ns, MAX_TIMER_NS)
