"""Hosts of a fluid cluster: who is where, who gets what, and what it costs.

Between two changes nothing changes: every domain gets a constant share of CPU, every host draws constant power. Counters are
kept lazily: before anything on a host changes, its books are kept up to that instant (`touch`), and afterwards its shares are
computed anew. So a host costs nothing while nothing happens to it.

Power is linear in the utilisation between idle and busy (Fan, Weber and Barroso, ISCA 2007). Guests' own traffic is what they
offer, in proportion to their demand: it does not depend on the shares, so that what is left of the links can be settled
before the shares are.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset
from xengym.hypervisor.cluster.shares cimport share_by_reservation, share_by_weight
from xengym.hypervisor.migration cimport is_standing_still
from xengym.machine.cluster_state cimport (
    ACCEPTED, LINK_SEND, NO_GROUP, NO_HOST, NO_MOVE, POWER_FAILED, POWER_ON, POWER_SUSPENDED, POWER_SUSPENDING, POWER_WAKING,
    REFUSED_NO_SLOT, SHARES_SEDF, ClusterClock, ClusterDomain, ClusterHost, ClusterLink, ClusterMove, ClusterSite, host_link,
    num_links, rack_link, reservation_pcpus, set_watts, site_link,
)
from xengym.machine.migration_state cimport Migration, WorkingSet
from xengym.policies.control.placement cimport choose_host, fit_reason, mask_scratch_bytes

import hashlib

import numpy as np

from xengym.hypervisor.cluster.arrays import domain_records, make_arena
from xengym.machine.cluster_state import REFUSALS
from xengym.machine.migration_state import MIGRATION_DTYPE, WORKING_SET_DTYPE

cdef double DEMAND_ONE = 10000.0
# What a domain gets may miss its demand by rounding.
cdef double SHORT = 1e-9


cdef void* _address(array):
    return <void*><size_t>array.ctypes.data


cdef class FluidState:
    def __init__(self, spec, seed=0):
        cdef ClusterClock* clock
        self.spec = spec
        if self.short_frac == 0.0:
            self.short_frac = SHORT
        self.arena = make_arena(spec)
        sections = self.arena.sections
        self.a.clock = <ClusterClock*>_address(sections["clock"])
        self.a.host = <ClusterHost*>_address(sections["host"])
        self.a.domain = <ClusterDomain*>_address(sections["domain"])
        self.a.move = <ClusterMove*>_address(sections["move"])
        self.a.link = <ClusterLink*>_address(sections["link"])
        self.a.site = <ClusterSite*>_address(sections["site"])
        self.a.group_on_host = <int32_t*>_address(sections["group_on_host"])
        self.migration = <Migration*>_address(sections["migration"])
        self.working_set = <WorkingSet*>_address(sections["working_set"])
        self.move_end = <int64_t*>_address(sections["move_end"])
        clock = self.a.clock
        clock.seed = seed
        self.num_links = num_links(clock)
        self._make_scratch()
        self._take_tables()
        self._take_domains()

    def _make_scratch(self):
        cdef ClusterClock* clock = self.a.clock
        scratch = self.scratch = {}

        def space(name, dtype, int count):
            scratch[name] = np.zeros(max(1, count), dtype=dtype)
            return scratch[name]

        self.stale = <int*>_address(space("stale", np.intc, clock.num_hosts))
        self.dirty_link = <int*>_address(space("dirty_link", np.intc, self.num_links))
        self.link_mark = <uint8_t*>_address(space("link_mark", np.uint8, self.num_links))
        self.left = <double*>_address(space("left", np.float64, self.num_links))
        self.users = <int*>_address(space("users", np.intc, self.num_links))
        self.move_changed = <uint8_t*>_address(space("move_changed", np.uint8, clock.num_moves))
        self.move_stale = <uint8_t*>_address(space("move_stale", np.uint8, clock.num_moves))
        self.changed = <int*>_address(space("changed", np.intc, clock.num_moves))
        self.blurred = <int*>_address(space("blurred", np.intc, clock.num_moves))
        self.num_changed = self.num_blurred = 0
        self.ahead = <Migration*>_address(space("ahead", MIGRATION_DTYPE, clock.num_moves))
        self.ahead_set = <WorkingSet*>_address(space("ahead_set", WORKING_SET_DTYPE, clock.num_moves))
        self.has_ahead = <uint8_t*>_address(space("has_ahead", np.uint8, clock.num_moves))
        self.chosen = <int*>_address(space("chosen", np.intc, clock.num_moves))
        self.move_granted = <double*>_address(space("move_granted", np.float64, clock.num_moves))
        self.is_fixed = <uint8_t*>_address(space("is_fixed", np.uint8, clock.num_moves))
        self.members = <int*>_address(space("members", np.intc, clock.num_domains))
        self.limit = <double*>_address(space("limit", np.float64, clock.num_domains))
        self.weight = <double*>_address(space("weight", np.float64, clock.num_domains))
        self.extra = <double*>_address(space("extra", np.float64, clock.num_domains))
        self.granted = <double*>_address(space("granted", np.float64, clock.num_domains))
        self.mask_scratch = _address(space("mask", np.int64, mask_scratch_bytes(&self.a) // 8 + 1))
        self.num_stale = self.num_dirty = 0

    def _take_tables(self):
        spec = self.spec
        self.num_samples = self.num_client_samples = 0
        if spec.demand is not None:
            self.demand_table = np.ascontiguousarray(spec.demand.demand)
            self.demand = <const uint16_t*>_address(self.demand_table)
            self.num_samples = self.demand_table.shape[1]
            self.a.clock.next_sample_ns = self.a.clock.sample_ns
        if spec.clients is not None:
            self.client_table = np.ascontiguousarray(spec.clients)
            self.clients = <const uint16_t*>_address(self.client_table)
            self.num_client_samples = self.client_table.shape[0]
        self.move_template = spec.move.record()
        self.template = <const Migration*>_address(self.move_template)

    def _take_domains(self):
        """Those from the beginning get their slots and hosts; the others are kept in the order of their arrival."""
        cdef int i, reason
        cdef const ClusterDomain* d
        cdef const WorkingSet* ws
        domains = self.spec.domains
        now = [i for i, domain in enumerate(domains) if domain.arrives_ns is None]
        later = [i for i, domain in enumerate(domains) if domain.arrives_ns is not None]
        later.sort(key=lambda i: domains[i].arrives_ns)
        self.arrival_records, self.arrival_sets = domain_records(domains, later)
        self.num_arrivals = len(later)
        if later:
            self.arrival = <const ClusterDomain*>_address(self.arrival_records)
            self.arrival_set = <const WorkingSet*>_address(self.arrival_sets)
        self.refresh_sites()
        records, sets = domain_records(domains, now)
        for i in range(len(now)):
            d = <const ClusterDomain*>_address(records[i:i + 1])
            ws = <const WorkingSet*>_address(sets[i:i + 1])
            reason = self.admit(d, ws, d.host)
            if reason and d.host >= 0:
                raise ValueError(f"domain {d.serial} cannot be placed on host {d.host}: {REFUSALS[reason]}")
            self.a.clock.refused_arrivals[reason] += reason != ACCEPTED

    # --- hosts between two changes ---------------------------------------------------------------------------------------

    cdef void keep_books(self, int h) noexcept nogil:
        """Counters of a host and of its domains up to now; nothing has changed since they were last kept."""
        cdef ClusterHost* host = &self.a.host[h]
        cdef ClusterDomain* d
        cdef int64_t dt_ns = self.a.clock.now_ns - host.at_ns
        cdef double dt = <double>dt_ns
        cdef bint is_short = False
        cdef bint is_dead = host.power != POWER_ON
        cdef int i
        if dt_ns <= 0:
            return
        host.at_ns = self.a.clock.now_ns
        host.energy_nj += <int64_t>(host.watts * dt + 0.5)
        if not is_dead:
            host.busy_pcpu_ns += <int64_t>((host.granted_pcpus + host.dom0_pcpus) * dt + 0.5)
            host.dom0_pcpu_ns += <int64_t>(host.dom0_pcpus * dt + 0.5)
            host.on_ns += dt_ns
        i = host.first_domain
        while i >= 0:
            d = &self.a.domain[i]
            d.demanded_ns += <int64_t>(d.demand_pcpus * dt + 0.5)
            d.granted_ns += <int64_t>(d.granted_pcpus * dt + 0.5)
            if d.granted_pcpus < d.demand_pcpus * (1.0 - self.short_frac):
                d.violation_ns += dt_ns
                is_short = True
            if is_dead:
                d.dead_ns += dt_ns
            if d.move != NO_MOVE and is_standing_still(&self.migration[d.move]):
                d.downtime_ns += dt_ns
                self.a.clock.downtime_ns += dt_ns
            i = d.next_on_host
        if is_short and not is_dead:
            host.overload_ns += dt_ns

    cdef void touch(self, int h) noexcept nogil:
        """Something on this host is about to change."""
        self.keep_books(h)
        if not self.a.host[h].is_stale:
            self.a.host[h].is_stale = 1
            self.stale[self.num_stale] = h
            self.num_stale += 1

    cdef void refresh_shares(self, int h) noexcept nogil:
        cdef ClusterHost* host = &self.a.host[h]
        cdef ClusterDomain* d
        cdef int n = 0
        cdef int i
        cdef double demand = 0.0, total = 0.0, activity, most
        cdef bint is_sedf = host.shares == SHARES_SEDF
        host.is_stale = 0
        host.dom0_pcpus = <double>self.a.link[host_link(h, 0)].used_bytes_per_s * self.a.clock.dom0_s_per_byte
        i = host.first_domain
        while i >= 0:
            d = &self.a.domain[i]
            demand += d.demand_pcpus
            most = d.vcpus * host.speed
            if d.cap_pct > 0:
                most = min(most, 0.01 * d.cap_pct * host.speed)
            if host.power != POWER_ON or (d.move != NO_MOVE and is_standing_still(&self.migration[d.move])):
                most = 0.0
            self.members[n] = i
            self.limit[n] = min(d.demand_pcpus, most)
            if is_sedf:
                self.weight[n] = reservation_pcpus(d, host)
                self.extra[n] = <double>d.vcpus if d.has_extra else 0.0
            else:
                # Since Xen 4.1 each active vCPU carries its domain's whole weight.
                self.weight[n] = <double>d.weight * d.vcpus
            n += 1
            i = d.next_on_host
        if is_sedf:
            share_by_reservation(n, self.limit, self.weight, self.extra, host.capacity_pcpus - host.dom0_pcpus, self.granted)
        else:
            share_by_weight(n, self.limit, self.weight, host.capacity_pcpus - host.dom0_pcpus, self.granted)
        for i in range(n):
            d = &self.a.domain[self.members[i]]
            d.granted_pcpus = self.granted[i]
            total += self.granted[i]
            if d.move != NO_MOVE:
                activity = self.granted[i] / d.demand_pcpus if d.demand_pcpus > 0.0 else 1.0
                self.set_activity(d.move, activity)
        host.demand_pcpus = demand
        host.granted_pcpus = total
        set_watts(host)

    cdef void set_activity(self, int move, double activity) noexcept nogil:
        pass

    # --- guests' own traffic ---------------------------------------------------------------------------------------------

    cdef double link_room(self, int l) noexcept nogil:
        """What moves may have of a link."""
        cdef ClusterLink* link = &self.a.link[l]
        cdef double least = link.bytes_per_s * self.a.clock.least_move_frac
        cdef double room = link.bytes_per_s - <double>link.guest_bytes_per_s
        if not link.is_up:
            return 0.0
        return room if room > least else least

    cdef void load_link(self, int l, int64_t more_guest_bytes_per_s, int64_t more_wanted_bytes_per_s) noexcept nogil:
        cdef ClusterLink* link = &self.a.link[l]
        link.guest_bytes_per_s += more_guest_bytes_per_s
        link.wanted_bytes_per_s += more_wanted_bytes_per_s
        if not self.link_mark[l]:
            self.link_mark[l] = 1
            self.dirty_link[self.num_dirty] = l
            self.num_dirty += 1

    cdef void refresh_traffic(self, int h) noexcept nogil:
        """What the guests of a host offer to send: nothing if it is not on."""
        cdef ClusterHost* host = &self.a.host[h]
        cdef ClusterDomain* d
        cdef int64_t total = 0, more
        cdef int i = host.first_domain
        if host.power == POWER_ON:
            while i >= 0:
                d = &self.a.domain[i]
                total += <int64_t>(d.net_bytes_per_s * d.demand_frac + 0.5)
                i = d.next_on_host
        more = total - host.guest_bytes_per_s
        if more == 0:
            return
        host.guest_bytes_per_s = total
        self.load_link(host_link(h, LINK_SEND), more, 0)
        self.load_link(rack_link(self.a.clock, host.rack, False), more, 0)
        if self.num_client_samples > 0:
            self.keep_remote_books()
            self.a.site[host.site].guest_bytes_per_s += more
            self.refresh_sites()

    cdef void keep_remote_books(self) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        clock.remote_bytes += clock.remote_bytes_per_s * <double>(clock.now_ns - clock.remote_at_ns) * 1e-9
        clock.remote_at_ns = clock.now_ns

    cdef void refresh_sites(self) noexcept nogil:
        """Where the clients are, and what guests send to those of other sites."""
        cdef ClusterClock* clock = self.a.clock
        cdef int s, t, sample
        cdef int64_t carried
        if self.num_client_samples == 0:
            for s in range(clock.num_sites):
                self.a.site[s].clients_frac = 1.0
            return
        sample = <int>((clock.now_ns // clock.sample_ns) % self.num_client_samples)
        clock.remote_bytes_per_s = 0.0
        for s in range(clock.num_sites):
            self.a.site[s].clients_frac = self.clients[sample * clock.num_sites + s] / DEMAND_ONE
        for s in range(clock.num_sites):
            for t in range(clock.num_sites):
                if s == t:
                    continue
                carried = <int64_t>(<double>self.a.site[s].guest_bytes_per_s * self.a.site[t].clients_frac + 0.5)
                clock.remote_bytes_per_s += <double>carried
                self.load_link(site_link(clock, s, t), carried - self.a.link[site_link(clock, s, t)].guest_bytes_per_s, 0)

    # --- demand ----------------------------------------------------------------------------------------------------------

    cdef void set_demand(self, int d) noexcept nogil:
        """What a domain demands from now on."""
        cdef ClusterDomain* domain = &self.a.domain[d]
        cdef double frac = domain.constant_frac
        cdef int64_t sample
        if domain.trace_row >= 0:
            sample = (self.a.clock.now_ns // self.a.clock.sample_ns + domain.trace_phase) % self.num_samples
            frac = self.demand[<int64_t>domain.trace_row * self.num_samples + sample] / DEMAND_ONE
        if frac != domain.demand_frac:
            if domain.host >= 0:
                self.touch(domain.host)
            domain.demand_frac = frac
            domain.demand_pcpus = frac * domain.size_pcpus

    cdef void refresh_demand(self) noexcept nogil:
        cdef int d
        for d in range(self.a.clock.num_domains):
            if self.a.domain[d].in_use and self.a.domain[d].trace_row >= 0:
                self.set_demand(d)
        self.a.clock.next_sample_ns += self.a.clock.sample_ns
        if self.num_client_samples > 0:
            self.keep_remote_books()
            self.refresh_sites()

    # --- who is where ----------------------------------------------------------------------------------------------------

    cdef void link_domain(self, int d, int h) noexcept nogil:
        """The domain is on this host from now on; memory is the caller's concern."""
        cdef ClusterDomain* domain = &self.a.domain[d]
        cdef ClusterHost* host = &self.a.host[h]
        self.touch(h)
        domain.host = h
        domain.prev_on_host = -1
        domain.next_on_host = host.first_domain
        if host.first_domain >= 0:
            self.a.domain[host.first_domain].prev_on_host = d
        host.first_domain = d
        host.num_domains += 1

    cdef void unlink_domain(self, int d) noexcept nogil:
        cdef ClusterDomain* domain = &self.a.domain[d]
        cdef ClusterHost* host = &self.a.host[domain.host]
        self.touch(domain.host)
        if domain.prev_on_host >= 0:
            self.a.domain[domain.prev_on_host].next_on_host = domain.next_on_host
        else:
            host.first_domain = domain.next_on_host
        if domain.next_on_host >= 0:
            self.a.domain[domain.next_on_host].prev_on_host = domain.prev_on_host
        domain.next_on_host = domain.prev_on_host = -1
        host.num_domains -= 1

    cdef void sum_reservations(self, int h) noexcept nogil:
        """SEDF: what is reserved by domains here and on their way here."""
        cdef ClusterHost* host = &self.a.host[h]
        cdef double total = 0.0
        cdef int i = host.first_domain
        if host.shares != SHARES_SEDF:
            return
        while i >= 0:
            total += reservation_pcpus(&self.a.domain[i], host)
            i = self.a.domain[i].next_on_host
        for i in range(self.a.clock.move_bound):
            if self.a.move[i].in_use and self.a.move[i].target == h and not self.a.move[i].is_committed:
                total += reservation_pcpus(&self.a.domain[self.a.move[i].domain], host)
        host.reserved_pcpus = total

    cdef int admit(self, const ClusterDomain* d, const WorkingSet* ws, int host) noexcept nogil:
        """Give a domain a slot and a host, that one or, if it is -1, the one that the rule chooses; returns the reason code."""
        cdef ClusterClock* clock = self.a.clock
        cdef ClusterDomain* domain
        cdef int reason
        cdef int slot = 0
        while slot < clock.num_domains and self.a.domain[slot].in_use:
            slot += 1
        if slot == clock.num_domains:
            return REFUSED_NO_SLOT
        domain = &self.a.domain[slot]
        memcpy(domain, d, sizeof(ClusterDomain))
        domain.host = NO_HOST
        domain.demand_frac = -1.0
        self.set_demand(slot)
        if host < 0:
            host = choose_host(&self.a, domain, clock.placement, &reason)
        else:
            reason = fit_reason(&self.a, domain, host)
        if reason != ACCEPTED:
            memset(domain, 0, sizeof(ClusterDomain))
            domain.host = NO_HOST
            domain.move = NO_MOVE
            return reason
        memcpy(&self.working_set[slot], ws, sizeof(WorkingSet))
        domain.in_use = 1
        domain.home = host
        domain.arrived_ns = clock.now_ns
        self.a.host[host].free_pages -= domain.pages
        if domain.group != NO_GROUP:
            self.a.group_on_host[domain.group * clock.num_hosts + host] += 1
        self.link_domain(slot, host)
        self.sum_reservations(host)
        # For the next domain of this instant: the shares are computed when all have come.
        self.a.host[host].demand_pcpus += domain.demand_pcpus
        clock.arrived += 1
        clock.next_leave_ns = min(clock.next_leave_ns, domain.leaves_ns)
        return ACCEPTED
