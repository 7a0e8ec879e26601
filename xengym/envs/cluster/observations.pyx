"""Features of a cluster: of all, of each host, of each domain slot; each in [-1, 1], zeros where there is nothing.

Shapes do not depend on how many domains there are: an empty slot is a row of zeros, and its first feature says so.
"""
from libc.stdint cimport int64_t
from xengym.machine.cluster_state cimport (
    NO_MOVE, POWER_FAILED, POWER_ON, POWER_SUSPENDING, POWER_WAKING, ClusterArrays, ClusterClock, ClusterDomain, ClusterHost,
)
from xengym.machine.migration_state cimport STAGE_ACTIVATION, Migration

#: Name, and what it is, of every feature, in order.
GLOBAL_FEATURES = (
    ("time", "part of the episode that has passed"),
    ("hosts_on", "part of the hosts that are on"),
    ("demand", "what all domains demand, of the capacity of all hosts that are on"),
    ("granted", "what they get, likewise"),
    ("moves", "moves under way, of as many as there may be"),
    ("watts", "power, of that of all hosts at full load"),
)
HOST_FEATURES = (
    ("is_on", "1 if it is on"),
    ("changes", "1 if it wakes, -1 if it is being suspended or dead"),
    ("capacity", "pCPUs times speed, of the largest host's"),
    ("demand", "what its domains demand, of its capacity, at most 2, halved"),
    ("granted", "what they get, of its capacity"),
    ("dom0", "what Dom0 uses for moves, of its capacity"),
    ("free_memory", "of its memory"),
    ("reserved_memory", "set aside for domains on their way, of its memory"),
    ("outgoing", "moves that leave it, of as many as may"),
    ("incoming", "likewise"),
    ("watts", "power, of that at full load"),
)
DOMAIN_FEATURES = (
    ("is_present", "1 if there is a domain in the slot"),
    ("host", "number of its host, from -1 to 1"),
    ("size", "pCPUs that a demand of 100 % stands for, of the largest host's capacity"),
    ("demand", "of its size"),
    ("granted", "of its demand"),
    ("violation", "part of the last interval in which it got less than it demanded"),
    ("memory", "of the largest host's"),
    ("traffic", "that it sends, of the fastest card"),
    ("is_moving", "1 if it is on its way"),
    ("progress", "stage of its move, from 0 to 1"),
    ("weight", "logarithm to the base 2 of its weight over 256, over 8"),
    ("cap", "of its vCPUs; 1: none"),
    ("is_pinned", "1 if it may not be moved"),
)


cdef inline float _clip(double value) noexcept nogil:
    return <float>(1.0 if value > 1.0 else -1.0 if value < -1.0 else value)


cdef inline double _log2(double x) noexcept nogil:
    """Of a weight over 256: whole steps and a straight line between them, which is the same on every platform."""
    cdef double result = 0.0
    while x >= 2.0:
        x *= 0.5
        result += 1.0
    while x < 1.0:
        x *= 2.0
        result -= 1.0
    return result + x - 1.0


cdef void _encode_host(const ClusterHost* h, const ClusterClock* clock, const Scale* scale, float* obs) noexcept nogil:
    cdef double capacity = h.capacity_pcpus if h.capacity_pcpus > 0.0 else 1.0
    cdef double memory = <double>h.memory_pages if h.memory_pages > 0 else 1.0
    obs[0] = h.power == POWER_ON
    obs[1] = 1.0 if h.power == POWER_WAKING else -1.0 if h.power == POWER_SUSPENDING or h.power == POWER_FAILED else 0.0
    obs[2] = _clip(h.capacity_pcpus / scale.pcpus)
    obs[3] = _clip(0.5 * h.demand_pcpus / capacity)
    obs[4] = _clip(h.granted_pcpus / capacity)
    obs[5] = _clip(h.dom0_pcpus / capacity)
    obs[6] = _clip(<double>h.free_pages / memory)
    obs[7] = _clip(<double>h.reserved_pages / memory)
    obs[8] = _clip(h.outgoing / scale.moves)
    obs[9] = _clip(h.incoming / scale.moves)
    obs[10] = _clip(h.watts / h.busy_watts) if h.busy_watts > 0.0 else 0.0


cdef void _encode_domain(
    const ClusterArrays* a, const ClusterDomain* d, const Migration* migrations, const DomainMark* mark, const Scale* scale,
    int64_t interval_ns, float* obs
) noexcept nogil:
    cdef int hosts = a.clock.num_hosts
    cdef int k
    if not d.in_use:
        for k in range(NUM_DOMAIN):
            obs[k] = 0.0
        return
    obs[0] = 1.0
    obs[1] = _clip(2.0 * d.host / (hosts - 1) - 1.0) if hosts > 1 else 0.0
    obs[2] = _clip(d.size_pcpus / scale.pcpus)
    obs[3] = _clip(d.demand_frac)
    obs[4] = _clip(d.granted_pcpus / d.demand_pcpus) if d.demand_pcpus > 0.0 else 1.0
    obs[5] = _clip(
        <double>(d.violation_ns - (mark.violation_ns if mark.serial == d.serial else 0)) / <double>interval_ns
    )
    obs[6] = _clip(<double>d.pages / scale.pages)
    obs[7] = _clip(d.net_bytes_per_s * d.demand_frac / scale.nic)
    obs[8] = d.move != NO_MOVE
    obs[9] = _clip(<double>migrations[d.move].stage / STAGE_ACTIVATION) if d.move != NO_MOVE else 0.0
    obs[10] = _clip(_log2(d.weight / 256.0) / 8.0)
    obs[11] = _clip(0.01 * d.cap_pct / d.vcpus) if d.cap_pct > 0 else 1.0
    obs[12] = d.is_pinned


cdef void encode_cluster(
    const ClusterArrays* a, const Migration* migrations, const DomainMark* marks, const Scale* scale, double episode_frac,
    int64_t interval_ns, float* obs
) noexcept nogil:
    cdef const ClusterClock* clock = a.clock
    cdef double capacity = 0.0, demand = 0.0, granted = 0.0, watts = 0.0, most_watts = 0.0
    cdef int i, on = 0
    cdef float* out = obs + NUM_GLOBAL
    for i in range(clock.num_hosts):
        if a.host[i].power == POWER_ON:
            on += 1
            capacity += a.host[i].capacity_pcpus
        demand += a.host[i].demand_pcpus
        granted += a.host[i].granted_pcpus
        watts += a.host[i].watts
        most_watts += a.host[i].busy_watts
        _encode_host(&a.host[i], clock, scale, out)
        out += NUM_HOST
    for i in range(clock.num_domains):
        _encode_domain(a, &a.domain[i], migrations, &marks[i], scale, interval_ns, out)
        out += NUM_DOMAIN
    obs[0] = _clip(episode_frac)
    obs[1] = _clip(<double>on / clock.num_hosts)
    obs[2] = _clip(demand / capacity) if capacity > 0.0 else 0.0
    obs[3] = _clip(granted / capacity) if capacity > 0.0 else 0.0
    obs[4] = _clip(<double>clock.active_moves / clock.num_moves) if clock.num_moves > 0 else 0.0
    obs[5] = _clip(watts / most_watts) if most_watts > 0.0 else 0.0


assert len(GLOBAL_FEATURES) == NUM_GLOBAL
assert len(HOST_FEATURES) == NUM_HOST
assert len(DOMAIN_FEATURES) == NUM_DOMAIN
