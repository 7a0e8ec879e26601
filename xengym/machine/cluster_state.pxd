"""The nouns of a cluster as plain C structs: hosts, the domains on them, links between them, moves.

The arrays lie in one block of memory (`machine.state.Arena`); the dtypes are derived from these structs
(`cluster_state.pyx`). CPU is counted in *reference pCPUs*: a host whose pCPUs have speed 1.5 has 1.5 of them for each.
Both fidelities of a cluster keep these arrays; what only one of them uses is marked.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    MAX_PATH = 8              # links of a move's way
    LINKS_PER_HOST = 3

cdef enum:
    NO_HOST = -1
    NO_MOVE = -1
    NO_GROUP = -1
    LOCAL_STORAGE = -1        # `ClusterHost.storage`: its disks are its own

cdef enum:
    POWER_SUSPENDED = 0
    POWER_WAKING = 1
    POWER_ON = 2
    POWER_SUSPENDING = 3
    POWER_FAILED = 4          # dead, with what was on it, until it is woken

cdef enum:
    SHARES_CREDIT = 0         # weighted max-min with caps
    SHARES_SEDF = 1           # reservations, then extra time

# Why a move, an arrival or a change of power is refused (texts in `cluster_state.pyx`).
cdef enum:
    ACCEPTED = 0
    REFUSED_UNKNOWN_DOMAIN = 1
    REFUSED_UNKNOWN_HOST = 2
    REFUSED_ALREADY_THERE = 3
    REFUSED_ALREADY_MOVING = 4
    REFUSED_HOST_OFF = 5
    REFUSED_MEMORY = 6
    REFUSED_RESERVATION = 7
    REFUSED_DEVICES = 8
    REFUSED_ANTI_AFFINITY = 9
    REFUSED_PINNED = 10
    REFUSED_UNREACHABLE = 11  # no subnet or no link between sites in common
    REFUSED_TOO_MANY_MOVES = 12
    REFUSED_LINK_DOWN = 13
    REFUSED_HOST_IN_USE = 14  # it cannot be suspended
    REFUSED_NO_SLOT = 15      # all slots for domains are taken
    NUM_REFUSALS = 16

cdef enum:
    LINK_DOM0 = 0             # what Dom0's processors can copy; one for each host
    LINK_SEND = 1             # a host's network card, each way
    LINK_RECEIVE = 2
    LINK_RACK_UP = 3          # from a rack to the site's network
    LINK_RACK_DOWN = 4
    LINK_SITE = 5             # from one site to another

# The cluster as a whole: the clock, what is fixed, and counters.
cdef struct ClusterClock:
    int64_t now_ns
    int64_t sample_ns         # length of a sample of the demand tables
    int64_t next_leave_ns     # when the next domain leaves
    int64_t next_sample_ns    # when demand changes next
    int64_t events            # instants at which something changed
    int64_t arrived
    int64_t left
    int64_t refused_arrivals[16]   # by reason
    int64_t refused_orders[16]     # likewise, of moves
    int64_t moves_ordered
    int64_t moves_done
    int64_t moves_aborted[8]       # by `Migration.reason`
    int64_t move_ns           # how long all moves that are over took
    int64_t downtime_ns       # for moves, of all domains
    int64_t restarts          # of domains whose host had died
    double gone_s             # of domains that have left: how long they were here,
    double gone_demanded_s    # their CPU time in reference pCPUs,
    double gone_granted_s
    double gone_violation_s   # and how long they got less than they demanded
    double moved_bytes        # memory and disks, with what was sent in vain
    double remote_bytes       # that guests sent to clients of another site
    double dom0_s_per_byte    # CPU time that Dom0 spends on a byte of a move, at each end
    double least_move_frac    # part of a link that moves get even if guests would fill it
    double remote_bytes_per_s # now
    int64_t remote_at_ns      # fluid: up to when `remote_bytes` has been kept
    uint64_t seed
    int32_t num_hosts
    int32_t num_domains       # slots
    int32_t num_moves         # slots
    int32_t num_racks
    int32_t num_sites
    int32_t num_groups        # of anti-affinity
    int32_t next_arrival      # place in the list of those that come
    int32_t placement         # rule that places them, `policies.control.placement`
    int32_t crosses_subnets   # whether addresses may move to another subnet (tunnels and dynamic DNS)
    int32_t moves_per_host    # most at once that leave it, and likewise that come to it
    int32_t active_moves
    int32_t power_changes     # hosts that wake or suspend
    int32_t move_bound        # all slots of moves from here on are free
    int32_t reserved

cdef struct ClusterHost:
    int64_t memory_pages      # for guests, of 4096 bytes
    int64_t free_pages
    int64_t reserved_pages    # for domains that are on their way here
    int64_t busy_pcpu_ns      # CPU time handed out in reference pCPUs, Dom0's for moves included
    int64_t dom0_pcpu_ns      # of it, Dom0's
    int64_t energy_nj         # watts times ns
    int64_t on_ns             # time in which it was on
    int64_t overload_ns       # of it, time in which some domain got less than it demanded
    int64_t power_until_ns    # when waking or suspending ends
    int64_t suspend_ns
    int64_t wake_ns
    int64_t at_ns             # fluid: up to when the counters have been kept
    int64_t guest_bytes_per_s # that its guests offer to send, now
    double speed              # of a pCPU, in reference pCPUs
    double capacity_pcpus     # pcpus * speed
    double reserved_pcpus     # SEDF: of domains here and of those on their way
    double demand_pcpus       # of its guests, now
    double granted_pcpus      # to its guests, now
    double dom0_pcpus         # that moves take, now
    double dom0_max_pcpus     # that Dom0 has for moves
    double watts              # now
    double idle_watts
    double busy_watts
    double suspended_watts
    double nic_bytes_per_s
    uint64_t devices          # it has, one bit each
    int32_t pcpus
    int32_t rack
    int32_t site
    int32_t subnet
    int32_t storage           # number of the storage that it shares with others, or LOCAL_STORAGE
    int32_t shares            # SHARES_*
    int32_t power             # POWER_*
    int32_t num_domains       # here
    int32_t incoming          # moves under way
    int32_t outgoing
    int32_t first_domain      # fluid: of the list of those here
    int32_t is_stale          # fluid: its shares are to be computed anew

cdef struct ClusterDomain:
    int64_t pages
    int64_t disk_bytes        # that go with it where storage is not shared
    int64_t slice_ns          # SEDF: of each vCPU, in each period
    int64_t period_ns
    int64_t arrived_ns
    int64_t leaves_ns         # INT64_MAX: never
    int64_t demanded_ns       # CPU time in reference pCPUs
    int64_t granted_ns
    int64_t violation_ns      # time in which it got less than it demanded
    int64_t downtime_ns       # of it, standing still for a move
    int64_t dead_ns           # of it, on a host that had died
    double size_pcpus         # that a demand of 100 % stands for
    double demand_pcpus       # now
    double granted_pcpus      # now
    double demand_frac        # now, of size_pcpus
    double net_bytes_per_s    # that it sends at a demand of 100 %
    uint64_t devices          # that it needs, one bit each
    int32_t in_use
    int32_t serial            # its place in the description of the cluster: slots are used again
    int32_t host              # where its memory is; during a move the source up to the commitment, then the target
    int32_t home              # host where it was first
    int32_t vcpus
    int32_t weight
    int32_t cap_pct           # of one pCPU of its host; 0: none
    int32_t has_extra         # SEDF: gets extra time
    int32_t group             # of which no two may share a host, or NO_GROUP
    int32_t is_pinned
    int32_t move              # its slot in the moves, or NO_MOVE
    int32_t moves             # that it has completed
    int32_t aborted_moves
    int32_t connections       # open ones
    int32_t trace_row         # of the demand table, or -1: `constant_frac`
    int32_t trace_phase       # samples that it is ahead
    int32_t next_on_host      # fluid: list of its host's domains, or -1
    int32_t prev_on_host
    double constant_frac

# A way for moves. Links of host h: LINKS_PER_HOST h + (LINK_DOM0, LINK_SEND, LINK_RECEIVE); then two for each rack (up,
# down); then sites times sites, from and to.
cdef struct ClusterLink:
    double bytes_per_s        # 0: there is none
    double carried_bytes      # of moves
    int64_t guest_bytes_per_s # that guests offer to send across it, now
    int64_t wanted_bytes_per_s # by the moves that use it, now
    int64_t used_bytes_per_s  # granted to them
    int64_t delay_ns
    int32_t kind              # LINK_*
    int32_t a                 # host, rack, or site from
    int32_t b                 # site to
    int32_t is_up
    int32_t is_congested      # fluid: the moves want more than there is
    int32_t reserved

# A move that is under way, or the last one that was in this slot. What the engine knows of it (`Migration`) is the record of
# the same number in the array `migrations`; what it moves, the domain's record in `working_sets`.
cdef struct ClusterMove:
    int64_t began_ns
    int64_t at_ns             # fluid: up to when it has been carried out
    int64_t wanted_bytes_per_s
    double disk_left_bytes
    int64_t granted_bytes_per_s
    double activity           # of the domain: what it gets of what it demands
    int32_t in_use
    int32_t domain
    int32_t serial            # of the domain
    int32_t source
    int32_t target
    int32_t is_committed      # the domain is the target's
    int32_t has_reserved      # the target has set memory aside
    int32_t is_due            # fluid: a stage has ended and is to be looked at
    int32_t num_links
    int32_t links[8]
    int32_t reserved

cdef struct ClusterSite:
    double clients_frac       # of all clients, that are nearest to it now
    int64_t guest_bytes_per_s # that guests there offer to send, now
    int32_t num_hosts
    int32_t reserved

# Pointers to all of it.
cdef struct ClusterArrays:
    ClusterClock* clock
    ClusterHost* host
    ClusterDomain* domain
    ClusterMove* move
    ClusterLink* link
    ClusterSite* site
    int32_t* group_on_host    # members of group g on or coming to host h: [g * num_hosts + h]

cdef inline int host_link(int host, int kind) noexcept nogil:
    return LINKS_PER_HOST * host + kind

cdef inline int rack_link(const ClusterClock* clock, int rack, bint is_down) noexcept nogil:
    return LINKS_PER_HOST * clock.num_hosts + 2 * rack + is_down

cdef inline int site_link(const ClusterClock* clock, int source, int target) noexcept nogil:
    return LINKS_PER_HOST * clock.num_hosts + 2 * clock.num_racks + source * clock.num_sites + target

cdef inline int num_links(const ClusterClock* clock) noexcept nogil:
    return site_link(clock, clock.num_sites, 0)

cdef inline void set_watts(ClusterHost* h) noexcept nogil:
    """Power that follows from a host's state and from what it gives out."""
    cdef double used = (h.granted_pcpus + h.dom0_pcpus) / h.capacity_pcpus
    if h.power == POWER_ON:
        h.watts = h.idle_watts + (h.busy_watts - h.idle_watts) * (used if used < 1.0 else 1.0)
    elif h.power == POWER_WAKING:
        h.watts = h.busy_watts
    elif h.power == POWER_SUSPENDING:
        h.watts = h.idle_watts
    else:
        h.watts = h.suspended_watts

cdef inline double reservation_pcpus(const ClusterDomain* d, const ClusterHost* h) noexcept nogil:
    """SEDF: what the domain has reserved on that host, in reference pCPUs."""
    if d.period_ns <= 0:
        return 0.0
    return <double>d.slice_ns / <double>d.period_ns * d.vcpus * h.speed
