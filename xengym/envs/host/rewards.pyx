"""Rewards of `Host-v0`: named terms of the last interval; the reward is their weighted sum."""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport Machine
from xengym.monitor.interval cimport DomainInterval, HostInterval, IntervalMonitor

#: Name and meaning of each term, in order.
REWARD_TERMS = (
    ("sla", "mean service-level attainment over the domains present, 0..1"),
    ("isolation", "minus the mean shortfall against the agreed CPU, -1..0"),
    ("work", "useful CPU time handed out, as a fraction of the host, 0..1"),
    ("switching", "minus the time lost to switching and cache refill, as a fraction of the host, -1..0"),
    ("goodput", "jobs that ended in time, as a fraction of all that ended, 0..1; 1 if none did"),
    ("taken", "minus CPU used beyond agreements (driver domains' work included) while others fell short, of the host, -1..0"),
    ("swapping", "minus the time that the swap disk was busy, as a fraction of the interval, -1..0"),
    ("ballooning", "minus the pages that balloons have moved, as a fraction of the host's, -1..0"),
)


cdef inline double whole_length(HostInterval* whole) noexcept nogil:
    return <double>(whole.end_ns - whole.start_ns)


cdef class RewardTerms:
    """Reward terms of one host.

    Args:
        host: the machine.
        monitor: its interval monitor.
        num_domains: domain slots that count.
        weights: weight by term name; terms left out weigh 0.
    """

    def __init__(self, Host host, IntervalMonitor monitor, int num_domains, weights):
        self.host = host
        self.monitor = monitor
        self.num_domains = num_domains
        for i, (name, _) in enumerate(REWARD_TERMS):
            self.weights[i] = weights.get(name, 0.0)

    cdef double compute(self, double* terms) noexcept nogil:
        cdef HostInterval* whole = self.monitor.whole
        cdef DomainInterval* record
        cdef double host_ns = <double>(whole.end_ns - whole.start_ns) * self.host.m.num_pcpus
        cdef double attained = 0.0, shortfall = 0.0, useful_ns = 0.0, lost_ns = 0.0, reward = 0.0
        cdef double length_ns = whole_length(self.monitor.whole), over_ns = 0.0, short_ns = 0.0, used_ns, agreed_ns
        cdef int64_t in_time = 0, ended = 0, ballooned = 0
        cdef int d, i, present = 0, with_agreement = 0
        for d in range(self.num_domains):
            record = &self.monitor.domain[d]
            if not record.is_present:
                continue
            present += 1
            attained += record.attainment
            if record.agreed_pcpus > 0.0:
                with_agreement += 1
                shortfall += record.shortfall
                agreed_ns = record.agreed_pcpus * length_ns
                used_ns = record.delta.cpu_ns - record.delta.serving_ns + record.delta.served_ns
                short_ns += record.shortfall * agreed_ns
                if used_ns > agreed_ns:
                    over_ns += used_ns - agreed_ns
            in_time += record.delta.jobs_in_time
            ballooned += record.delta.ballooned
            ended += record.delta.jobs_done + record.delta.jobs_dropped
            useful_ns += record.delta.cpu_ns - record.delta.overhead_ns
            lost_ns += record.delta.overhead_ns
        terms[0] = attained / present if present else 1.0
        terms[1] = -shortfall / with_agreement if with_agreement else 0.0
        terms[2] = useful_ns / host_ns if host_ns > 0.0 else 0.0
        terms[3] = -lost_ns / host_ns if host_ns > 0.0 else 0.0
        terms[4] = <double>in_time / ended if ended else 1.0
        terms[5] = -min(over_ns, short_ns) / host_ns if host_ns > 0.0 else 0.0
        terms[6] = -whole.swap_busy_ns / length_ns if length_ns > 0.0 else 0.0
        terms[7] = -min(1.0, <double>ballooned / self.host.m.host_memory.pages)
        for i in range(NUM_TERMS):
            reward += self.weights[i] * terms[i]
        return reward
