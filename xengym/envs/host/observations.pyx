"""Observations of `Host-v0`: what Dom0 could measure in the last interval, every number in [0, 1].

The features of domain slot 0 come first, then those of slot 1 and so on, then those of the host; the features of an absent
domain are 0. `DOMAIN_FEATURES` and `HOST_FEATURES` name them in order.
"""
from libc.stdint cimport int64_t
from xengym.envs.host.actions cimport ActionDecoder, TunableRange, encode_value
from xengym.envs.scaling cimport saturate, unit
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport Machine
from xengym.monitor.interval cimport DomainInterval, HostInterval, IntervalMonitor
from xengym.policies.schedulers.api cimport MAX_TUNABLES, Scheduler

cdef enum:
    NUM_DOMAIN_FEATURES = 9    # and one for each scheduler parameter
    NUM_IO_FEATURES = 7        # on a host with devices
    NUM_HOST_FEATURES = 4

#: Name and meaning of each domain's features; the scheduler's parameters follow, as actions scaled to [0, 1].
DOMAIN_FEATURES = (
    ("present", "1 if the domain exists and has started"),
    ("cpu", "CPU got, as a fraction of the host"),
    ("steal", "time runnable but not running, as a fraction of its vCPUs' time"),
    ("blocked", "time blocked, as a fraction of its vCPUs' time"),
    ("wake_latency", "mean delay from wake-up to dispatch, x / (x + 1 ms)"),
    ("demand", "CPU got, waited for, and kept from it by its cap, as a fraction of the host"),
    ("attainment", "service level attained"),
    ("backlog", "jobs waiting or under way, x / (x + 8)"),
    ("agreed", "CPU agreed on, as a fraction of the host"),
)

#: Further features of each domain on a host with devices, after those above and before the parameters.
IO_FEATURES = (
    ("packets", "network packets to and from it, rate / (rate + 10 000 per s)"),
    ("dropped", "packets lost on the host, as a fraction of all to and from it"),
    ("block", "block requests answered, rate / (rate + 500 per s)"),
    ("rings", "packets and requests that wait in its rings, x / (x + 64)"),
    ("served", "CPU that driver domains spent on its behalf, as a fraction of the host"),
    ("serving", "CPU that it spent on behalf of others, as a fraction of the host"),
    ("response", "mean response time of the jobs that ended, x / (x + 10 ms)"),
)

#: Name and meaning of the host's features.
HOST_FEATURES = (
    ("utilisation", "time not idle, as a fraction of the host"),
    ("switches", "context switches per pCPU, rate / (rate + 1000 per s)"),
    ("domains", "domains present, as a fraction of the maximum"),
    ("agreed", "sum of CPU agreed on, as a fraction of the host"),
)

cdef double LATENCY_SCALE_NS = 1e6
cdef double BACKLOG_SCALE = 8.0
cdef double SWITCH_SCALE_HZ = 1000.0
cdef double PACKET_SCALE_HZ = 10_000.0
cdef double BLOCK_SCALE_HZ = 500.0
cdef double RING_SCALE = 64.0
cdef double RESPONSE_SCALE_NS = 10e6


cdef class ObservationEncoder:
    """Encodes the last interval of one host.

    Args:
        host: the machine.
        monitor: its interval monitor.
        actions: the decoder whose scaling of parameters the observation shares.
    """

    def __init__(self, Host host, IntervalMonitor monitor, ActionDecoder actions):
        self.host = host
        self.scheduler = host.scheduler_policy
        self.monitor = monitor
        self.actions = actions
        self.num_domains = actions.num_domains
        self.num_io_features = NUM_IO_FEATURES if host.m.num_device_timers else 0
        self.width = NUM_DOMAIN_FEATURES + self.num_io_features + actions.num_tunables
        self.size = self.num_domains * self.width + NUM_HOST_FEATURES

    cdef void _encode_io(self, DomainInterval* record, double host_ns, double length_ns, float* out) noexcept nogil:
        cdef int64_t packets = record.delta.packets + record.delta.dropped
        cdef int64_t done = record.delta.jobs_done
        out[0] = saturate(1e9 * record.delta.packets / length_ns, PACKET_SCALE_HZ)
        out[1] = unit(<double>record.delta.dropped / packets if packets else 0.0)
        out[2] = saturate(1e9 * record.delta.block_requests / length_ns, BLOCK_SCALE_HZ)
        out[3] = saturate(record.ring_pending, RING_SCALE)
        out[4] = unit(record.delta.served_ns / host_ns)
        out[5] = unit(record.delta.serving_ns / host_ns)
        out[6] = saturate(<double>record.delta.response_ns / done if done else 0.0, RESPONSE_SCALE_NS)

    cdef void encode(self, float* out) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef HostInterval* whole = self.monitor.whole
        cdef DomainInterval* record
        cdef int64_t values[MAX_TUNABLES]
        cdef TunableRange* r
        cdef double length_ns = whole.end_ns - whole.start_ns
        cdef double host_ns, vcpus_ns, latency_ns, rate_hz
        cdef double agreed = 0.0
        cdef int d, i, present = 0
        cdef int width = self.width
        cdef int first_parameter = NUM_DOMAIN_FEATURES + self.num_io_features
        if length_ns <= 0.0:
            length_ns = 1.0
        host_ns = length_ns * m.num_pcpus
        for d in range(self.num_domains):
            record = &self.monitor.domain[d]
            if not record.is_present:
                for i in range(width):
                    out[i] = 0.0
                out += width
                continue
            present += 1
            agreed += record.agreed_pcpus
            vcpus_ns = length_ns * record.num_vcpus
            latency_ns = <double>record.delta.wake_latency_ns / record.delta.wakes if record.delta.wakes else 0.0
            out[0] = 1.0
            out[1] = unit(record.delta.cpu_ns / host_ns)
            out[2] = unit(record.delta.steal_ns / vcpus_ns)
            out[3] = unit(record.delta.blocked_ns / vcpus_ns)
            out[4] = saturate(latency_ns, LATENCY_SCALE_NS)
            out[5] = unit((record.delta.cpu_ns + record.delta.steal_ns + record.delta.held_ns) / host_ns)
            out[6] = unit(record.attainment)
            out[7] = saturate(record.backlog, BACKLOG_SCALE)
            out[8] = unit(record.agreed_pcpus / m.num_pcpus)
            if self.num_io_features:
                self._encode_io(record, host_ns, length_ns, out + NUM_DOMAIN_FEATURES)
            self.scheduler.get_tunables(d, values)
            for i in range(self.actions.num_tunables):
                r = self.actions.range_of(d, i)
                out[first_parameter + i] = unit(
                    0.5 + 0.5 * encode_value(r, values[self.actions.chosen[i]], 100 * record.num_vcpus)
                )
            out += width
        rate_hz = 1e9 * whole.switches / host_ns
        out[0] = unit(1.0 - whole.idle_ns / host_ns)
        out[1] = saturate(rate_hz, SWITCH_SCALE_HZ)
        out[2] = unit(<double>present / self.num_domains)
        out[3] = unit(agreed / m.num_pcpus)
