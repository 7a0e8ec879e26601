"""Interval accounting: what each domain got, waited for and achieved between two looks. Read only, no interpreter.

Everything here could be measured by tools in a real Dom0: runstate times (CPU got, steal, blocked), wake-ups and their
latency (from a scheduler trace, as XenMon does), and what the guests' own service reports (jobs done, in time).
"""
from libc.stdint cimport int64_t
from libc.string cimport memset
from xengym.hypervisor.host cimport Host
from xengym.machine.memory_state cimport DomainMemory
from xengym.machine.state cimport BLOCKED, OFFLINE, RUNNABLE, RUNNING, Clock, Domain, DomainIo, Machine, Vcpu

import numpy as np

cdef DomainInterval _domain_interval
cdef HostInterval _host_interval


cdef inline int64_t _time_in(Vcpu* vc, int runstate, int64_t now_ns) noexcept nogil:
    return vc.runstate_ns[runstate] + (now_ns - vc.runstate_at_ns if vc.runstate == runstate else 0)


cdef class IntervalMonitor:
    """Successive intervals of one host.

    Args:
        host: the machine to watch.

    Attributes:
        host_record: structured array of shape ``(1,)``: the last interval of the whole machine.
        domain_records: structured array of shape ``(max_domains,)``: the last interval of each domain slot.
    """

    def __init__(self, Host host):
        self.host = host
        self.m = &host.m
        host_dtype = np.asarray(<HostInterval[:1]>&_host_interval).dtype
        domain_dtype = np.asarray(<DomainInterval[:1]>&_domain_interval).dtype
        self.host_record = np.zeros(1, dtype=host_dtype)
        self.domain_records = np.zeros(host.m.max_domains, dtype=domain_dtype)
        cdef HostInterval[::1] whole = self.host_record
        cdef DomainInterval[::1] domain = self.domain_records
        self.whole = &whole[0]
        self.domain = &domain[0]

    def restart(self):
        """Forget all intervals and begin one now."""
        self.host_record[:] = 0
        self.domain_records[:] = 0
        self.measure()

    def look(self):
        """End the interval that is under way, fill in the records, and begin the next one."""
        self.measure()

    cdef void measure(self) noexcept nogil:
        cdef Machine* m = self.m
        cdef HostInterval* whole = self.whole
        cdef int64_t now_ns = m.clock.now_ns
        cdef int64_t idle_ns = 0, swap_busy_ns
        cdef int p, d
        for p in range(m.num_pcpus):
            idle_ns += _time_in(&m.vcpu[m.max_vcpus + p], RUNNING, now_ns)
        whole.start_ns = whole.end_ns
        whole.end_ns = now_ns
        whole.idle_ns = idle_ns - whole.idle_total_ns
        whole.idle_total_ns = idle_ns
        whole.switches = m.clock.context_switches - whole.switches_total
        whole.switches_total = m.clock.context_switches
        whole.passes = m.clock.passes - whole.passes_total
        whole.passes_total = m.clock.passes
        swap_busy_ns = m.host_memory.swap_busy_ns - max(<int64_t>0, m.host_memory.swap_free_at_ns - now_ns)
        whole.swap_busy_ns = swap_busy_ns - whole.swap_busy_total_ns
        whole.swap_busy_total_ns = swap_busy_ns
        for d in range(m.max_domains):
            if m.domain[d].in_use:
                measure_domain(m, d, &self.domain[d], now_ns - whole.start_ns)
            elif self.domain[d].is_present:
                memset(&self.domain[d], 0, sizeof(DomainInterval))


cdef void measure_domain(Machine* m, int d, DomainInterval* record, int64_t length_ns) noexcept nogil:
    cdef Domain* dom = &m.domain[d]
    cdef DomainIo* io = &m.io[d]
    cdef DomainMemory* memory = &m.memory[d]
    cdef Vcpu* vc
    cdef DomainTotals now
    cdef int64_t now_ns = m.clock.now_ns
    cdef int64_t* new = <int64_t*>&now
    cdef int64_t* old = <int64_t*>&record.total
    cdef int64_t* delta = <int64_t*>&record.delta
    cdef int64_t finished, wanted_ns
    cdef double agreed_ns
    cdef int i, v
    memset(&now, 0, sizeof(DomainTotals))
    record.is_present = 0
    for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
        vc = &m.vcpu[v]
        record.is_present |= vc.has_started
        now.cpu_ns += _time_in(vc, RUNNING, now_ns)
        now.steal_ns += _time_in(vc, RUNNABLE, now_ns)
        now.held_ns += vc.held_ns
        if vc.pause_count > 0 and vc.runstate == OFFLINE:
            now.held_ns += now_ns - vc.runstate_at_ns
        now.blocked_ns += _time_in(vc, BLOCKED, now_ns)
        now.overhead_ns += vc.overhead_ns
        now.wakes += vc.wake_latency_count
        now.wake_latency_ns += vc.wake_latency_ns
    now.jobs_submitted = dom.jobs_submitted
    now.jobs_done = dom.jobs_done
    now.jobs_in_time = dom.jobs_in_time
    now.jobs_dropped = dom.jobs_dropped
    now.work_submitted_ns = dom.work_submitted_ns
    now.response_ns = dom.response_ns
    now.first_touches = memory.minor_faults
    now.swap_reads = memory.major_faults
    now.swap_writes = memory.written_pages
    now.swap_wait_ns = memory.swap_wait_ns
    now.ballooned = memory.inflated_pages + memory.deflated_pages
    if m.num_device_timers:
        now.packets = io.rx_packets + io.tx_packets
        now.dropped = io.rx_dropped + io.tx_dropped
        now.block_requests = io.block_requests
        now.page_exchanges = io.page_exchanges
        now.served_ns = io.served_ns
        now.serving_ns = io.serving_ns
        record.ring_pending = io.rx_pending + io.tx_pending
    for i in range(<int>(sizeof(DomainTotals) // sizeof(int64_t)) if m.num_device_timers else NUM_BASIC_TOTALS):
        delta[i] = new[i] - old[i]
        old[i] = new[i]
    record.num_vcpus = dom.num_vcpus
    record.agreed_pcpus = dom.agreed_pcpus
    record.backlog_before = record.backlog
    record.backlog = now.jobs_submitted - now.jobs_done - now.jobs_dropped
    # CPU it would have used, as far as a Dom0 can see it: what it got, what it waited for, what its cap kept from it.
    wanted_ns = record.delta.cpu_ns + record.delta.steal_ns + record.delta.held_ns
    record.shortfall = 0.0
    if dom.agreed_pcpus > 0.0 and length_ns > 0:
        agreed_ns = dom.agreed_pcpus * length_ns
        if wanted_ns < agreed_ns:
            agreed_ns = wanted_ns
        if record.delta.cpu_ns < agreed_ns:
            record.shortfall = (agreed_ns - record.delta.cpu_ns) / (dom.agreed_pcpus * length_ns)
    if dom.latency_target_ns > 0:
        finished = record.delta.jobs_done + record.delta.jobs_dropped
        if finished > 0:
            record.attainment = <double>record.delta.jobs_in_time / finished
        else:
            # Nothing finished: a miss if a job waited all the interval, and that is beyond its target.
            record.attainment = 0.0 if record.backlog_before > 0 and length_ns >= dom.latency_target_ns else 1.0
    else:
        record.attainment = 1.0 - record.shortfall
