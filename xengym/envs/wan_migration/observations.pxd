"""What is seen of one move (`observations.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.wide_area cimport WideMove

cdef enum:
    NUM_FEATURES = 30

# Counters of a move: at an instant, or their growth over an interval.
cdef struct Sample:
    int64_t now_ns
    int64_t downtime_ns
    int64_t lost
    double recorded_bytes      # of deltas
    double wanted_writes
    double held_up_writes
    double carried_bytes
    double others_wanted_bytes
    double others_got_bytes

cdef void take_sample(const WideMove* w, Sample* sample) noexcept nogil
cdef void subtract_sample(const Sample* now, const Sample* before, Sample* growth) noexcept nogil
# Time that the move's bytes would take on a free line, image and memory once, s.
cdef double nominal_s(const WideMove* w) noexcept nogil
cdef void encode_move(const WideMove* w, const Sample* growth, double steps_left_frac, float* obs) noexcept nogil
