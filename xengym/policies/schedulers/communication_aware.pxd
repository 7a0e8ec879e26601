"""The communication-aware scheduler; its essay is in `communication_aware.pyx`."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.sedf cimport SedfScheduler

# Why a domain should run now, the strongest last.
cdef enum:
    NO_REASON = 0
    WILL_SEND = 1             # it is about to put packets into a transmit ring
    HAS_RECEIVED = 2          # packets wait for it
    SERVES = 3                # a driver domain, and packets wait for driver domains

# What was seen of a domain's transmissions.
cdef struct Sender:
    int64_t seen_at_ns        # the transmission seen last, or -1
    int64_t seen_packets      # packets it had sent by then
    int64_t expected_packets  # packets between the last two that were seen

cdef class CommunicationAwareScheduler(SedfScheduler):
    cdef Sender* sender
    cdef int64_t look_ns

    cdef int _reason(self, int v, int64_t now_ns, int64_t* packets) noexcept nogil
    cdef int64_t _packets_for_backends(self) noexcept nogil
    cdef int _preferred(self, int p, int queue, int64_t now_ns) noexcept nogil
    cdef bint _may_have_turn(self, int v, int p) noexcept nogil
    cdef int64_t _slack(self, int v, int p, int64_t now_ns) noexcept nogil
    cdef int64_t _due_by(self, int v, int64_t by_ns, int64_t now_ns) noexcept nogil
