"""Observations of `Memory-v0`: what Dom0 and the guests' balloon daemons could report of the last interval, in [0, 1].

The features of domain slot 0 come first, then those of slot 1 and so on, then those of the host; the features of an absent
domain are 0. `DOMAIN_FEATURES` and `HOST_FEATURES` name them in order.
"""
from xengym.envs.memory.actions cimport encode_target
from xengym.envs.scaling cimport saturate, unit
from xengym.hypervisor.host cimport Host
from xengym.machine.memory_state cimport DomainMemory
from xengym.machine.state cimport Machine
from xengym.mechanisms.balloon cimport spare_pages
from xengym.monitor.interval cimport DomainInterval, HostInterval, IntervalMonitor

cdef enum:
    NUM_DOMAIN_FEATURES = 16
    NUM_HOST_FEATURES = 5

#: Name and meaning of each domain's features.
DOMAIN_FEATURES = (
    ("present", "1 if the domain exists and has started"),
    ("pages", "pages that it has, as a fraction of the host's"),
    ("target", "its balloon's target, as its action scaled to 0..1; 0.5: the memory it was created with"),
    ("wanted", "pages that it wants, as a fraction of the host's: working set and kernel; 0 if it does not say"),
    ("maximum", "pages that it may have at most, as a fraction of the host's"),
    ("floor", "pages that its balloon leaves it, as a fraction of the host's"),
    ("swapped", "part of what it wants that lies on the swap disk"),
    ("reads", "pages read from the swap disk, rate / (rate + 100 per s)"),
    ("touches", "first touches of pages, rate / (rate + 1000 per s)"),
    ("waiting", "vCPU time spent waiting for the swap disk, x / (x + the interval)"),
    ("moved", "pages that its balloon has moved, as a fraction of the host's"),
    ("cpu", "CPU got, as a fraction of the host"),
    ("steal", "time runnable but not running, as a fraction of its vCPUs' time"),
    ("attainment", "service level attained"),
    ("response", "mean response time of the jobs that ended, x / (x + its target, or 100 ms)"),
    ("backlog", "jobs waiting or under way, x / (x + 8)"),
)

#: Name and meaning of the host's features.
HOST_FEATURES = (
    ("free", "free pages, as a fraction of the host's"),
    ("wanted", "sum of what domains want, x / (x + the host's pages)"),
    ("swap_disk", "time that the swap disk was busy, as a fraction of the interval"),
    ("utilisation", "time not idle, as a fraction of the host"),
    ("domains", "domains present, as a fraction of the maximum"),
)

cdef double READ_SCALE_HZ = 100.0
cdef double TOUCH_SCALE_HZ = 1000.0
cdef double RESPONSE_SCALE_NS = 100e6
cdef double BACKLOG_SCALE = 8.0


cdef class MemoryEncoder:
    """Encodes the last interval of one host.

    Args:
        host: the machine.
        monitor: its interval monitor.
        num_domains: domain slots covered.
    """

    def __init__(self, Host host, IntervalMonitor monitor, int num_domains):
        self.host = host
        self.monitor = monitor
        self.num_domains = num_domains
        self.size = num_domains * NUM_DOMAIN_FEATURES + NUM_HOST_FEATURES

    cdef void encode(self, float* out) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef HostInterval* whole = self.monitor.whole
        cdef DomainInterval* record
        cdef DomainMemory* memory
        cdef double length_ns = whole.end_ns - whole.start_ns
        cdef double host_pages = m.host_memory.pages
        cdef double host_ns, target_ns
        cdef double wanted = 0.0
        cdef int d, i, present = 0
        if length_ns <= 0.0:
            length_ns = 1.0
        host_ns = length_ns * m.num_pcpus
        for d in range(self.num_domains):
            record = &self.monitor.domain[d]
            memory = &m.memory[d]
            if not record.is_present:
                for i in range(NUM_DOMAIN_FEATURES):
                    out[i] = 0.0
                out += NUM_DOMAIN_FEATURES
                continue
            present += 1
            wanted += memory.wanted_pages
            target_ns = m.domain[d].latency_target_ns if m.domain[d].latency_target_ns > 0 else RESPONSE_SCALE_NS
            out[0] = 1.0
            out[1] = unit(memory.pages / host_pages)
            out[2] = unit(0.5 + 0.5 * encode_target(memory))
            out[3] = unit(memory.wanted_pages / host_pages)
            out[4] = unit(memory.max_pages / host_pages)
            out[5] = unit(memory.floor_pages / host_pages)
            out[6] = unit(<double>memory.swapped_pages / memory.wanted_pages) if memory.wanted_pages > 0 else 0.0
            out[7] = saturate(1e9 * record.delta.swap_reads / length_ns, READ_SCALE_HZ)
            out[8] = saturate(1e9 * record.delta.first_touches / length_ns, TOUCH_SCALE_HZ)
            out[9] = saturate(record.delta.swap_wait_ns, length_ns)
            out[10] = unit(record.delta.ballooned / host_pages)
            out[11] = unit(record.delta.cpu_ns / host_ns)
            out[12] = unit(record.delta.steal_ns / (length_ns * record.num_vcpus))
            out[13] = unit(record.attainment)
            out[14] = saturate(
                <double>record.delta.response_ns / record.delta.jobs_done if record.delta.jobs_done else 0.0, target_ns
            )
            out[15] = saturate(record.backlog, BACKLOG_SCALE)
            out += NUM_DOMAIN_FEATURES
        out[0] = unit(spare_pages(m) / host_pages)
        out[1] = saturate(wanted, host_pages)
        out[2] = unit(whole.swap_busy_ns / length_ns)
        out[3] = unit(1.0 - whole.idle_ns / host_ns)
        out[4] = unit(<double>present / self.num_domains)
