"""SEDF: so much CPU time in so much time, guaranteed; what is left over goes round in small pieces.

Design. A vCPU has a *slice* s in every *period* p. Of those whose period has begun and whose slice is not used up, the
one whose period ends first runs (earliest deadline first), until its slice is used or somebody's period begins. On one
pCPU that keeps every promise as long as

    sum of s / p  <=  1 .

Nothing checks this sum: with more promised than there is, deadlines are missed, the vCPU starts a new period, and the
counter of messages tells. When nobody has guaranteed time left, *extra time* is given in turns of 500 us to those that
take part in it, until the next period begins; with less than a turn until then the pCPU idles. Two queues wait for it.
The first holds vCPUs that blocked and woke within a period: that forfeits the rest of the slice (it would break the
guarantees of others), and one turn before everybody else makes up for it. The second is weighted round robin: a turn
costs 2^17 / extra weight, or 1024 p / s for those without one, and who has paid least is next. A domain without a slice
is *best effort*: it lives on extra time, with weight 1 unless told otherwise, where 128 is worth a whole reserved pCPU.

A slice may also be given as a weight: 100 ms less 5 ms for safety, less what the others on the pCPU have reserved, is
divided by weight, anew at every change of parameters.

Each pCPU is on its own: nothing moves a vCPU but its affinity, so one pCPU may be overbooked beside an idle one.

The parts: `sedf_state` (queues), `sedf_periods` (what time costs and when periods begin), `sedf_parameters`, and
here the decision. `sedf_rules.py` is the table of releases.

Simplified against Xen: a vCPU that is paused and unpaused before its pCPU has reacted just goes on (there, it could be
lost); scores have 64 bits; a slice of 0 without extra weight counts as 1 ns where Xen would divide by it; a period
shortened by a latency hint or a burst stays at or above 10 us, and its slice at or above 5 us.

Sources: Xen 3.0.0 to 4.5 (see `sedf_rules.py`).
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.mask cimport mask_count, mask_next
from xengym.machine.state cimport NO_VCPU, Machine, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Hypervisor
from xengym.policies.schedulers.sedf_parameters cimport DEFAULT_PERIOD_NS, SedfParameters
from xengym.policies.schedulers.sedf_periods cimport EXTRA_QUANTUM_NS
from xengym.policies.schedulers.sedf_state cimport (
    NEVER, NO_QUEUE, PENALTY, RUNQ, UTILISATION, WAITQ, SedfPcpu, SedfVcpu, begin_of,
)

import dataclasses

from xengym.policies.schedulers.sedf_rules import SEDF_RELEASES, UNBLOCK_NAMES, sedf_rules

cdef int64_t MS_NS = 1_000_000
cdef int64_t DOM0_PERIOD_NS = 20 * MS_NS         # reserved for domain 0 before Xen 4.2
cdef int64_t DOM0_SLICE_NS = 15 * MS_NS
cdef int64_t IDLE_SLICE_NS = 1_000 * MS_NS


cdef class SedfScheduler(SedfParameters):
    """Xen's SEDF scheduler of a named release.

    Domain parameters (``weight`` or a period with its slice must be among them; all vCPUs get the same):

    - ``period_ns`` and ``slice_ns``: so much guaranteed in every period;
    - ``weight`` with ``extratime`` 1 and no period: best effort with this extra weight;
    - ``weight`` otherwise (``extratime`` 0, or any ``period_ns`` beside it): a reservation in proportion to the weight;
    - ``extratime``: whether it takes part in extra time; as it was if not given;
    - ``latency_ns``: hint, heeded by the unblock rules "atropos" and "burst" only.

    Args:
        version: a key of ``SEDF_RELEASES``; default the last release.
        unblock: what a wake-up after a block gives (3.0.0 and 3.0.2 only): "isochronous", "edf", "atropos",
            "short_resume", "burst" or "extra_support"; default the last, the only one there is in other releases.
    """

    versions = tuple(SEDF_RELEASES)
    scheduler_name = "sedf"

    def __init__(self, version="current", *, unblock="extra_support"):
        rules = sedf_rules(version, self.scheduler_name, self.versions)
        self.name = self.scheduler_name
        self.version = rules.release
        self.rules_table = rules
        self.rules = {f.name: int(getattr(rules, f.name)) for f in dataclasses.fields(rules) if f.name != "release"}
        where = f"scheduler {self.name} {rules.release}"
        if unblock not in UNBLOCK_NAMES:
            raise ValueError(f"{where}: unblock must be one of {', '.join(UNBLOCK_NAMES)}; found {unblock!r}")
        if unblock != "extra_support" and not rules.has_unblock_option:
            raise ValueError(f"{where}: unblock can be chosen in 3.0.0 and 3.0.2 only, found {unblock!r}")
        self.options = {"unblock": unblock}
        self.unblock_rule = UNBLOCK_NAMES[unblock]

    def __reduce__(self):
        return _rebuild, (type(self), self.version, dict(self.options))

    def counters(self):
        return {"deadline_exceeded_messages": self.pool.messages if self.rules.counts_messages else 0}

    # -- pCPUs, domains and vCPUs come and go --------------------------------------------------------------------

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        self._clear_queues(p)

    cdef void insert_domain(self, int d) noexcept nogil:
        self.domain[d].has_tunables = 0

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int chain
        svc.period_orig_ns = DEFAULT_PERIOD_NS
        svc.slice_orig_ns = 0
        svc.extraweight = 1
        if self.rules.dom0_is_reserved and m.domain[m.vcpu[v].domain].domid == 0:
            svc.period_orig_ns = DOM0_PERIOD_NS
            svc.slice_orig_ns = DOM0_SLICE_NS
            svc.extraweight = self.rules.dom0_extraweight
        svc.period_ns = svc.period_orig_ns
        svc.slice_ns = svc.slice_orig_ns
        svc.latency_ns = 0
        svc.deadline_ns = NEVER
        svc.used_ns = 0
        svc.started_at_ns = 0
        svc.blocked_at_ns = NEVER
        svc.woken_at_ns = NEVER
        svc.lost_ns = 0
        svc.penalty_score = 0
        svc.utilisation_score = 0
        svc.weight = 0
        svc.is_extra_aware = 1
        svc.is_asleep = 1
        svc.wants_penalty = 0
        svc.runs_extra = NO_QUEUE
        svc.is_inserted = 1
        svc.queue = NO_QUEUE
        svc.in_extra[0] = 0
        svc.in_extra[1] = 0
        for chain in range(3):
            svc.next[chain] = NO_VCPU
            svc.prev[chain] = NO_VCPU

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_inserted = 0

    cdef int pick_pcpu(self, int v) noexcept nogil:
        cdef Machine* m = self.m
        cdef int p = mask_next(m.vcpu[v].allowed, -1, m.num_words)
        cdef int skip
        if not self.vcpu[v].is_inserted:
            return m.vcpu[v].pcpu  # at creation Xen's own placement stands
        if self.rules.place_by_vcpu:
            for skip in range(m.vcpu[v].vcpu_in_domain % mask_count(m.vcpu[v].allowed, m.num_words)):
                p = mask_next(m.vcpu[v].allowed, p, m.num_words)
        return p

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int p = self.m.vcpu[v].pcpu
        svc.is_asleep = 0
        if svc.queue != NO_QUEUE:
            return
        if svc.deadline_ns == NEVER:
            svc.deadline_ns = now_ns + svc.slice_ns
        if now_ns < begin_of(svc):
            # It blocked in extra time: its slice of the next period is untouched.
            if svc.wants_penalty:
                self._insert_extra(v, PENALTY, 0)
        elif now_ns < svc.deadline_ns:
            self._short_block(v, now_ns)
        else:
            self._long_block(v, now_ns)
        if svc.is_extra_aware:
            self._insert_extra(v, UTILISATION, 0)
        self._insert_by_time(v, WAITQ if begin_of(svc) > now_ns else RUNQ)
        if self._is_better(v, p):
            raise_schedule(self.m, p)

    cdef bint _is_better(self, int v, int p) noexcept nogil:
        """Whether the pCPU has to decide anew because v is awake."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int cur = self.m.pcpu[p].curr
        cdef SedfVcpu* scur
        if begin_of(svc) < self.pcpu[p].slice_ends_ns:
            return True
        if self.m.vcpu[cur].is_idle:
            return True
        scur = &self.vcpu[cur]
        if scur.runs_extra == NO_QUEUE:
            return False
        if scur.runs_extra == PENALTY:
            return svc.wants_penalty and svc.penalty_score < scur.penalty_score
        return svc.wants_penalty

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_asleep = 1
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)
        else:
            self._remove(v)
            self._remove_extra(v, PENALTY)
            self._remove_extra(v, UTILISATION)

    # -- the decision --------------------------------------------------------------------------------------------

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef SedfPcpu* pc = &self.pcpu[p]
        cdef Decision decision
        cdef int cur = m.pcpu[p].curr
        cdef int idle = m.max_vcpus + p
        cdef int waiting, extra
        if cur != idle:
            if not is_runnable(m, cur):
                self.vcpu[cur].is_asleep = 1
            if self.vcpu[cur].is_asleep:
                self.vcpu[cur].blocked_at_ns = now_ns
            if self.vcpu[cur].runs_extra != NO_QUEUE:
                self._stop_extra(cur, now_ns)
            else:
                self._stop_slice(cur, now_ns)
        self._begin_periods(p, now_ns)
        waiting = pc.head[WAITQ]
        decision.next_vcpu = idle
        if pc.head[RUNQ] != NO_VCPU:
            decision = self._among_reserved(p, now_ns)
            if waiting != NO_VCPU:
                decision.slice_ns = min(decision.slice_ns, begin_of(&self.vcpu[waiting]) - now_ns)
        elif waiting != NO_VCPU:
            decision.slice_ns = begin_of(&self.vcpu[waiting]) - now_ns
            if decision.slice_ns >= EXTRA_QUANTUM_NS:
                extra = self._next_extra(p, now_ns)
                if extra != NO_VCPU:
                    decision.next_vcpu = extra
                    decision.slice_ns = EXTRA_QUANTUM_NS
        else:
            decision.slice_ns = IDLE_SLICE_NS
        if decision.slice_ns < 0:  # weights beside reservations of more than 95 ms
            self.pool.messages += 1
            decision.slice_ns = EXTRA_QUANTUM_NS
        if decision.next_vcpu != idle:
            self.vcpu[decision.next_vcpu].started_at_ns = now_ns
        pc.slice_ends_ns = now_ns + decision.slice_ns
        return decision

    cdef Decision _among_reserved(self, int p, int64_t now_ns) noexcept nogil:
        cdef Decision decision
        decision.next_vcpu = self.pcpu[p].head[RUNQ]
        decision.slice_ns = self.vcpu[decision.next_vcpu].slice_ns - self.vcpu[decision.next_vcpu].used_ns
        return decision

    cdef int _next_extra(self, int p, int64_t now_ns) noexcept nogil:
        cdef int queue, v
        for queue in range(PENALTY, UTILISATION + 1):
            v = self.pcpu[p].head[queue]
            if v != NO_VCPU:
                self.vcpu[v].runs_extra = queue
                return v
        return NO_VCPU


def _rebuild(kind, version, options):
    return kind(version, **options)
