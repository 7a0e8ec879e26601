"""Credit2, the question where: whom a wake-up interrupts, which run queue a vCPU is given, and how loads are balanced."""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from xengym.machine.mask cimport (
    mask_and, mask_copy, mask_cycle, mask_intersects, mask_is_empty, mask_next, mask_set, mask_test,
)
from xengym.machine.state cimport NO_VCPU, PAUSE_MIGRATING, Machine, Vcpu
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.credit2_state cimport (
    NO_CAP, NO_PCPU, NO_RUNQUEUE, TICKLE_LEAST_CREDIT, Credit2Runqueue, Credit2State, Credit2Vcpu,
)
from xengym.sim.trace cimport TRACE_PICKED, TRACE_TICKLE, trace

cdef int64_t CREDIT_INIT = 10_000_000
cdef int64_t RATELIMIT_TOLERANCE_NS = 50_000  # who will have run its rate limit this soon may be interrupted

cdef enum:
    STEP_SOFT = 0
    STEP_HARD = 1


cdef class Credit2Placement(Credit2State):
    """Burning of credit, tickle, placement and balancing."""

    cdef void _burn(self, int v, int64_t now_ns) noexcept nogil:
        """Charge v, which runs, for the time since it was last charged: the heaviest of its run queue pays 1 per ns."""
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef int64_t ran_ns = now_ns - svc.start_ns
        cdef int64_t cost, credits
        if self.m.vcpu[v].is_idle or ran_ns <= 0:
            return
        cost = ran_ns * self.runqueue[svc.runqueue].max_weight + svc.residual
        credits = cost // svc.weight
        svc.residual = cost - credits * svc.weight
        svc.credit = max(svc.credit - credits, self.rules.credit_min)
        if svc.budget_ns != NO_CAP:
            svc.budget_ns -= ran_ns
        svc.start_ns = now_ns

    # -- whom to interrupt ---------------------------------------------------------------------------------------

    cdef void _ask(self, int p) noexcept nogil:
        cdef Credit2Runqueue* rq = &self.runqueue[self.pcpu[p].runqueue]
        mask_set(rq.tickled, p)
        self._core_is_busy(rq, p)
        trace(self.m, TRACE_TICKLE, self.m.clock.executing_pcpu, NO_VCPU, p, 0)
        raise_schedule(self.m, p)

    cdef void _tickle(self, int v, int64_t now_ns) noexcept nogil:
        """Ask the one pCPU that should run v, which waits now, if there is one."""
        cdef Credit2Runqueue* rq = &self.runqueue[self.vcpu[v].runqueue]
        cdef uint64_t busy[4]
        cdef int w
        cdef int p = self._idle_for(v)
        if p < 0:
            for w in range(self.m.num_words):
                busy[w] = rq.active[w] & ~rq.idle[w] & ~rq.tickled[w] & self.m.vcpu[v].allowed[w]
            if self.rules.tickle_rule == TICKLE_LEAST_CREDIT:
                p = self._busy_by_credit(v, busy, now_ns)
            else:
                p = self._busy_by_score(v, busy, now_ns)
        if p >= 0:
            self._ask(p)
            self.vcpu[v].tickled_pcpu = p

    cdef bint _prefers(self, int v) noexcept nogil:
        """Whether v's soft affinity has to be looked at."""
        return self.rules.has_soft_affinity and self.m.vcpu[v].soft_is_effective

    cdef int _own_or_next(self, int v, const uint64_t* mask) noexcept nogil:
        cdef int own = self.m.vcpu[v].pcpu
        return own if mask_test(mask, own) else mask_cycle(mask, own, self.m.num_words)

    cdef int _idle_for(self, int v) noexcept nogil:
        """An idle pCPU for v that nobody was sent to, or -1: its own if possible, and on a core that idles as a whole.

        To save power it is the other way round: a core that is busy anyway is preferred.
        """
        cdef Machine* m = self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef Credit2Runqueue* rq = &self.runqueue[self.vcpu[v].runqueue]
        cdef uint64_t step_mask[4]
        cdef uint64_t mask[4]
        cdef int n = m.num_words
        cdef int step, w, p
        if vc.is_pinned and mask_test(rq.idle, vc.pcpu) and not mask_test(rq.tickled, vc.pcpu):
            return vc.pcpu
        for step in range(STEP_SOFT if self._prefers(v) else STEP_HARD, STEP_HARD + 1):
            mask_copy(step_mask, vc.allowed, n)
            if step == STEP_SOFT:
                mask_and(step_mask, step_mask, vc.soft_affinity, n)
            for w in range(n):
                if self.pool.smt_power_savings:
                    mask[w] = rq.idle[w] & ~rq.smt_idle[w] & step_mask[w]
                else:
                    mask[w] = rq.smt_idle[w] & step_mask[w]
            p = self._own_or_next(v, mask)
            if p >= 0:
                return p
            for w in range(n):
                mask[w] = rq.idle[w] & ~rq.tickled[w] & step_mask[w]
            p = self._own_or_next(v, mask)
            if p >= 0:
                return p
        return NO_PCPU

    cdef int _busy_by_score(self, int v, const uint64_t* candidates, int64_t now_ns) noexcept nogil:
        """The pCPU where v gains most, or -1; its own if it gains anything there and likes to be there."""
        cdef int own = self.m.vcpu[v].pcpu
        cdef int chosen = NO_PCPU
        cdef int64_t best = 0, score
        cdef int p
        if mask_test(candidates, own):
            best = max(self._score(v, own, now_ns), 0)
            if best > 0:
                if mask_test(self.m.vcpu[v].soft_affinity, own):
                    return own
                chosen = own
        p = mask_next(candidates, -1, self.m.num_words)
        while p >= 0:
            if p != own:
                score = self._score(v, p, now_ns)
                if score > best:
                    best = score
                    chosen = p
            p = mask_next(candidates, p, self.m.num_words)
        return chosen

    cdef int64_t _score(self, int v, int p, int64_t now_ns) noexcept nogil:
        """What v gains on p: credit over whoever runs there, and a bonus for either's soft affinity."""
        cdef Machine* m = self.m
        cdef int cur = m.pcpu[p].curr
        cdef int64_t ratelimit_ns = self.pool.ratelimit_ns
        cdef int64_t score
        if m.vcpu[cur].is_idle:
            return -1
        if (ratelimit_ns > RATELIMIT_TOLERANCE_NS
                and now_ns - m.vcpu[cur].switch_at_ns <= ratelimit_ns - RATELIMIT_TOLERANCE_NS):
            return -1
        self._burn(cur, now_ns)
        score = self.vcpu[v].credit - self.vcpu[cur].credit
        if p != m.vcpu[v].pcpu:
            score -= self.pool.migrate_resist
        if score > 0:
            if mask_test(m.vcpu[v].soft_affinity, p):
                score += CREDIT_INIT
            if not mask_test(m.vcpu[cur].soft_affinity, p):
                score += CREDIT_INIT
        return score

    cdef int _busy_by_credit(self, int v, const uint64_t* candidates, int64_t now_ns) noexcept nogil:
        """v's own pCPU if it has more credit than who runs there, else where there is least, or -1. Heeds no rate limit."""
        cdef Machine* m = self.m
        cdef int own = m.vcpu[v].pcpu
        cdef int chosen = NO_PCPU
        cdef int64_t least = INT64_MAX
        cdef int p, cur
        if mask_test(candidates, own):
            self._burn(m.pcpu[own].curr, now_ns)
            if self.vcpu[m.pcpu[own].curr].credit < self.vcpu[v].credit:
                return own
        p = mask_next(candidates, -1, m.num_words)
        while p >= 0:
            if p != own:
                cur = m.pcpu[p].curr
                self._burn(cur, now_ns)
                if self.vcpu[cur].credit < least:
                    least = self.vcpu[cur].credit
                    chosen = p
            p = mask_next(candidates, p, m.num_words)
        if chosen == NO_PCPU or least + self.pool.migrate_resist > self.vcpu[v].credit:
            return NO_PCPU
        return chosen

    # -- placement -----------------------------------------------------------------------------------------------

    cdef int _next_by_bias(self, Credit2Runqueue* rq, const uint64_t* allowed) noexcept nogil:
        """The run queue's next pCPU in turn, among `allowed`, or -1."""
        cdef uint64_t mask[4]
        cdef int p
        mask_and(mask, allowed, rq.active, self.m.num_words)
        p = mask_cycle(mask, rq.pick_bias, self.m.num_words)
        if p >= 0:
            rq.pick_bias = p
        return p

    cdef int pick_pcpu(self, int v) noexcept nogil:
        """The run queue of least load; which of its pCPUs hardly matters, since a wake-up asks the best one."""
        cdef Machine* m = self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef Credit2Runqueue* rq
        cdef int n = m.num_words
        cdef int r, w, p, target = svc.target_runqueue
        cdef int least_at = NO_RUNQUEUE, preferred_at = NO_RUNQUEUE
        cdef int64_t least = INT64_MAX, preferred = INT64_MAX, load
        cdef uint64_t mask[4]
        svc.target_runqueue = NO_RUNQUEUE
        if target != NO_RUNQUEUE:
            p = self._next_by_bias(&self.runqueue[target], vc.allowed)
            if p >= 0:
                trace(m, TRACE_PICKED, vc.pcpu, v, p, 0)
                return p
        for r in range(self.pool.num_runqueues):
            rq = &self.runqueue[r]
            mask_and(mask, vc.allowed, rq.active, n)
            if mask_is_empty(mask, n):
                continue
            load = rq.b_avgload
            if r == svc.runqueue:
                load = max(load - svc.avgload, 0)  # as if it were not here: no run queue has an advantage
            if load < preferred and self._prefers(v) and mask_intersects(mask, vc.soft_affinity, n):
                preferred = load
                preferred_at = r
            if load < least:
                least = load
                least_at = r
        if least_at == NO_RUNQUEUE:
            return mask_next(vc.allowed, -1, n)
        # The turn is that of the least loaded run queue even where v prefers another one. That is how Xen has it.
        rq = &self.runqueue[least_at]
        if preferred_at != NO_RUNQUEUE:
            for w in range(n):
                mask[w] = vc.allowed[w] & vc.soft_affinity[w] & self.runqueue[preferred_at].active[w]
        else:
            mask_and(mask, vc.allowed, rq.active, n)
        p = mask_cycle(mask, rq.pick_bias, n)
        rq.pick_bias = p
        trace(m, TRACE_PICKED, vc.pcpu, v, p, 0)
        return p

    cdef void migrate(self, int v, int p) noexcept nogil:
        if self.pcpu[p].runqueue != self.vcpu[v].runqueue:
            self._reassign(v, self.pcpu[p].runqueue, p, self.m.clock.now_ns)
        else:
            self.m.vcpu[v].pcpu = p

    cdef void _reassign(self, int v, int r, int p, int64_t now_ns) noexcept nogil:
        """Assign v, which does not run, to run queue r at its pCPU p; if it waits, it waits there then."""
        cdef Credit2Vcpu* svc = &self.vcpu[v]
        cdef bint waits = svc.is_queued
        if waits:
            self._queue_remove(v)
            self._update_runqueue_load(&self.runqueue[svc.runqueue], -1, now_ns)
        self._deassign(v)
        self.m.vcpu[v].pcpu = p
        self._assign(v, r)
        if waits:
            self._update_runqueue_load(&self.runqueue[r], 1, now_ns)
            self._queue_insert(v)
            self._tickle(v, now_ns)

    # -- balancing -----------------------------------------------------------------------------------------------

    cdef void _balance(self, int r, int64_t now_ns) noexcept nogil:
        """Exchange, send or fetch the vCPUs that make run queue r and the one most unlike it as equal as can be."""
        cdef Credit2Runqueue* own = &self.runqueue[r]
        cdef Credit2Runqueue* other
        cdef int s, push, pull, best_push = NO_VCPU, best_pull = NO_VCPU
        cdef int64_t gap, least, difference, pushed
        self._update_runqueue_load(own, 0, now_ns)
        s = self._most_different(r, now_ns)
        if s == NO_RUNQUEUE:
            return
        other = &self.runqueue[s]
        gap = own.b_avgload - other.b_avgload
        least = gap if gap >= 0 else -gap
        if not self._is_worthwhile(own, least):
            return
        self._update_members(own, now_ns)
        self._update_members(other, now_ns)
        # Every push with every pull, then without one; at last every pull alone (push: nobody). The first of equals.
        push = own.first_member
        while True:
            if push == NO_VCPU or self._may_move(push, other):
                pushed = self.vcpu[push].avgload if push != NO_VCPU else 0
                pull = other.first_member
                while pull != NO_VCPU:
                    if self._may_move(pull, own):
                        difference = gap - 2 * pushed + 2 * self.vcpu[pull].avgload
                        difference = difference if difference >= 0 else -difference
                        if difference < least:
                            least = difference
                            best_push = push
                            best_pull = pull
                    pull = self.vcpu[pull].next_member
                difference = gap - 2 * pushed
                difference = difference if difference >= 0 else -difference
                if difference < least:
                    least = difference
                    best_push = push
                    best_pull = NO_VCPU
            if push == NO_VCPU:
                break
            push = self.vcpu[push].next_member
        if best_push != NO_VCPU:
            self._send(best_push, s, now_ns)
        if best_pull != NO_VCPU:
            self._send(best_pull, r, now_ns)

    cdef int _most_different(self, int r, int64_t now_ns) noexcept nogil:
        """The other run queue whose load differs most from that of r, all brought up to date; or none."""
        cdef Credit2Runqueue* rq
        cdef int s, chosen = NO_RUNQUEUE
        cdef int64_t most = 0, difference
        for s in range(self.pool.num_runqueues):
            rq = &self.runqueue[s]
            if s == r or rq.num_pcpus == 0:
                continue
            self._update_runqueue_load(rq, 0, now_ns)
            difference = self.runqueue[r].b_avgload - rq.b_avgload
            difference = difference if difference >= 0 else -difference
            if difference > most:
                most = difference
                chosen = s
        return chosen

    cdef bint _is_worthwhile(self, Credit2Runqueue* own, int64_t difference) noexcept nogil:
        """Whether so much difference in load is worth a migration.

        Compared with is the last of all run queues, which need not be the one that was found: so Xen's loop leaves it.
        """
        cdef Credit2Runqueue* last = &self.runqueue[self.pool.num_runqueues - 1]
        cdef int64_t load = max(own.b_avgload, last.b_avgload)
        cdef int64_t num_pcpus = max(own.num_pcpus, last.num_pcpus)
        if load < num_pcpus << self.pool.load_precision_shift:
            return difference >= self.pool.under_tolerance
        return difference >= self.pool.over_tolerance

    cdef void _update_members(self, Credit2Runqueue* rq, int64_t now_ns) noexcept nogil:
        cdef int v = rq.first_member
        while v != NO_VCPU:
            self._update_vcpu_load(v, 0, now_ns)
            v = self.vcpu[v].next_member

    cdef bint _may_move(self, int v, Credit2Runqueue* to) noexcept nogil:
        return self.vcpu[v].target_runqueue == NO_RUNQUEUE and mask_intersects(
            self.m.vcpu[v].allowed, to.active, self.m.num_words
        )

    cdef void _send(self, int v, int r, int64_t now_ns) noexcept nogil:
        """Move v to run queue r: at once, or when it has been taken off its pCPU."""
        if self.vcpu[v].is_scheduled:
            self.vcpu[v].target_runqueue = r
            self.m.vcpu[v].pause_flags |= PAUSE_MIGRATING
            self._ask(self.m.vcpu[v].pcpu)
        else:
            self._reassign(v, r, self._next_by_bias(&self.runqueue[r], self.m.vcpu[v].allowed), now_ns)
