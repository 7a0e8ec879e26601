"""Moves of a fluid cluster: the migration engine (`hypervisor.migration`) under rates that the cluster grants.

A move's stream goes through Dom0's processors and the network cards of both hosts, the uplinks of their racks if these
differ, and the link between their sites. Rates are max-min fair (`hypervisor.cluster.shares`) among the moves, in what the
guests' own traffic leaves of each link. Where nobody wants more than there is, every move gets what it wants, and a change
concerns only the move itself; only moves that share a link too small for all are settled together.

When a stage will end is foreseen by running a copy of the move's records ahead. If rates change before, the move is carried
out up to that instant and its end foreseen anew.

The target's memory is set aside when the reservation begins and becomes the domain's at the commitment, when the source's
is freed: at any time each domain's pages count at one host, and what is set aside at another one. A failure before that gives
back what was set aside, and the domain goes on where it was.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset
from xengym.hypervisor.cluster.fluid_state cimport FluidState
from xengym.hypervisor.cluster.shares cimport share_links
from xengym.hypervisor.migration cimport (
    is_standing_still, migration_begin, migration_disk_done, migration_fail, migration_follow_rules, migration_run,
    migration_wanted_bytes_per_s,
)
from xengym.machine.cluster_state cimport (
    LINK_DOM0, LINK_RECEIVE, LINK_SEND, LOCAL_STORAGE, NO_GROUP, NO_MOVE, ClusterClock, ClusterDomain, ClusterHost, ClusterLink,
    ClusterMove, host_link, rack_link, site_link,
)
from xengym.machine.migration_state cimport (
    MAX_REGIONS, STAGE_ABORTED, STAGE_ACTIVATION, STAGE_DISK, STAGE_DONE, STAGE_PRECOPY, STAGE_ROUND_END, STAGE_STOP_AND_COPY, Migration,
    WorkingSet,
)

cdef int64_t LONG_NS = <int64_t>1 << 50


cdef bint _sends(const Migration* g) noexcept nogil:
    return g.stage == STAGE_PRECOPY or g.stage == STAGE_DISK or (g.stage == STAGE_STOP_AND_COPY and g.stage_left_ns == 0)


cdef void _forget_writes(WorkingSet* ws) noexcept nogil:
    """As if the dirty log had never been on."""
    cdef int i
    for i in range(MAX_REGIONS):
        ws.exposure[i] = 0.0
    ws.is_logging = 0


cdef class FluidMoves(FluidState):
    cdef void begin_move(self, int domain, int host) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef ClusterDomain* d = &self.a.domain[domain]
        cdef ClusterHost* s = &self.a.host[d.host]
        cdef ClusterHost* t = &self.a.host[host]
        cdef ClusterMove* m
        cdef Migration* g
        cdef int64_t delay_ns = 0
        cdef int k
        cdef int slot = 0
        while self.a.move[slot].in_use:
            slot += 1
        m = &self.a.move[slot]
        g = &self.migration[slot]
        memset(m, 0, sizeof(ClusterMove))
        memcpy(g, self.template, sizeof(Migration))
        m.in_use = 1
        m.domain = domain
        m.serial = d.serial
        m.source = d.host
        m.target = host
        m.began_ns = m.at_ns = clock.now_ns
        m.activity = d.granted_pcpus / d.demand_pcpus if d.demand_pcpus > 0.0 else 1.0
        m.links[0] = host_link(d.host, LINK_DOM0)
        m.links[1] = host_link(d.host, LINK_SEND)
        m.links[2] = host_link(host, LINK_RECEIVE)
        m.links[3] = host_link(host, LINK_DOM0)
        m.num_links = 4
        if s.rack != t.rack:
            m.links[4] = rack_link(clock, s.rack, False)
            m.links[5] = rack_link(clock, t.rack, True)
            m.num_links = 6
        if s.site != t.site:
            m.links[m.num_links] = site_link(clock, s.site, t.site)
            m.num_links += 1
        for k in range(m.num_links):
            delay_ns += self.a.link[m.links[k]].delay_ns
        # A question and its answer; then one way, for the acknowledgement.
        g.request_ns += 2 * delay_ns
        g.commit_ns += delay_ns
        if d.disk_bytes > 0 and (s.storage == LOCAL_STORAGE or s.storage != t.storage):
            g.has_disk = 1
            m.disk_left_bytes = <double>d.disk_bytes
        d.move = slot
        clock.moves_ordered += 1
        clock.active_moves += 1
        s.outgoing += 1
        t.incoming += 1
        t.free_pages -= d.pages
        t.reserved_pages += d.pages
        m.has_reserved = 1
        if d.group != NO_GROUP:
            self.a.group_on_host[d.group * clock.num_hosts + host] += 1
        self.sum_reservations(host)
        _forget_writes(&self.working_set[domain])
        migration_begin(g)
        # The destination has been chosen: its answer is waited for.
        migration_run(g, &self.working_set[domain], 0, 0.0, 1.0)
        clock.move_bound = max(clock.move_bound, slot + 1)
        self.blur(slot)

    cdef void blur(self, int move) noexcept nogil:
        """When the move's stage ends is to be foreseen anew."""
        if not self.move_stale[move]:
            self.move_stale[move] = 1
            self.blurred[self.num_blurred] = move
            self.num_blurred += 1

    cdef void advance(self, int move) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        cdef Migration* g = &self.migration[move]
        cdef WorkingSet* ws = &self.working_set[m.domain]
        cdef int64_t dt_ns = self.a.clock.now_ns - m.at_ns
        cdef int64_t used_ns
        cdef double sent = 0.0
        cdef bint is_end = self.move_end[move] <= self.a.clock.now_ns
        cdef int stage = g.stage
        cdef int k
        cdef bint was_waiting = g.stage_left_ns > 0
        if m.is_due or not m.in_use or (dt_ns <= 0 and not is_end):
            return
        # Whether the domain stands still may change with the stage.
        self.keep_books(self.a.domain[m.domain].host)
        if is_end:
            self.move_end[move] = INT64_MAX
        if _sends(g):
            sent = <double>m.granted_bytes_per_s * <double>dt_ns * 1e-9
        if stage == STAGE_DISK:
            migration_run(g, ws, dt_ns, <double>m.granted_bytes_per_s, m.activity)
            m.disk_left_bytes -= sent
            if is_end or m.disk_left_bytes <= 0.0:
                m.disk_left_bytes = 0.0
                migration_disk_done(g, ws)
                m.is_due = 1
        else:
            used_ns = dt_ns
            if not is_end:
                used_ns = migration_run(g, ws, dt_ns, <double>m.granted_bytes_per_s, m.activity)
            elif self.has_ahead[move]:
                memcpy(g, &self.ahead[move], sizeof(Migration))
                memcpy(ws, &self.ahead_set[move], sizeof(WorkingSet))
            else:
                # The very steps by which the end was foreseen.
                migration_run(g, ws, LONG_NS, <double>m.granted_bytes_per_s, m.activity)
            if is_end or used_ns < dt_ns or g.stage != stage or (was_waiting and g.stage_left_ns == 0):
                m.is_due = 1
        m.at_ns = self.a.clock.now_ns
        self.blur(move)
        if sent > 0.0:
            self.a.clock.moved_bytes += sent
            for k in range(m.num_links):
                self.a.link[m.links[k]].carried_bytes += sent

    cdef void foresee(self, int move) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        cdef Migration* ahead = &self.ahead[move]
        cdef WorkingSet* ws = &self.ahead_set[move]
        cdef int64_t used_ns
        cdef double left_ns
        self.move_stale[move] = 0
        self.has_ahead[move] = 0
        if not m.in_use:
            self.move_end[move] = INT64_MAX
        elif m.is_due:
            self.move_end[move] = self.a.clock.now_ns
        elif self.migration[move].stage == STAGE_DISK:
            left_ns = m.disk_left_bytes * 1e9 / <double>m.granted_bytes_per_s if m.granted_bytes_per_s > 0 else 1e18
            self.move_end[move] = m.at_ns + <int64_t>left_ns + 1 if left_ns < 1e18 else INT64_MAX
        else:
            memcpy(ahead, &self.migration[move], sizeof(Migration))
            memcpy(ws, &self.working_set[m.domain], sizeof(WorkingSet))
            used_ns = migration_run(ahead, ws, LONG_NS, <double>m.granted_bytes_per_s, m.activity)
            self.has_ahead[move] = used_ns < LONG_NS
            self.move_end[move] = m.at_ns + used_ns if used_ns < LONG_NS else INT64_MAX

    cdef void serve_move(self, int move) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        cdef Migration* g = &self.migration[move]
        # Its host's books first: whether the domain stands still may change now.
        self.touch(self.a.domain[m.domain].host)
        self.advance(move)
        m.is_due = 0
        self.move_end[move] = INT64_MAX
        self.blur(move)
        if g.stage == STAGE_ROUND_END:
            migration_follow_rules(g, &self.working_set[m.domain])
        elif g.stage == STAGE_ACTIVATION and not m.is_committed:
            self.commit_move(move)
        elif g.stage == STAGE_DONE:
            self.finish_move(move)
            return
        if g.stage == STAGE_DISK:
            self.want(move, <int64_t>g.max_bytes_per_s)
        else:
            self.want(move, <int64_t>(migration_wanted_bytes_per_s(g) + 0.5))

    cdef void want(self, int move, int64_t bytes_per_s) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        cdef int64_t more = bytes_per_s - m.wanted_bytes_per_s
        cdef int k
        if more == 0:
            return
        m.wanted_bytes_per_s = bytes_per_s
        if not self.move_changed[move]:
            self.move_changed[move] = 1
            self.changed[self.num_changed] = move
            self.num_changed += 1
        for k in range(m.num_links):
            self.load_link(m.links[k], 0, more)

    cdef void grant(self, int move, int64_t bytes_per_s) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        cdef int64_t more = bytes_per_s - m.granted_bytes_per_s
        cdef int k
        if more == 0:
            return
        self.advance(move)
        m.granted_bytes_per_s = bytes_per_s
        self.blur(move)
        for k in range(m.num_links):
            self.a.link[m.links[k]].used_bytes_per_s += more
        # Dom0's part of the CPU changes at both ends.
        self.touch(m.source)
        self.touch(m.target)

    cdef void set_activity(self, int move, double activity) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        if m.activity != activity:
            self.advance(move)
            m.activity = activity
            self.blur(move)

    cdef void share_network(self) noexcept nogil:
        """Rates for all moves that a change of the links' loads concerns."""
        cdef ClusterMove* m
        cdef ClusterLink* link
        cdef int i, k, l, move, n = 0
        cdef int bound = self.a.clock.move_bound
        cdef bint is_scarce
        cdef bint has_grown = False
        # 1: no limit any more, or not yet; 2: the moves across it have to be settled together.
        for i in range(self.num_dirty):
            l = self.dirty_link[i]
            link = &self.a.link[l]
            is_scarce = <double>link.wanted_bytes_per_s > self.link_room(l)
            self.link_mark[l] = 2 if is_scarce or link.is_congested else 1
            link.is_congested = is_scarce
            has_grown |= self.link_mark[l] == 2
        while has_grown:
            has_grown = False
            for i in range(bound):
                m = &self.a.move[i]
                if not m.in_use or self.is_fixed[i] == 3:
                    continue
                for k in range(m.num_links):
                    if self.link_mark[m.links[k]] == 2:
                        self.is_fixed[i] = 3
                        has_grown = True
                        break
                if self.is_fixed[i] == 3:
                    self.chosen[n] = i
                    n += 1
                    for k in range(m.num_links):
                        l = m.links[k]
                        if self.a.link[l].is_congested and self.link_mark[l] != 2:
                            if self.link_mark[l] == 0:
                                self.dirty_link[self.num_dirty] = l
                                self.num_dirty += 1
                            self.link_mark[l] = 2
        for i in range(self.num_dirty):
            l = self.dirty_link[i]
            self.users[l] = 0
            self.left[l] = self.link_room(l)
            self.link_mark[l] = self.a.link[l].is_congested
        for i in range(self.num_changed):
            move = self.changed[i]
            self.move_changed[move] = 0
            if self.a.move[move].in_use and self.is_fixed[move] != 3:
                self.grant(move, self.a.move[move].wanted_bytes_per_s)
        self.num_changed = 0
        if n > 0:
            for i in range(n):
                m = &self.a.move[self.chosen[i]]
                self.is_fixed[self.chosen[i]] = 0
                for k in range(m.num_links):
                    self.users[m.links[k]] += 1
            share_links(n, self.chosen, self.a.move, self.link_mark, self.left, self.users, self.is_fixed, self.move_granted)
            for i in range(n):
                self.is_fixed[i] = 0
                self.grant(self.chosen[i], <int64_t>self.move_granted[i])
        for i in range(self.num_dirty):
            self.link_mark[self.dirty_link[i]] = 0
        self.num_dirty = 0

    cdef void settle(self) noexcept nogil:
        """After changes of one instant: traffic, then links, then CPU, then when moves end."""
        cdef int i = 0
        while i < self.num_stale:
            self.refresh_traffic(self.stale[i])
            i += 1
        if self.num_dirty > 0:
            self.share_network()
        for i in range(self.num_stale):
            self.refresh_shares(self.stale[i])
        self.num_stale = 0
        for i in range(self.num_blurred):
            self.foresee(self.blurred[i])
        self.num_blurred = 0

    # --- ends --------------------------------------------------------------------------------------------------------------

    cdef void commit_move(self, int move) noexcept nogil:
        """The destination has all of it: the domain is there from now on."""
        cdef ClusterMove* m = &self.a.move[move]
        cdef ClusterDomain* d = &self.a.domain[m.domain]
        self.touch(m.target)
        self.unlink_domain(m.domain)
        self.a.host[m.source].free_pages += d.pages
        self.a.host[m.target].reserved_pages -= d.pages
        m.has_reserved = 0
        m.is_committed = 1
        if d.group != NO_GROUP:
            self.a.group_on_host[d.group * self.a.clock.num_hosts + m.source] -= 1
        self.link_domain(m.domain, m.target)
        self.sum_reservations(m.source)
        self.sum_reservations(m.target)

    cdef void leave_slot(self, int move) noexcept nogil:
        """The move is over; its record stays until the slot is used again."""
        cdef ClusterMove* m = &self.a.move[move]
        self.want(move, 0)
        self.grant(move, 0)
        _forget_writes(&self.working_set[m.domain])
        self.a.domain[m.domain].move = NO_MOVE
        self.a.host[m.source].outgoing -= 1
        self.a.host[m.target].incoming -= 1
        self.a.clock.active_moves -= 1
        self.a.clock.move_ns += self.a.clock.now_ns - m.began_ns
        m.is_due = 0
        m.in_use = 0
        self.move_end[move] = INT64_MAX
        while self.a.clock.move_bound > 0 and not self.a.move[self.a.clock.move_bound - 1].in_use:
            self.a.clock.move_bound -= 1

    cdef void finish_move(self, int move) noexcept nogil:
        cdef ClusterMove* m = &self.a.move[move]
        self.touch(m.target)
        self.a.domain[m.domain].moves += 1
        self.a.clock.moves_done += 1
        self.leave_slot(move)

    cdef bint fail_move(self, int move, int reason) noexcept nogil:
        """Something failed; returns whether the move is aborted."""
        cdef ClusterMove* m = &self.a.move[move]
        cdef ClusterDomain* d = &self.a.domain[m.domain]
        cdef ClusterHost* t = &self.a.host[m.target]
        if not m.in_use or m.is_committed:
            return False
        self.touch(d.host)
        self.advance(move)
        if m.is_due:
            # It has come to the end of a stage at this very instant; what it leads to happens first.
            self.serve_move(move)
            if not m.in_use or m.is_committed:
                return False
        if not migration_fail(&self.migration[move], &self.working_set[m.domain], reason):
            return False
        t.free_pages += d.pages
        t.reserved_pages -= d.pages
        m.has_reserved = 0
        if d.group != NO_GROUP:
            self.a.group_on_host[d.group * self.a.clock.num_hosts + m.target] -= 1
        d.aborted_moves += 1
        self.a.clock.moves_aborted[reason] += 1
        self.leave_slot(move)
        self.sum_reservations(m.target)
        return True
