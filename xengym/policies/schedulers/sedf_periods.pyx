"""SEDF's periods: what running costs, when a period begins, and what a block does to it."""
from libc.stdint cimport int64_t
from xengym.machine.state cimport NO_VCPU
from xengym.policies.schedulers.sedf_state cimport (
    NEVER, NO_QUEUE, PENALTY, RUNQ, UNBLOCK_ATROPOS, UNBLOCK_BURST, UNBLOCK_EXTRA_SUPPORT, UNBLOCK_ISOCHRONOUS,
    UNBLOCK_SHORT_RESUME, UTILISATION, WAITQ, SedfState, SedfVcpu, begin_of,
)
from xengym.sim.trace cimport TRACE_REPLENISH, trace

# A shortened period keeps to the limits of later releases.
cdef int64_t MIN_SCALED_PERIOD_NS = 10_000
cdef int64_t MIN_SCALED_SLICE_NS = 5_000


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef class SedfPeriods(SedfState):
    """Moves vCPUs from one period to the next; chooses nobody."""

    cdef void _stop_slice(self, int v, int64_t now_ns) noexcept nogil:
        """v stops (for a moment at least) to run on its slice."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        svc.used_ns += now_ns - svc.started_at_ns
        if svc.used_ns < svc.slice_ns and not svc.is_asleep:
            return
        self._remove(v)
        if svc.used_ns >= svc.slice_ns:
            svc.used_ns -= svc.slice_ns
            # A shortened period grows back, a doubling at each slice used up.
            if svc.period_ns < svc.period_orig_ns and (
                    self.unblock_rule != UNBLOCK_BURST or now_ns - svc.woken_at_ns >= 2 * svc.period_ns):
                svc.period_ns *= 2
                svc.slice_ns *= 2
                if svc.period_ns > svc.period_orig_ns or svc.slice_ns > svc.slice_orig_ns:
                    svc.period_ns = svc.period_orig_ns
                    svc.slice_ns = svc.slice_orig_ns
            svc.deadline_ns += svc.period_ns
        if not svc.is_asleep:
            self._insert_by_time(v, WAITQ)
        else:
            self._remove_extra(v, PENALTY)
            self._remove_extra(v, UTILISATION)

    cdef void _stop_extra(self, int v, int64_t now_ns) noexcept nogil:
        """v's turn of extra time is over: it pays its score, however short the turn was."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int queue = svc.runs_extra
        cdef int64_t charge
        svc.runs_extra = NO_QUEUE
        svc.used_ns = 0
        self._remove_extra(v, queue)
        if queue == PENALTY:
            charge = svc.penalty_score
            svc.lost_ns -= now_ns - svc.started_at_ns
            if self.rules.penalty_until_repaid and svc.lost_ns > 0:
                svc.penalty_score = (svc.period_ns << 10) // svc.lost_ns
                charge = 0
            else:
                svc.lost_ns = 0
                svc.wants_penalty = 0
        else:
            charge = svc.utilisation_score
            svc.utilisation_score = self._price_of_turn(v, now_ns - svc.started_at_ns)
        if svc.is_asleep:
            self._remove(v)
            self._remove_extra(v, UTILISATION if queue == PENALTY else PENALTY)
        elif svc.is_extra_aware if queue == UTILISATION else svc.wants_penalty:
            self._insert_extra(v, queue, charge)

    cdef int64_t _price_of_turn(self, int v, int64_t ran_ns) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        if svc.extraweight:
            return (1 << 17) // svc.extraweight
        # Xen divides by the slice even where it is 0 (no reservation and no weight) and traps.
        return (svc.period_ns << 10) // max(svc.slice_ns, 1)

    cdef bint _period_begins(self, int v, int64_t now_ns) noexcept nogil:
        return True

    cdef void _begin_periods(self, int p, int64_t now_ns) noexcept nogil:
        """Let the periods begin that are due, and end those that are over."""
        cdef SedfVcpu* svc
        cdef int v = self.pcpu[p].head[WAITQ]
        cdef int following
        while v != NO_VCPU and begin_of(&self.vcpu[v]) <= now_ns:
            self._unlink(v, WAITQ)
            if self.vcpu[v].slice_ns <= 0:
                self._insert_by_time(v, RUNQ)
            elif self._period_begins(v, now_ns):
                self._insert_by_time(v, RUNQ)
                trace(self.m, TRACE_REPLENISH, p, v, 0, self.vcpu[v].slice_ns)
            else:
                self._insert_by_time(v, WAITQ)
            v = self.pcpu[p].head[WAITQ]
        v = self.pcpu[p].head[RUNQ]
        while v != NO_VCPU:
            svc = &self.vcpu[v]
            following = svc.next[0]
            if svc.slice_ns == 0:
                # Best effort: its periods go by without it, so that somebody always waits while anyone is awake.
                self._unlink(v, RUNQ)
                svc.deadline_ns += svc.period_ns
                if begin_of(svc) < now_ns:
                    svc.deadline_ns += ceil_div(now_ns - begin_of(svc), svc.period_ns) * svc.period_ns
                self._insert_by_time(v, WAITQ)
            elif svc.deadline_ns < now_ns or svc.used_ns > svc.slice_ns:
                # The deadline was missed, or the parameters have changed.
                self.pool.messages += 1
                self._unlink(v, RUNQ)
                svc.deadline_ns += svc.period_ns
                if svc.deadline_ns < now_ns:
                    svc.deadline_ns += ceil_div(now_ns - svc.deadline_ns, svc.period_ns) * svc.period_ns
                svc.used_ns = 0
                if begin_of(svc) > now_ns or (svc.slice_ns > 0 and not self._period_begins(v, now_ns)):
                    self._insert_by_time(v, WAITQ)
                else:
                    self._insert_by_time(v, RUNQ)
            else:
                return
            v = following

    cdef void _short_block(self, int v, int64_t now_ns) noexcept nogil:
        """v wakes up in the period in which it blocked (or for the first time)."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int rule = self.unblock_rule
        cdef int64_t lost_ns
        if rule == UNBLOCK_SHORT_RESUME or rule == UNBLOCK_BURST:
            # Time blocked counts as used; all time before it first ran does, so the first start is in the next period.
            svc.used_ns += now_ns - svc.blocked_at_ns if svc.blocked_at_ns != NEVER else svc.slice_ns
            if svc.used_ns + EXTRA_QUANTUM_NS > svc.slice_ns:
                if rule == UNBLOCK_BURST and svc.woken_at_ns != NEVER:
                    self._shorten_period(v, now_ns - svc.woken_at_ns)
                else:
                    svc.used_ns = 0
                svc.deadline_ns += svc.period_ns
            if rule == UNBLOCK_BURST:
                svc.woken_at_ns = now_ns
            return
        svc.deadline_ns += svc.period_ns
        if rule == UNBLOCK_EXTRA_SUPPORT and svc.blocked_at_ns != NEVER:
            lost_ns = max(svc.slice_ns - svc.used_ns, 0)
            svc.lost_ns = lost_ns
            if lost_ns:
                svc.penalty_score = (svc.period_ns << 10) // lost_ns
                self._remove_extra(v, PENALTY)
                svc.wants_penalty = 1
                self._insert_extra(v, PENALTY, 0)
        svc.used_ns = 0

    cdef void _long_block(self, int v, int64_t now_ns) noexcept nogil:
        """v wakes up when its deadline has passed."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int rule = self.unblock_rule
        cdef bint has_hint = svc.latency_ns > 0
        svc.used_ns = 0
        if rule == UNBLOCK_ISOCHRONOUS:
            svc.deadline_ns += (ceil_div(now_ns - svc.deadline_ns, svc.period_ns) + 1) * svc.period_ns
            return
        if has_hint and (rule == UNBLOCK_ATROPOS or (rule == UNBLOCK_BURST and svc.period_ns > svc.latency_ns)):
            self._shorten_period(v, svc.latency_ns)
        svc.deadline_ns = now_ns + svc.period_ns
        if rule == UNBLOCK_BURST:
            svc.woken_at_ns = now_ns

    cdef void _shorten_period(self, int v, int64_t period_ns) noexcept nogil:
        """Another period, the slice in proportion; never so short that the pCPU does nothing but schedule."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        svc.period_ns = max(period_ns, MIN_SCALED_PERIOD_NS)
        svc.slice_ns = in_proportion(svc.period_ns, svc.slice_orig_ns, svc.period_orig_ns)
        if svc.slice_orig_ns:
            svc.slice_ns = max(svc.slice_ns, MIN_SCALED_SLICE_NS)
