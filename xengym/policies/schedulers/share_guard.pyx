"""ShareGuard: whoever keeps driver domains busier than it may has its traffic stopped until the excess is paid.

Design. Slices hold down guests, not what driver domains do for them: packets that nobody asked for are received all the
same. ShareGuard polls what driver domains spent for each guest (`sedf_charges`) and has a limit L on it, in parts of a
pCPU. At every poll, T after the one before,

    excess = max(0, excess + spent - L T)          traffic stands still while excess > 0

so the excess comes off the allowance of the next interval, and of as many as it takes. A guest for which u > L would be
spent is served for one interval of every 1 + ceil(u / L - 1): on average within its limit, and never above it by more
than what one poll can hide, (u - L) T. What it leaves of an allowance while its traffic stands still is not saved up, so
between two polls' worth it is held below its limit rather than above.

Traffic that stands still costs the driver domain little, not nothing: a packet is dropped as soon as it is known whom
it is for.

CPU of the guests is SEDF's affair, and with the option ``collects_debts`` SEDF-DC's (`sedf_dc`), at the same polls: the
paper's mechanisms together. The slice is then the limit of guest and driver domains together, and ``io_limit_ppm`` the
limit of the driver domains' part. Without the option, slices are what they are in SEDF.

Driver domains have no limit. Somebody else who stops a domain's traffic is not heeded: a domain in excess that is let
through again by hand is let through until the next change.

Simplified: a poll every 100 ms, that of XenMon's samples, unless told otherwise; it is free, and traffic stops at once.

Source: Gupta, Cherkasova, Gardner, Vahdat: Enforcing Performance Isolation Across Virtual Machines in Xen (2006), as told
by Reis and Cerqueira, section 6. No code of theirs was seen.
"""
from libc.stdint cimport int64_t
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.api cimport Hypervisor
from xengym.policies.schedulers.sedf_dc cimport SedfDcScheduler
from xengym.policies.schedulers.sedf_periods cimport in_proportion

import numpy as np

from xengym.policies.schedulers.sedf_intervals import milliseconds
from xengym.policies.schedulers.tunables import Tunable

cdef int64_t PPM = 1_000_000
cdef int IO_LIMIT = 3                            # place among the tunables, behind SEDF's
cdef Guard _guard


cdef class ShareGuardScheduler(SedfDcScheduler):
    """SEDF that stops the traffic of domains for which driver domains spend too much.

    Domain parameters are SEDF's, and

    - ``io_limit_ppm``: CPU time that driver domains may spend for it, in millionths of a pCPU; 0 (default): any.

    Args:
        version: SEDF's release, 3.0.2 or (default) 4.5.
        poll_ms: time between two looks, 1..60000.
        attribution: how the CPU time of driver domains is divided among guests: by "packets" (default), by "pages"
            exchanged, or as it was spent ("true").
        collects_debts: what driver domains spend for a guest is taken from its slices too, as in SEDF-DC.
    """

    scheduler_name = "share-guard"
    own_params = {"io_limit_ppm": (0, PPM)}

    def __init__(self, version="current", *, poll_ms=100, attribution="packets", collects_debts=False):
        SedfDcScheduler.__init__(self, version, attribution=attribution)
        where = f"scheduler {self.name} {self.version}"
        self.interval_ns = milliseconds(where, "poll_ms", poll_ms)
        if not isinstance(collects_debts, bool):
            raise ValueError(f"{where}: collects_debts must be true or false, found {collects_debts!r}")
        self.collects_debts = collects_debts
        self.options = {"poll_ms": poll_ms, "attribution": attribution, "collects_debts": collects_debts}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        own = ("share_guard", np.asarray(<Guard[:1]>&_guard).dtype, max_domains)
        return [*SedfDcScheduler.sections(self, num_pcpus, max_vcpus, max_domains), own]

    def bind(self, views):
        SedfDcScheduler.bind(self, views)
        cdef Guard[::1] guard = views["share_guard"]
        self.guard = &guard[0]

    def counters(self):
        cdef int d
        cdef int64_t stops = 0
        for d in range(self.m.max_domains):
            stops += self.guard[d].stops
        return {**SedfDcScheduler.counters(self), "traffic_stops": stops}

    # -- domains -------------------------------------------------------------------------------------------------

    cdef void insert_domain(self, int d) noexcept nogil:
        SedfDcScheduler.insert_domain(self, d)
        self.guard[d].limit_ppm = 0
        self.guard[d].excess_ns = 0
        self.guard[d].is_stopped = 0

    cdef void remove_domain(self, int d) noexcept nogil:
        SedfDcScheduler.remove_domain(self, d)
        if self.guard[d].is_stopped:
            self.guard[d].is_stopped = 0
            self.hall.set_traffic(d, True)

    # -- the guard -----------------------------------------------------------------------------------------------

    cdef void _charges_known(self, int64_t length_ns, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef int d
        if self.collects_debts:
            SedfDcScheduler._charges_known(self, length_ns, now_ns)
        for d in range(m.max_domains):
            if m.domain[d].in_use and m.domain[d].pool == self.cpupool:
                self._watch(d, length_ns)

    cdef void _watch(self, int d, int64_t length_ns) noexcept nogil:
        cdef Guard* guard = &self.guard[d]
        cdef bint is_above
        guard.excess_ns += self.charge[d].charged_ns - in_proportion(length_ns, guard.limit_ppm, PPM)
        if guard.excess_ns < 0 or guard.limit_ppm == 0 or self.m.io[d].is_backend:
            guard.excess_ns = 0
        is_above = guard.excess_ns > 0
        if is_above == guard.is_stopped:
            return
        guard.is_stopped = is_above
        guard.stops += is_above
        self.hall.set_traffic(d, not is_above)

    # -- parameters ----------------------------------------------------------------------------------------------

    def tunables(self):
        limit = Tunable("io_limit_ppm", 0, PPM, 0, log_scale=False, zero_means_none=True)
        return [*SedfDcScheduler.tunables(self), limit]

    def _set_own_params(self, int d, params):
        self.guard[d].limit_ppm = params.get("io_limit_ppm", self.guard[d].limit_ppm)

    def domain_params(self, int d):
        return {**SedfDcScheduler.domain_params(self, d), "io_limit_ppm": self.guard[d].limit_ppm}

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        SedfDcScheduler.set_tunables(self, d, values, now_ns)
        self.guard[d].limit_ppm = min(max(values[IO_LIMIT], 0), PPM)

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        SedfDcScheduler.get_tunables(self, d, values)
        values[IO_LIMIT] = self.guard[d].limit_ppm
