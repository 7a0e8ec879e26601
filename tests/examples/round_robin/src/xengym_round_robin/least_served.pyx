"""Least-served: who has had least CPU time runs next. All but the choice is the shared queue's.

    next on p = argmin cpu_ns(v)  over those who may run on p,  ties to who has waited longest

What a vCPU has had so far is in the machine's state, so this policy has none of its own; nor has it parameters.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport NO_VCPU, RUNNING, Machine
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.shared_queue cimport SharedQueueScheduler


cdef inline int64_t cpu_ns(Machine* m, int v, int64_t now_ns) noexcept nogil:
    """CPU time that v has had."""
    cdef int64_t total_ns = m.vcpu[v].runstate_ns[RUNNING]
    if m.vcpu[v].runstate == RUNNING:
        total_ns += now_ns - m.vcpu[v].runstate_at_ns
    return total_ns


cdef class LeastServed(SharedQueueScheduler):
    """Options ``slice_us`` and ``wake_asks`` are the shared queue's."""

    def __init__(self, version="current", **options):
        self.name = "least-served"
        SharedQueueScheduler.__init__(self, version, **options)

    cdef Decision choose(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef Decision decision = self.default_choice(p)
        cdef int v = self.first_waiting(p)
        cdef int64_t least_ns = 0
        decision.next_vcpu = NO_VCPU
        while v != NO_VCPU:
            if decision.next_vcpu == NO_VCPU or cpu_ns(m, v, now_ns) < least_ns:
                decision.next_vcpu = v
                least_ns = cpu_ns(m, v, now_ns)
            v = self.next_waiting(p, v)
        # The one that runs here may go on, too; those who wait go first if they have had as much.
        v = m.pcpu[p].curr
        if not m.vcpu[v].is_idle and self.may_choose(p, v):
            if decision.next_vcpu == NO_VCPU or cpu_ns(m, v, now_ns) < least_ns:
                decision.next_vcpu = v
        return decision
