"""SEDF with something to do at regular intervals: the base of the policies that look back and correct.

They follow SEDF of Xen 3.0.2, on which the papers were written, or of its last release. The timer of the pool is theirs,
as SEDF does not use it. What a back end or Dom0 could know at the end of an interval they read from the machine: how long
each vCPU was in each runstate.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport Machine, pool_timer
from xengym.policies.schedulers.sedf cimport SedfScheduler
from xengym.sim.timers cimport timer_arm_hypervisor

import numpy as np

from xengym.policies.schedulers.tunables import check_integer

cdef int64_t MS_NS = 1_000_000
cdef Intervals _intervals


def milliseconds(where, name, value, low=1, high=60_000):
    """A number of milliseconds, checked, in ns."""
    return check_integer(where, name, value, low, high) * MS_NS


cdef int64_t runstate_ns(SedfIntervals scheduler, int v, int runstate) noexcept nogil:
    """How long v has been in a runstate so far."""
    cdef Machine* m = scheduler.m
    cdef int64_t since_ns = m.clock.now_ns - m.vcpu[v].runstate_at_ns
    return m.vcpu[v].runstate_ns[runstate] + (since_ns if m.vcpu[v].runstate == runstate else 0)


cdef class SedfIntervals(SedfScheduler):
    """Counts intervals; what happens at their ends is up to derived classes."""

    versions = ("3.0.2", "4.5", "current")

    def __init__(self, version="current", *, interval_ms=100):
        SedfScheduler.__init__(self, version)
        self.interval_ns = milliseconds(f"scheduler {self.name} {self.version}", "interval_ms", interval_ms)
        self.options = {"interval_ms": interval_ms}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        own = ("sedf_intervals", np.asarray(<Intervals[:1]>&_intervals).dtype, 1)
        return [*SedfScheduler.sections(self, num_pcpus, max_vcpus, max_domains), own]

    def bind(self, views):
        SedfScheduler.bind(self, views)
        cdef Intervals[::1] intervals = views["sedf_intervals"]
        self.intervals = &intervals[0]

    cdef void start(self, int64_t now_ns) noexcept nogil:
        self.intervals.began_at_ns = now_ns
        timer_arm_hypervisor(self.m, pool_timer(self.m, self.cpupool), now_ns + self.interval_ns)

    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil:
        self._interval_ends(now_ns)
        self.intervals.began_at_ns = now_ns
        self.intervals.ended += 1
        timer_arm_hypervisor(self.m, pool_timer(self.m, self.cpupool), now_ns + self.interval_ns)

    cdef void _interval_ends(self, int64_t now_ns) noexcept nogil:
        pass
