"""Admission and placement in a cluster: pure functions of the arrays.

A host takes a domain if it is on and has the memory, the devices and, under SEDF, the reservation that the domain needs, and
no other domain of its anti-affinity group. CPU beyond reservations is not an obstacle: Xen's credit scheduler shares what
there is, and whoever wants no hot hosts moves domains away.

Four rules choose among the hosts that take it. *First fit*: the lowest number. *Best fit*: the one whose memory is filled
most closely, so that large holes stay for large domains. *Worst fit*: the one with most memory left. *Balance*: the one
whose processors would be least busy with the domain's present demand. Ties go to the lowest number. First, best and worst
fit are those of bin packing (Johnson et al., SIAM Journal on Computing 3(4), 1974).

For a move, the way counts as well: the addresses have to be reachable at the target (one subnet, unless tunnels and dynamic
DNS are in place, Bradford et al., VEE 2007), all links must be up, and neither host may have too many moves under way.
"""
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memset
from xengym.machine.cluster_state cimport (
    ACCEPTED, LINK_RECEIVE, LINK_SEND, NO_GROUP, NO_MOVE, POWER_ON, REFUSED_ALREADY_MOVING, REFUSED_ALREADY_THERE,
    REFUSED_ANTI_AFFINITY, REFUSED_DEVICES, REFUSED_HOST_OFF, REFUSED_LINK_DOWN, REFUSED_MEMORY, REFUSED_PINNED,
    REFUSED_RESERVATION, REFUSED_TOO_MANY_MOVES, REFUSED_UNKNOWN_DOMAIN, REFUSED_UNKNOWN_HOST, REFUSED_UNREACHABLE,
    SHARES_SEDF, ClusterArrays, ClusterDomain, ClusterHost, host_link, rack_link, reservation_pcpus, site_link,
)

#: Names of the rules, by number.
PLACEMENTS = ("first-fit", "best-fit", "worst-fit", "balance")

# A reservation may miss what is left by rounding.
cdef double EPSILON = 1e-9


cdef int fit_reason(const ClusterArrays* a, const ClusterDomain* d, int host) noexcept nogil:
    cdef const ClusterHost* h = &a.host[host]
    if h.power != POWER_ON:
        return REFUSED_HOST_OFF
    if d.devices & ~h.devices:
        return REFUSED_DEVICES
    if h.free_pages < d.pages:
        return REFUSED_MEMORY
    if h.shares == SHARES_SEDF and h.reserved_pcpus + reservation_pcpus(d, h) > h.capacity_pcpus + EPSILON:
        return REFUSED_RESERVATION
    if d.group != NO_GROUP and a.group_on_host[d.group * a.clock.num_hosts + host] > 0:
        return REFUSED_ANTI_AFFINITY
    return ACCEPTED


cdef int _way_reason(const ClusterArrays* a, const ClusterHost* s, const ClusterHost* t) noexcept nogil:
    """Whether the network between the racks lets a move pass."""
    cdef int link
    if s.rack != t.rack and not (a.link[rack_link(a.clock, s.rack, False)].is_up and a.link[rack_link(a.clock, t.rack, True)].is_up):
        return REFUSED_LINK_DOWN
    if s.site != t.site:
        link = site_link(a.clock, s.site, t.site)
        if a.link[link].bytes_per_s <= 0.0:
            return REFUSED_UNREACHABLE
        if not a.link[link].is_up:
            return REFUSED_LINK_DOWN
    return ACCEPTED


cdef int move_reason(const ClusterArrays* a, int domain, int host) noexcept nogil:
    cdef const ClusterDomain* d
    cdef const ClusterHost* s
    cdef const ClusterHost* t
    cdef int reason
    if domain < 0 or domain >= a.clock.num_domains or not a.domain[domain].in_use:
        return REFUSED_UNKNOWN_DOMAIN
    if host < 0 or host >= a.clock.num_hosts:
        return REFUSED_UNKNOWN_HOST
    d = &a.domain[domain]
    if d.move != NO_MOVE:
        return REFUSED_ALREADY_MOVING
    if d.host == host:
        return REFUSED_ALREADY_THERE
    if d.is_pinned:
        return REFUSED_PINNED
    s = &a.host[d.host]
    t = &a.host[host]
    if s.power != POWER_ON:
        return REFUSED_HOST_OFF
    reason = fit_reason(a, d, host)
    if reason != ACCEPTED:
        return reason
    if s.subnet != t.subnet and not a.clock.crosses_subnets:
        return REFUSED_UNREACHABLE
    reason = _way_reason(a, s, t)
    if reason != ACCEPTED:
        return reason
    if not (a.link[host_link(d.host, LINK_SEND)].is_up and a.link[host_link(host, LINK_RECEIVE)].is_up):
        return REFUSED_LINK_DOWN
    if (a.clock.active_moves >= a.clock.num_moves or s.outgoing >= a.clock.moves_per_host
            or t.incoming >= a.clock.moves_per_host):
        return REFUSED_TOO_MANY_MOVES
    return ACCEPTED


cdef int _depth(int reason) noexcept nogil:
    """How far a host got in `fit_reason`."""
    if reason == REFUSED_HOST_OFF:
        return 0
    if reason == REFUSED_DEVICES:
        return 1
    if reason == REFUSED_MEMORY:
        return 2
    return 3 if reason == REFUSED_RESERVATION else 4


cdef int choose_host(const ClusterArrays* a, const ClusterDomain* d, int rule, int* reason) noexcept nogil:
    cdef int host, why
    cdef int best = -1
    cdef double score, best_score = 0.0
    cdef const ClusterHost* h
    reason[0] = REFUSED_HOST_OFF
    for host in range(a.clock.num_hosts):
        why = fit_reason(a, d, host)
        if why != ACCEPTED:
            if best < 0 and _depth(why) > _depth(reason[0]):
                reason[0] = why
            continue
        h = &a.host[host]
        if rule == PLACE_BEST_FIT:
            score = <double>h.free_pages
        elif rule == PLACE_WORST_FIT:
            score = -<double>h.free_pages
        elif rule == PLACE_BALANCE:
            score = (h.demand_pcpus + d.demand_pcpus) / h.capacity_pcpus
        else:
            score = 0.0
        if best < 0 or score < best_score:
            best = host
            best_score = score
        if rule == PLACE_FIRST_FIT:
            break
    if best >= 0:
        reason[0] = ACCEPTED
    return best


cdef int64_t mask_scratch_bytes(const ClusterArrays* a) noexcept nogil:
    """Free pages and subnet of each host, then for each rack which hosts can be reached from it."""
    return a.clock.num_hosts * (8 + a.clock.num_racks)


cdef void fill_move_mask(const ClusterArrays* a, uint8_t* mask, void* scratch) noexcept nogil:
    cdef int num_hosts = a.clock.num_hosts
    cdef int32_t* free_pages = <int32_t*>scratch
    cdef int32_t* subnet = free_pages + num_hosts
    cdef uint8_t* open_from = <uint8_t*>(subnet + num_hosts)
    cdef bint has_sedf = False
    cdef bint is_full = a.clock.active_moves >= a.clock.num_moves
    cdef bint is_known
    cdef int i, j, rack, source
    cdef int32_t pages, own_subnet
    cdef uint8_t* row
    cdef const uint8_t* open_row
    cdef const int32_t* members
    cdef const ClusterDomain* d
    cdef const ClusterHost* h
    for j in range(num_hosts):
        h = &a.host[j]
        free_pages[j] = <int32_t>min(h.free_pages, <int64_t>INT32_MAX)
        subnet[j] = 0 if a.clock.crosses_subnets else h.subnet
        has_sedf |= h.shares == SHARES_SEDF
    memset(open_from, 0, num_hosts * a.clock.num_racks)
    for i in range(num_hosts):
        # The first host of each rack speaks for it: what lies between two racks does not depend on the hosts.
        rack = a.host[i].rack
        is_known = False
        for j in range(i):
            if a.host[j].rack == rack:
                is_known = True
                break
        if is_known:
            continue
        row = open_from + rack * num_hosts
        for j in range(num_hosts):
            h = &a.host[j]
            row[j] = (h.power == POWER_ON and h.incoming < a.clock.moves_per_host and a.link[host_link(j, LINK_RECEIVE)].is_up
                      and _way_reason(a, &a.host[i], h) == ACCEPTED)
    for i in range(a.clock.num_domains):
        d = &a.domain[i]
        row = mask + <int64_t>i * num_hosts
        source = d.host
        if (not d.in_use or d.move != NO_MOVE or d.is_pinned or is_full or a.host[source].power != POWER_ON
                or a.host[source].outgoing >= a.clock.moves_per_host or not a.link[host_link(source, LINK_SEND)].is_up):
            memset(row, 0, num_hosts)
            continue
        open_row = open_from + a.host[source].rack * num_hosts
        pages = <int32_t>min(d.pages, <int64_t>INT32_MAX)
        own_subnet = subnet[source]
        for j in range(num_hosts):
            row[j] = open_row[j] & (free_pages[j] >= pages) & (subnet[j] == own_subnet)
        if d.devices:
            for j in range(num_hosts):
                row[j] &= not d.devices & ~a.host[j].devices
        if d.group != NO_GROUP:
            members = a.group_on_host + d.group * num_hosts
            for j in range(num_hosts):
                row[j] &= members[j] == 0
        if has_sedf and d.period_ns > 0:
            for j in range(num_hosts):
                h = &a.host[j]
                row[j] &= (h.shares != SHARES_SEDF
                           or h.reserved_pcpus + reservation_pcpus(d, h) <= h.capacity_pcpus + EPSILON)
        row[source] = 0
