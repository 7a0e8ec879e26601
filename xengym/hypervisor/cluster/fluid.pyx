"""A cluster at fluid fidelity: a day of a thousand hosts in less than a minute.

Each host's scheduler is replaced by its steady-state shares (`hypervisor.cluster.shares`), each domain's demand is piecewise
constant, and the memory of a domain that moves is the same model as elsewhere (`hypervisor.migration`). Time goes from one
change to the next; only the hosts, links and moves that a change concerns are computed anew (`fluid_state`, `fluid_moves`).

What happens at one instant happens in this order: changes of power, departures, moves, demand, arrivals. Departures come before
what would need their room; a move that ends now ends before the domain demands something else.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.string cimport memset
from xengym.hypervisor.cluster.fluid_moves cimport FluidMoves
from xengym.hypervisor.migration cimport migration_fail
from xengym.machine.cluster_state cimport (
    ACCEPTED, NO_GROUP, NO_HOST, NO_MOVE, POWER_FAILED, POWER_ON, POWER_SUSPENDED, POWER_SUSPENDING, POWER_WAKING,
    REFUSED_HOST_IN_USE, REFUSED_HOST_OFF, REFUSED_RESERVATION, REFUSED_UNKNOWN_DOMAIN, REFUSED_UNKNOWN_HOST, SHARES_SEDF,
    ClusterClock, ClusterDomain, ClusterHost, ClusterMove, reservation_pcpus,
)
from xengym.machine.migration_state cimport REASON_CANCELLED, REASON_DESTINATION, REASON_LINK, REASON_SOURCE
from xengym.policies.control.placement cimport fill_move_mask, move_reason

import hashlib

import numpy as np

cdef int64_t MAX_TIME_NS = <int64_t>1 << 62


cdef class FluidCluster(FluidMoves):
    """Hosts, domains and moves at fluid fidelity; what it offers is ``hypervisor.cluster.interface.Cluster``.

    Args:
        spec: ``hypervisor.cluster.specs.ClusterSpec``.
        seed: of the episode; nothing here is random, but it is part of the state.

    Raises:
        ValueError: the description contradicts itself, or a domain of the beginning fits no host.
    """

    fidelity = "fluid"

    def __init__(self, spec, *, seed=0):
        super().__init__(spec, seed)
        self.settle()

    # --- views -----------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self):
        """Simulated time in ns."""
        return self.a.clock.now_ns

    @property
    def clock(self):
        """``CLUSTER_CLOCK_DTYPE`` array of shape ``(1,)``, live."""
        return self.arena.sections["clock"]

    @property
    def hosts(self):
        """``CLUSTER_HOST_DTYPE`` array of shape ``(hosts,)``, live."""
        return self.arena.sections["host"]

    @property
    def domains(self):
        """``CLUSTER_DOMAIN_DTYPE`` array of shape ``(slots,)``, live."""
        return self.arena.sections["domain"]

    @property
    def moves(self):
        """``CLUSTER_MOVE_DTYPE`` array of shape ``(move slots,)``, live."""
        return self.arena.sections["move"]

    @property
    def migrations(self):
        """``MIGRATION_DTYPE`` array of shape ``(move slots,)``, live: the engine's records of the same moves."""
        return self.arena.sections["migration"]

    @property
    def working_sets(self):
        """``WORKING_SET_DTYPE`` array of shape ``(slots,)``, live."""
        return self.arena.sections["working_set"]

    @property
    def links(self):
        """``CLUSTER_LINK_DTYPE`` array, live."""
        return self.arena.sections["link"]

    @property
    def sites(self):
        """``CLUSTER_SITE_DTYPE`` array of shape ``(sites,)``, live."""
        return self.arena.sections["site"]

    # --- time ------------------------------------------------------------------------------------------------------------

    cdef int64_t next_instant(self) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef int64_t next_ns = min(clock.next_leave_ns, clock.next_sample_ns)
        cdef int i
        if clock.next_arrival < self.num_arrivals:
            next_ns = min(next_ns, self.arrival[clock.next_arrival].arrived_ns)
        if clock.power_changes > 0:
            for i in range(clock.num_hosts):
                if self.a.host[i].power == POWER_WAKING or self.a.host[i].power == POWER_SUSPENDING:
                    next_ns = min(next_ns, self.a.host[i].power_until_ns)
        if clock.active_moves > 0:
            for i in range(clock.move_bound):
                next_ns = min(next_ns, self.move_end[i])
        return next_ns

    cdef void serve_instant(self) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef int i
        clock.events += 1
        if clock.power_changes > 0:
            self.serve_power()
        if clock.next_leave_ns <= clock.now_ns:
            self.serve_departures()
        if clock.active_moves > 0:
            for i in range(clock.move_bound):
                if self.move_end[i] <= clock.now_ns:
                    self.serve_move(i)
        if clock.next_sample_ns <= clock.now_ns:
            self.refresh_demand()
        if clock.next_arrival < self.num_arrivals:
            self.serve_arrivals()
        self.settle()

    cdef void run(self, int64_t until_ns) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef int64_t next_ns
        cdef int i
        cdef bint is_settled = False
        while True:
            next_ns = self.next_instant()
            if next_ns <= until_ns:
                clock.now_ns = next_ns
                self.serve_instant()
                continue
            if is_settled:
                break
            # Everything is carried out up to the end, which may be the end of a stage as well.
            clock.now_ns = until_ns
            for i in range(clock.num_hosts):
                self.keep_books(i)
            self.keep_remote_books()
            if clock.active_moves > 0:
                for i in range(clock.move_bound):
                    if self.a.move[i].in_use:
                        self.advance(i)
            self.settle()
            is_settled = True

    def run_until(self, t_ns):
        """Let time pass; everything in the arrays is true at ``t_ns``."""
        cdef int64_t until_ns = t_ns
        if not self.a.clock.now_ns <= until_ns <= MAX_TIME_NS:
            raise ValueError(f"run_until: expected {self.a.clock.now_ns} ns (now) .. {MAX_TIME_NS} ns, found {t_ns} ns")
        with nogil:
            self.run(until_ns)

    # --- what happens by itself ------------------------------------------------------------------------------------------

    cdef void serve_power(self) noexcept nogil:
        cdef ClusterHost* host
        cdef int h, i
        for h in range(self.a.clock.num_hosts):
            host = &self.a.host[h]
            if host.power != POWER_WAKING and host.power != POWER_SUSPENDING or host.power_until_ns > self.a.clock.now_ns:
                continue
            self.touch(h)
            self.a.clock.power_changes -= 1
            if host.power == POWER_SUSPENDING:
                host.power = POWER_SUSPENDED
                continue
            host.power = POWER_ON
            # After a suspension there is nobody; after a death all start again.
            self.a.clock.restarts += host.num_domains

    cdef void serve_departures(self) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef int d
        cdef int64_t next_ns = INT64_MAX
        for d in range(clock.num_domains):
            if not self.a.domain[d].in_use:
                continue
            if self.a.domain[d].leaves_ns <= clock.now_ns:
                self.remove(d)
                clock.left += 1
            else:
                next_ns = min(next_ns, self.a.domain[d].leaves_ns)
        clock.next_leave_ns = next_ns

    cdef void remove(self, int domain) noexcept nogil:
        """A domain is destroyed; a move of it is given up, or over if it is the target's already."""
        cdef ClusterDomain* d = &self.a.domain[domain]
        cdef int move = d.move
        if move != NO_MOVE and not self.fail_move(move, REASON_CANCELLED) and d.move != NO_MOVE:
            self.advance(move)
            self.finish_move(move)
        self.touch(d.host)
        self.a.clock.gone_s += 1e-9 * <double>(self.a.clock.now_ns - d.arrived_ns)
        self.a.clock.gone_demanded_s += 1e-9 * <double>d.demanded_ns
        self.a.clock.gone_granted_s += 1e-9 * <double>d.granted_ns
        self.a.clock.gone_violation_s += 1e-9 * <double>d.violation_ns
        self.unlink_domain(domain)
        self.a.host[d.host].free_pages += d.pages
        if d.group != NO_GROUP:
            self.a.group_on_host[d.group * self.a.clock.num_hosts + d.host] -= 1
        self.sum_reservations(d.host)
        memset(d, 0, sizeof(ClusterDomain))
        d.host = NO_HOST
        d.move = NO_MOVE
        memset(&self.working_set[domain], 0, sizeof(self.working_set[domain]))

    cdef void serve_arrivals(self) noexcept nogil:
        cdef ClusterClock* clock = self.a.clock
        cdef const ClusterDomain* d
        cdef int reason
        while clock.next_arrival < self.num_arrivals:
            d = &self.arrival[clock.next_arrival]
            if d.arrived_ns > clock.now_ns:
                return
            reason = self.admit(d, &self.arrival_set[clock.next_arrival], d.host)
            if reason != ACCEPTED:
                clock.refused_arrivals[reason] += 1
            clock.next_arrival += 1

    # --- control ---------------------------------------------------------------------------------------------------------

    cdef int order(self, int domain, int host) noexcept nogil:
        cdef int reason = move_reason(&self.a, domain, host)
        if reason == ACCEPTED:
            self.begin_move(domain, host)
            self.settle()
        else:
            self.a.clock.refused_orders[reason] += 1
        return reason

    def order_move(self, int domain, int host):
        """Begin to move the domain in a slot to a host; returns the reason code, 0 if the move has begun."""
        return self.order(domain, host)

    def check_move(self, int domain, int host):
        """The reason code that ``order_move`` would return."""
        return move_reason(&self.a, domain, host)

    def move_mask(self, out=None):
        """Which moves would be accepted now, shape ``(slots, hosts)``; written into ``out`` if given."""
        shape = (self.a.clock.num_domains, self.a.clock.num_hosts)
        if out is None:
            out = np.empty(shape, dtype=np.bool_)
        elif out.shape != shape or out.dtype != np.bool_ or not out.flags.c_contiguous:
            raise ValueError(f"move_mask: expected a contiguous bool array of shape {shape}, found {out.dtype} {out.shape}")
        cdef uint8_t[:, ::1] mask = out.view(np.uint8)
        with nogil:
            fill_move_mask(&self.a, &mask[0, 0], self.mask_scratch)
        return out

    def set_params(self, int domain, *, weight=None, cap_pct=None, slice_ns=None, period_ns=None, has_extra=None):
        """Change a domain's scheduler parameters; returns the reason code (a reservation may not fit its host).

        Raises:
            ValueError: a parameter is out of range; nothing is changed then.
        """
        cdef ClusterDomain* d
        cdef ClusterHost* host
        cdef ClusterDomain changed
        if not 0 <= domain < self.a.clock.num_domains or not self.a.domain[domain].in_use:
            return REFUSED_UNKNOWN_DOMAIN
        d = &self.a.domain[domain]
        host = &self.a.host[d.host]
        changed = d[0]
        if weight is not None:
            changed.weight = weight
        if cap_pct is not None:
            changed.cap_pct = cap_pct
        if slice_ns is not None:
            changed.slice_ns = slice_ns
        if period_ns is not None:
            changed.period_ns = period_ns
        if has_extra is not None:
            changed.has_extra = has_extra
        if changed.weight < 1 or changed.cap_pct < 0 or not 0 <= changed.slice_ns <= changed.period_ns:
            raise ValueError(
                f"set_params: domain {domain}: expected weight >= 1, cap_pct >= 0 and 0 <= slice_ns <= period_ns, found weight "
                f"{changed.weight}, cap_pct {changed.cap_pct}, slice_ns {changed.slice_ns}, period_ns {changed.period_ns}"
            )
        if host.shares == SHARES_SEDF and (
            host.reserved_pcpus - reservation_pcpus(d, host) + reservation_pcpus(&changed, host) > host.capacity_pcpus + 1e-9
        ):
            return REFUSED_RESERVATION
        self.touch(d.host)
        d[0] = changed
        self.sum_reservations(d.host)
        if d.move != NO_MOVE:
            self.sum_reservations(self.a.move[d.move].target)
        self.settle()
        return ACCEPTED

    cdef int change_power(self, int host, bint wakes) noexcept nogil:
        cdef ClusterHost* h
        if host < 0 or host >= self.a.clock.num_hosts:
            return REFUSED_UNKNOWN_HOST
        h = &self.a.host[host]
        if wakes:
            if h.power == POWER_ON or h.power == POWER_WAKING:
                return ACCEPTED
            if h.power == POWER_SUSPENDING:
                # It has to be suspended before it can wake: both take their time.
                self.touch(host)
                h.power = POWER_WAKING
                h.power_until_ns += h.wake_ns
                self.settle()
                return ACCEPTED
            self.touch(host)
            h.power = POWER_WAKING
            h.power_until_ns = self.a.clock.now_ns + h.wake_ns
        else:
            if h.power == POWER_SUSPENDED or h.power == POWER_SUSPENDING:
                return ACCEPTED
            if h.power != POWER_ON:
                return REFUSED_HOST_OFF
            if h.num_domains > 0 or h.incoming > 0 or h.outgoing > 0:
                return REFUSED_HOST_IN_USE
            self.touch(host)
            h.power = POWER_SUSPENDING
            h.power_until_ns = self.a.clock.now_ns + h.suspend_ns
        self.a.clock.power_changes += 1
        self.settle()
        return ACCEPTED

    def suspend(self, int host):
        """Begin to suspend an empty host; returns the reason code."""
        return self.change_power(host, False)

    def wake(self, int host):
        """Begin to wake a suspended or dead host; returns the reason code. Nothing to do is accepted."""
        return self.change_power(host, True)

    # --- failures --------------------------------------------------------------------------------------------------------

    def cancel_move(self, int domain):
        """Give up the move of a domain, as the operator may before the commitment; returns whether it was."""
        cdef bint is_aborted
        if not 0 <= domain < self.a.clock.num_domains or self.a.domain[domain].move == NO_MOVE:
            return False
        is_aborted = self.fail_move(self.a.domain[domain].move, REASON_CANCELLED)
        self.settle()
        return is_aborted

    def fail_link(self, int link):
        """Let a link go down: moves across it that are not committed are aborted."""
        cdef int i, k
        self._check_link(link)
        self.a.link[link].is_up = 0
        for i in range(self.a.clock.move_bound):
            if self.a.move[i].in_use:
                for k in range(self.a.move[i].num_links):
                    if self.a.move[i].links[k] == link:
                        self.fail_move(i, REASON_LINK)
                        break
        self.load_link(link, 0, 0)
        self.settle()

    def restore_link(self, int link):
        """Let it come up again."""
        self._check_link(link)
        self.a.link[link].is_up = 1
        self.load_link(link, 0, 0)
        self.settle()

    def _check_link(self, int link):
        if not 0 <= link < self.num_links:
            raise ValueError(f"link: expected 0..{self.num_links - 1}, found {link}")

    def fail_host(self, int host):
        """Let a host die. Its domains get nothing until it is woken; moves from it and to it end as the engine says."""
        cdef ClusterHost* h
        cdef ClusterMove* m
        cdef int i
        if not 0 <= host < self.a.clock.num_hosts:
            raise ValueError(f"fail_host: expected 0..{self.a.clock.num_hosts - 1}, found {host}")
        h = &self.a.host[host]
        if h.power == POWER_FAILED:
            return
        self.touch(host)
        if h.power == POWER_WAKING or h.power == POWER_SUSPENDING:
            self.a.clock.power_changes -= 1
        for i in range(self.a.clock.move_bound):
            m = &self.a.move[i]
            if m.in_use and m.source == host:
                self.fail_move(i, REASON_SOURCE)
            elif m.in_use and m.target == host:
                self.fail_move(i, REASON_DESTINATION)
        h.power = POWER_FAILED
        self.settle()

    # --- keeping -----------------------------------------------------------------------------------------------------------

    def snapshot(self):
        """The whole state: a ``uint8`` array."""
        return self.arena.block.copy()

    def restore(self, state):
        """Go on from a snapshot of this cluster or of one built from the same description."""
        if state.shape != self.arena.block.shape or state.dtype != np.uint8:
            raise ValueError(f"restore: expected uint8 of shape {self.arena.block.shape}, found {state.dtype} {state.shape}")
        self.arena.block[:] = state
        self.scratch["has_ahead"][:] = 0

    def digest(self):
        """SHA-256 of the whole state, as hexadecimal text."""
        return hashlib.sha256(self.arena.block).hexdigest()

    def __reduce__(self):
        return _remade, (type(self), self.spec, self.snapshot())


def _remade(cls, spec, state):
    cluster = cls(spec)
    cluster.restore(state)
    return cluster
