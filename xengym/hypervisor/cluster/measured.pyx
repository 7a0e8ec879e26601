"""The books of a cluster whose hosts are simulated elsewhere: what domains get and what streams carry is told, not computed.

Orders, admission, memory, power, arrivals, departures and the stages of moves are those of the fluid cluster. The shares
of CPU and of the network are not: whoever owns this object writes what was measured into `pcpus`, `dom0_pcpus` and `rates`
and calls `take_measures` before time goes on.
"""
from libc.stdint cimport INT64_MAX, int64_t
from xengym.hypervisor.cluster.fluid cimport FluidCluster
from xengym.hypervisor.migration cimport is_standing_still
from xengym.machine.cluster_state cimport NO_MOVE, POWER_ON, ClusterDomain, ClusterHost, set_watts
from xengym.machine.migration_state cimport STAGE_DISK, STAGE_PRECOPY, STAGE_STOP_AND_COPY, Migration

import numpy as np

#: A domain is short if it gets less than 95 % of what it demands: what is measured over a second is never quite even.
cdef double MEASURED_SHORT = 0.05


cdef class MeasuredCluster(FluidCluster):
    """Books of hosts that are simulated elsewhere.

    Args:
        spec: ``hypervisor.cluster.specs.ClusterSpec``.
        seed: of the episode.

    Attributes:
        pcpus: ``float64`` of shape ``(slots,)``: CPU that each domain gets, in reference pCPUs.
        dom0_pcpus: ``float64`` of shape ``(hosts,)``: and Dom0, all that it uses.
        rates: ``float64`` of shape ``(move slots,)``: bytes a second that each move's stream carries.
    """

    fidelity = "event"

    def __init__(self, spec, *, seed=0):
        num_slots = spec.num_domain_slots if spec.num_domain_slots is not None else len(spec.domains)
        num_moves = spec.num_move_slots if spec.num_move_slots is not None else 2 * len(spec.hosts)
        cdef double[::1] pcpus = np.zeros(max(1, num_slots))
        cdef double[::1] dom0_pcpus = np.zeros(len(spec.hosts))
        cdef double[::1] rates = np.zeros(max(1, num_moves))
        self.pcpus = np.asarray(pcpus)
        self.dom0_pcpus = np.asarray(dom0_pcpus)
        self.rates = np.asarray(rates)
        self.pcpus_of = &pcpus[0]
        self.dom0_pcpus_of = &dom0_pcpus[0]
        self.rate_of = &rates[0]
        self.short_frac = MEASURED_SHORT
        super().__init__(spec, seed=seed)

    def take_measures(self):
        """What stands in the arrays holds from now on."""
        cdef int h
        for h in range(self.a.clock.num_hosts):
            self.touch(h)
        self.share_network()
        self.settle()

    def next_end_ns(self):
        """When the next stage of a move ends, if rates stay as they are; 2**63 - 1: nothing is under way."""
        cdef int64_t next_ns = INT64_MAX
        cdef int i
        for i in range(self.a.clock.move_bound):
            if self.a.move[i].in_use:
                next_ns = min(next_ns, self.move_end[i])
        return next_ns

    cdef void share_network(self) noexcept nogil:
        cdef Migration* g
        cdef int i
        for i in range(self.num_dirty):
            self.link_mark[self.dirty_link[i]] = 0
        self.num_dirty = 0
        for i in range(self.num_changed):
            self.move_changed[self.changed[i]] = 0
        self.num_changed = 0
        for i in range(self.a.clock.move_bound):
            if not self.a.move[i].in_use:
                continue
            g = &self.migration[i]
            if g.stage == STAGE_PRECOPY or g.stage == STAGE_DISK or (g.stage == STAGE_STOP_AND_COPY and g.stage_left_ns == 0):
                self.grant(i, <int64_t>self.rate_of[i])
            else:
                self.grant(i, 0)

    cdef void refresh_shares(self, int h) noexcept nogil:
        cdef ClusterHost* host = &self.a.host[h]
        cdef ClusterDomain* d
        cdef double demand = 0.0, total = 0.0, activity
        cdef int i = host.first_domain
        host.is_stale = 0
        host.dom0_pcpus = self.dom0_pcpus_of[h]
        while i >= 0:
            d = &self.a.domain[i]
            demand += d.demand_pcpus
            d.granted_pcpus = self.pcpus_of[i]
            if host.power != POWER_ON or (d.move != NO_MOVE and is_standing_still(&self.migration[d.move])):
                d.granted_pcpus = 0.0
            total += d.granted_pcpus
            if d.move != NO_MOVE:
                activity = d.granted_pcpus / d.demand_pcpus if d.demand_pcpus > 0.0 else 1.0
                self.set_activity(d.move, activity)
            i = d.next_on_host
        host.demand_pcpus = demand
        host.granted_pcpus = total
        set_watts(host)
