"""The monitor's process in Dom0: XenMon's trace records are turned into samples, and that takes CPU time.

Xen writes a record at each switch in and out, block, sleep, wake and page transfer (their cost:
`Costs.monitor_record_ns`). Every 100 ms this process wakes and works through what was written; what it learns is read by
`monitor.xenmon`, which costs nothing more. Source: HPL-2005-187 and XenMon's README; the design here is ours.
"""
from libc.stdint cimport int64_t
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.machine.state cimport Machine, page_transfers

import numpy as np

cdef XenbakedState _xenbaked


cdef int64_t end_sample(Machine* m) noexcept nogil:
    """A sample of the monitor ends; returns the trace records written for it since the start."""
    cdef int v
    for v in range(m.max_vcpus):
        m.vcpu[v].allocated_min_ns = 0
        m.vcpu[v].allocated_max_ns = 0
    return m.clock.monitor_records


cdef class XenbakedKind(GuestKind):
    """Programs that work through the monitor's records."""

    name = "xenbaked"

    def sections(self, max_vcpus, max_domains):
        return [("xenbaked", np.asarray(<XenbakedState[:1]>&_xenbaked).dtype, max_vcpus)]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef XenbakedState[::1] state = views["xenbaked"]
        self.state = &state[0]

    def configure(self, int d, int v, spec):
        cdef XenbakedState* s = &self.state[v]
        s.period_ns = spec.period_ns
        s.record_ns = spec.record_ns
        s.sample_ns = spec.sample_ns
        s.released_at_ns = -1
        s.records = 0
        s.transfers = 0
        s.samples = 0

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        # What was written before is not its affair. Its first run finds nothing to do and blocks.
        self.state[v].records = end_sample(self.m)
        self.state[v].transfers = page_transfers(self.m)
        self.host.set_work(v, 0)
        self.host.arm_guest_timer(v, (now_ns // self.state[v].period_ns + 1) * self.state[v].period_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef XenbakedState* s = &self.state[v]
        if s.released_at_ns < 0:
            self.host.block(v)
            return
        self.host.segment_done(v)
        self.host.job_done(self.m.vcpu[v].domain, v, now_ns - s.released_at_ns)
        s.released_at_ns = -1
        s.samples += 1
        self.host.arm_guest_timer(v, (now_ns // s.period_ns + 1) * s.period_ns)
        self.host.block(v)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        cdef XenbakedState* s = &self.state[v]
        cdef int64_t records = end_sample(self.m)
        cdef int64_t transfers = page_transfers(self.m)  # each of them a record of its own
        # A domain that is gone has taken its count along.
        cdef int64_t work_ns = s.sample_ns + s.record_ns * (records - s.records + max(0, transfers - s.transfers))
        s.records = records
        s.transfers = transfers
        s.released_at_ns = now_ns
        self.host.job_submitted(self.m.vcpu[v].domain, work_ns)
        self.host.set_work(v, work_ns)
        self.host.deliver_event(v)
