"""Guest programs that make their kernel work: forks, page faults, context switches, at a rate or as fast as they can.

What an operation costs follows from the domain's type (`machine.privilege`); it is CPU time like any other. Operations
come in bursts of one kind, each a piece of work and a job; the weights are those of operations.
"""
from libc.stdint cimport int64_t, uint64_t
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.sim.random cimport STREAM_GUEST, draw_unit, stream_key

import numpy as np

from xengym.machine.privilege import OPERATIONS, Platform, PrivilegeCosts, Step, price

cdef ProcessState _process


cdef class ProcessKind(GuestKind):
    """Programs that ask their kernel for operations.

    Args:
        costs: unit costs (``machine.privilege.PrivilegeCosts``); default those of the machine of Barham et al. 2003.
    """

    name = "process"

    def __init__(self, costs=None):
        self.costs = costs if costs is not None else PrivilegeCosts()
        self.operations = tuple(OPERATIONS)
        self.num_operations = len(self.operations)
        if self.num_operations > MAX_OPERATIONS:
            raise ValueError(f"process: at most {MAX_OPERATIONS} operations, found {self.num_operations}")
        for is_hvm, platform in enumerate((Platform.PV, Platform.HVM)):
            for i, operation in enumerate(OPERATIONS.values()):
                paid = price(operation, platform, self.costs)
                self.time_ns[is_hvm][i] = paid.time_ns
                self.hypercalls[is_hvm][i] = paid.hypercalls
                self.entries[is_hvm][i] = paid.entries

        for i, operation in enumerate(OPERATIONS.values()):
            self.updates[i] = sum(count for step, count in operation.steps if step in (Step.UPDATE, Step.INSTALL))
            self.pins[i] = sum(count for step, count in operation.steps if step is Step.PIN)

    def __reduce__(self):
        return type(self), (self.costs,)

    def sections(self, max_vcpus, max_domains):
        return [("process", np.asarray(<ProcessState[:1]>&_process).dtype, max_vcpus)]

    def portable(self):
        return [("process", 0, 1, ("first",))]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef ProcessState[::1] state = views["process"]
        self.state = &state[0]
        self.set_programs(np.zeros(1))

    def programs(self):
        return self.pool

    def set_programs(self, programs):
        # Only ever replaced by a longer copy, so what a snapshot refers to stays where it was.
        cdef const double[::1] weights = programs
        self.pool = programs
        self.weights = &weights[0]

    def configure(self, int d, int v, spec):
        cdef ProcessState* s = &self.state[v]
        cdef int i
        weights = np.zeros(self.num_operations)
        for name, weight in spec.mix:
            weights[self.operations.index(name)] = weight
        s.first = len(self.pool)
        self.set_programs(np.concatenate([self.pool, np.cumsum(weights) / weights.sum()]))
        s.burst_ops = spec.burst_ops
        s.period_ns = max(1, round(1e9 * spec.burst_ops / spec.ops_per_s)) if spec.ops_per_s > 0 else 0
        s.user_ns = spec.user_ns
        s.released_at_ns = -1
        s.tables = 0
        for i in range(MAX_OPERATIONS):
            s.done[i] = 0
        s.counter = 0
        s.key = stream_key(
            self.m.clock.seed, STREAM_GUEST, (<uint64_t>self.m.domain[d].domid << 16) + self.m.vcpu[v].vcpu_in_domain
        )

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        self.state[v].started_at_ns = now_ns
        self._next(v, now_ns)

    cdef void _next(self, int v, int64_t now_ns) noexcept nogil:
        """Release a burst of the operation that is drawn."""
        cdef ProcessState* s = &self.state[v]
        cdef int is_hvm = self.m.domain[self.m.vcpu[v].domain].is_hvm
        cdef int i = 0, last = self.num_operations - 1
        cdef double drawn = draw_unit(s.key, &s.counter)
        cdef int64_t work_ns
        while i < last and drawn >= self.weights[s.first + i]:
            i += 1
        s.operation = i
        if not is_hvm:  # pinned now, released at the process's end: half of all that is pinned
            s.tables = self.pins[i] // 2
            self.m.memory[self.m.vcpu[v].domain].table_pages += s.tables
        s.released_at_ns = now_ns
        work_ns = s.burst_ops * (self.time_ns[is_hvm][i] + s.user_ns)
        self.host.job_submitted(self.m.vcpu[v].domain, work_ns)
        self.host.set_work(v, work_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef ProcessState* s = &self.state[v]
        cdef int is_hvm = self.m.domain[self.m.vcpu[v].domain].is_hvm
        cdef int i = <int>s.operation
        if s.released_at_ns < 0:  # woken by a stray event: nothing to do
            self.host.block(v)
            return
        s.done[i] += s.burst_ops
        if not is_hvm:
            self.m.memory[self.m.vcpu[v].domain].table_pages -= s.tables
            self.m.memory[self.m.vcpu[v].domain].table_updates += s.burst_ops * self.updates[i]
            self.m.memory[self.m.vcpu[v].domain].table_pins += s.burst_ops * self.pins[i]
            s.tables = 0
        self.host.entered_hypervisor(v, s.burst_ops * self.hypercalls[is_hvm][i], s.burst_ops * self.entries[is_hvm][i])
        self.host.segment_done(v)
        self.host.job_done(self.m.vcpu[v].domain, v, now_ns - s.released_at_ns)
        if s.period_ns == 0:
            self._next(v, now_ns)
            return
        s.released_at_ns = -1
        self.host.arm_guest_timer(v, s.started_at_ns + ((now_ns - s.started_at_ns) // s.period_ns + 1) * s.period_ns)
        self.host.block(v)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self._next(v, now_ns)
        self.host.deliver_event(v)
