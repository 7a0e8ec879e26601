"""Actions of `DriverDomain-v0`: for each guest a limit of its CPU and driver domains' for it, and one of the latter alone.

Combined limit: -1 is 1 % of a pCPU for each of its vCPUs, 0 what was agreed on, 1 a whole pCPU. Traffic limit: as every
limit that can be switched off, [-1, 0) is up to a whole pCPU of driver domains' time, [0, 1] is none. So the zero vector is
SEDF-DC at what was agreed on. Driver domains have no limits; their entries have no effect.
"""
from libc.stdint cimport int64_t
from xengym.envs.host.actions cimport ActionDecoder, TunableRange
from xengym.hypervisor.host cimport Host

#: The scheduler's parameters that an action sets, in its order.
LIMITS = ("slice_ppm", "io_limit_ppm")

cdef int64_t PPM = 1_000_000
cdef int64_t LEAST_PPM = 10_000
cdef int EXTRATIME = 2             # place among the scheduler's tunables


cdef class LimitDecoder(ActionDecoder):
    """Decodes, checks and applies the limits of one host's guests.

    Args:
        host: the machine, under ``share-guard``.
        num_domains: domain slots the action covers, present or not.
        is_discrete: steps instead of numbers in [-1, 1].
    """

    def __init__(self, Host host, int num_domains, bint is_discrete):
        ActionDecoder.__init__(self, host, num_domains, is_discrete, LIMITS)
        self.ranges[0].low = LEAST_PPM

    cdef bint controls(self, int d) noexcept nogil:
        return self.host.m.domain[d].in_use and not self.host.m.io[d].is_backend

    cdef TunableRange* range_of(self, int d, int i) noexcept nogil:
        cdef double agreed
        if i == 0:
            agreed = self.host.m.domain[d].agreed_pcpus / self.host.m.domain[d].num_vcpus
            self.ranges[0].default_value = min(max(<int64_t>(agreed * PPM + 0.5), LEAST_PPM), PPM)
        return &self.ranges[i]

    cdef void complete(self, int d, int64_t* values) noexcept nogil:
        values[EXTRATIME] = 0      # a limit, and not only a reservation
