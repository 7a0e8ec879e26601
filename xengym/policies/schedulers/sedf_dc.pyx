"""SEDF-DC: SEDF with a debt collector. A reservation limits what a guest uses and what driver domains use for it together.

Design. Xen limits a guest to its slice s in every period p; what a driver domain does for it comes on top: a guest of 30 %
for which a driver domain spends 20 % uses 50 %. Here the end of every feedback interval F brings the charge D of each
guest (`sedf_charges`), which becomes its debt. During the next interval the debt is collected in equal parts, period
by period, not at once, so that no period goes by without the guest as long as it has anything left:

    charge of a period   = min(D p / F, what is left of the slice)        n = F / p periods
    slice of the period  = s - charge

What does not fit is owed further and spread again. If the driver domains' work grows with the guest's (k seconds for one
of its own), the guest settles at s / (1 + k) and they at k s / (1 + k): the sum is s.

A guest that sleeps through whole periods does not use their slices, and these pay as well:

    owed = charged - paid - forgiven ,  forgiven += s / p for each ns between its periods.

So a guest below its limit never pays for what it did not use, and one that was charged more than its slice can pay goes on
paying. What a driver domain does for a guest whatever the guest does (a flood of packets from outside) cannot be held
down by slices: the guest gets nothing, and the driver domain goes on. That is what ShareGuard is for (`share_guard`).

Of a domain with several vCPUs each owes in proportion to its reservation. With a period longer than the interval, one
period's charge is all that is owed. Without a slice (best effort) there is no limit and no debt, and with extra time
there is no limit either: what is to be limited has ``extratime`` 0. Driver domains are not charged.

Simplified: the interval is 100 ms, that of XenMon's samples, unless told otherwise (the paper's is 500 ms, from memory);
the charge is known at the end of the interval at once and for nothing, while XenMon costs 1 to 2 % of a CPU.

Source: Gupta, Cherkasova, Gardner, Vahdat: Enforcing Performance Isolation Across Virtual Machines in Xen (2006), as told
by Reis and Cerqueira, section 6. No code of theirs was seen.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.sedf_charges cimport SedfCharges
from xengym.policies.schedulers.sedf_intervals cimport SedfIntervals
from xengym.policies.schedulers.sedf_periods cimport in_proportion
from xengym.policies.schedulers.sedf_state cimport SedfVcpu, begin_of

import numpy as np

from xengym.policies.schedulers.sedf_intervals import milliseconds

cdef int64_t PPM = 1_000_000
cdef Debt _debt


cdef class SedfDcScheduler(SedfCharges):
    """SEDF whose reservations are limits on a guest and on what driver domains do for it, together.

    Domain parameters are SEDF's.

    Args:
        version: SEDF's release, 3.0.2 or (default) 4.5.
        feedback_ms: the interval at whose end the charges are known, 1..60000.
        attribution: how the CPU time of driver domains is divided among guests: by "packets" (default), by "pages"
            exchanged, or as it was spent ("true").
    """

    scheduler_name = "sedf-dc"

    def __init__(self, version="current", *, feedback_ms=100, attribution="packets"):
        SedfCharges.__init__(self, version, attribution=attribution)
        self.interval_ns = milliseconds(f"scheduler {self.name} {self.version}", "feedback_ms", feedback_ms)
        self.options = {"feedback_ms": feedback_ms, "attribution": attribution}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        own = ("sedf_debt", np.asarray(<Debt[:1]>&_debt).dtype, max_vcpus)
        return [*SedfCharges.sections(self, num_pcpus, max_vcpus, max_domains), own]

    def bind(self, views):
        SedfCharges.bind(self, views)
        cdef Debt[::1] debt = views["sedf_debt"]
        self.debt = &debt[0]

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        SedfCharges.insert_vcpu(self, v, now_ns)
        self.debt[v].owed_ns = 0
        self.debt[v].spread_ns = 0
        self.debt[v].began_at_ns = 0
        self.debt[v].paid_ns = 0
        self.debt[v].forgiven_ns = 0

    cdef void _charges_known(self, int64_t length_ns, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef int d
        for d in range(m.max_domains):
            if m.domain[d].in_use and m.domain[d].pool == self.cpupool and not m.io[d].is_backend:
                self._charge_domain(d, self.charge[d].charged_ns)

    cdef void _charge_domain(self, int d, int64_t charged_ns) noexcept nogil:
        """A charge is divided among the vCPUs with a reservation; what all of them owe is due in the next interval."""
        cdef Machine* m = self.m
        cdef SedfVcpu* svc
        cdef int64_t part_ns, reserved_ppm = 0, left_ns = charged_ns
        cdef int last = -1
        cdef int v, first = m.domain[d].first_vcpu
        for v in range(first, first + m.domain[d].num_vcpus):
            svc = &self.vcpu[v]
            if svc.slice_ns > 0:
                reserved_ppm += max(in_proportion(PPM, svc.slice_ns, svc.period_ns), 1)
                last = v
        for v in range(first, first + m.domain[d].num_vcpus):
            svc = &self.vcpu[v]
            if svc.slice_ns <= 0:
                self.debt[v].owed_ns = 0  # its reservation was taken away
            else:
                part_ns = in_proportion(
                    charged_ns, max(in_proportion(PPM, svc.slice_ns, svc.period_ns), 1), reserved_ppm
                )
                if v == last:
                    part_ns = left_ns
                left_ns -= part_ns
                self.debt[v].owed_ns += part_ns
            self.debt[v].spread_ns = self.debt[v].owed_ns

    cdef void _long_block(self, int v, int64_t now_ns) noexcept nogil:
        SedfCharges._long_block(self, v, now_ns)
        if self.vcpu[v].slice_ns > 0:
            self._period_begins(v, now_ns)

    cdef bint _period_begins(self, int v, int64_t now_ns) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef Debt* debt = &self.debt[v]
        cdef int64_t slept_ns = begin_of(svc) - debt.began_at_ns - svc.period_ns
        cdef int64_t due_ns
        if debt.began_at_ns and slept_ns > 0 and debt.owed_ns:
            due_ns = min(in_proportion(svc.slice_ns, slept_ns, svc.period_ns), debt.owed_ns)
            debt.owed_ns -= due_ns
            debt.forgiven_ns += due_ns
        debt.began_at_ns = begin_of(svc)
        due_ns = debt.owed_ns
        if svc.period_ns < self.interval_ns:
            due_ns = min(due_ns, in_proportion(debt.spread_ns, svc.period_ns, self.interval_ns))
        due_ns = min(due_ns, svc.slice_ns - svc.used_ns)
        if due_ns <= 0:
            return True
        debt.owed_ns -= due_ns
        debt.paid_ns += due_ns
        svc.used_ns += due_ns
        if svc.used_ns < svc.slice_ns:
            return True
        svc.used_ns = 0
        svc.deadline_ns += svc.period_ns
        return False
