"""What driver domains spent for whom, interval by interval: XenMon's part in SEDF-DC and ShareGuard.

On Xen nobody sees for whom a driver domain works: its CPU time is measured, and divided among the guests by what can be
counted. With C the CPU time of all driver domains in an interval and n_i the count of guest i,

    charge_i = C n_i / sum of n .

- "packets": n = 1.1 received + 1 sent. Packets cost the same whatever their size (Gupta et al. 2006; that a received one
  costs a tenth more is quoted from memory).
- "pages": n = pages that changed hands or were copied, disks included (XenMon, Gupta et al. 2005).
- "true": what the back ends spent in fact, known in a simulation only. C does not enter; a driver domain's housekeeping is
  charged to nobody then.

By packets or pages, all of a driver domain's CPU time is divided, also what it uses for itself; and packets that it drops
cost nobody anything. That is the heuristic's error, not ours. A domain that serves devices is itself charged nothing. All
domains of the host count, also those of other cpupools.

Sources: Gupta, Cherkasova, Gardner, Vahdat: Enforcing Performance Isolation Across Virtual Machines in Xen (2006);
Gupta, Gardner, Cherkasova: XenMon (HPL-2005-187); Reis and Cerqueira, section 6.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport RUNNING, DomainIo, Machine
from xengym.policies.schedulers.sedf_intervals cimport SedfIntervals, runstate_ns
from xengym.policies.schedulers.sedf_periods cimport in_proportion

import numpy as np

cdef SedfCharge _charge
cdef int64_t SENT, RECEIVED
SENT, RECEIVED = 10, 11

#: Names of the option ``attribution``.
ATTRIBUTIONS = {"packets": BY_PACKETS, "pages": BY_PAGES, "true": BY_TRUTH}


cdef class SedfCharges(SedfIntervals):
    """Knows at the end of each interval what driver domains spent for each domain."""

    def __init__(self, version="current", *, interval_ms=100, attribution="packets"):
        SedfIntervals.__init__(self, version, interval_ms=interval_ms)
        if attribution not in ATTRIBUTIONS:
            raise ValueError(
                f"scheduler {self.name} {self.version}: attribution must be one of {', '.join(ATTRIBUTIONS)};"
                f" found {attribution!r}"
            )
        self.attribution = ATTRIBUTIONS[attribution]
        self.options = {"interval_ms": interval_ms, "attribution": attribution}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        own = ("sedf_charge", np.asarray(<SedfCharge[:1]>&_charge).dtype, max_domains)
        return [*SedfIntervals.sections(self, num_pcpus, max_vcpus, max_domains), own]

    def bind(self, views):
        SedfIntervals.bind(self, views)
        cdef SedfCharge[::1] charge = views["sedf_charge"]
        self.charge = &charge[0]

    cdef void start(self, int64_t now_ns) noexcept nogil:
        cdef int d
        SedfIntervals.start(self, now_ns)
        for d in range(self.m.max_domains):
            self._count(d, now_ns)

    cdef void insert_domain(self, int d) noexcept nogil:
        SedfIntervals.insert_domain(self, d)
        # What was done for it before, or for the domain that had the slot, is not this scheduler's affair.
        self._count(d, self.m.clock.now_ns)
        self.charge[d].charged_ns = 0
        self.charge[d].charged_total_ns = 0

    cdef int64_t _counter_of(self, int d) noexcept nogil:
        cdef DomainIo* io = &self.m.io[d]
        if self.attribution == BY_TRUTH:
            return io.served_ns
        if self.attribution == BY_PAGES:
            return io.page_exchanges
        return RECEIVED * io.rx_packets + SENT * io.tx_packets

    cdef int64_t _cpu_of(self, int d) noexcept nogil:
        cdef Machine* m = self.m
        cdef int64_t total_ns = 0
        cdef int v
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            total_ns += runstate_ns(self, v, RUNNING)
        return total_ns

    cdef void _count(self, int d, int64_t now_ns) noexcept nogil:
        """What has been counted up to now belongs to the past."""
        cdef SedfCharge* charge = &self.charge[d]
        charge.counted_at_ns = now_ns
        charge.counter = self._counter_of(d)
        charge.cpu_ns = self._cpu_of(d) if self.m.domain[d].in_use else 0

    cdef void _interval_ends(self, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef SedfCharge* charge
        cdef int64_t spent_ns = 0, counted = 0
        cdef int d
        for d in range(m.max_domains):
            charge = &self.charge[d]
            charge.charged_ns = 0
            if not m.domain[d].in_use:
                continue
            if m.domain[d].created_at_ns > charge.counted_at_ns:  # the slot was another domain's
                charge.counter = 0
                charge.cpu_ns = 0
            if m.io[d].is_backend:
                spent_ns += max(self._cpu_of(d) - charge.cpu_ns, 0)
            else:
                charge.charged_ns = max(self._counter_of(d) - charge.counter, 0)
                counted += charge.charged_ns
            self._count(d, now_ns)
        for d in range(m.max_domains):
            charge = &self.charge[d]
            if charge.charged_ns and self.attribution != BY_TRUTH:
                charge.charged_ns = in_proportion(spent_ns, charge.charged_ns, counted)
            charge.charged_total_ns += charge.charged_ns
        self._charges_known(now_ns - self.intervals.began_at_ns, now_ns)

    cdef void _charges_known(self, int64_t length_ns, int64_t now_ns) noexcept nogil:
        pass
