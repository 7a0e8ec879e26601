"""Random streams by purpose, counter-based, the same on every platform.

A draw is a hash of (seed, stream, entity, counter): the SplitMix64 finaliser over a Weyl sequence (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Streams cannot disturb each other, and the
whole state is one counter an entity. Distributions use only operations that IEEE 754 fixes to the last bit: the
logarithm and the exponential are ours, not the platform's `libm`.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    STREAM_GUEST = 1     # a vCPU's own program
    STREAM_ARRIVAL = 2   # arrivals at a domain
    STREAM_SERVICE = 3   # work of a domain's requests
    STREAM_NETWORK = 4   # losses of a network card's cable
    STREAM_DISK = 5      # rotation of a disk
    STREAM_CLIENTS = 6   # a population of clients
    STREAM_MEMORY = 7    # a domain's demand for memory

cdef enum:
    DIST_CONSTANT = 0
    DIST_UNIFORM = 1      # mean * (1 - spread) .. mean * (1 + spread)
    DIST_EXPONENTIAL = 2
    DIST_PARETO = 3       # shape `spread` (> 1), cut at 1000 times the mean
    DIST_LOGNORMAL = 4    # `spread`: standard deviation of the logarithm

cdef struct Distribution:
    double mean_ns
    double spread
    int32_t kind
    int32_t reserved

cdef inline uint64_t mix64(uint64_t z) noexcept nogil:
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)

cdef inline uint64_t stream_key(uint64_t seed, uint64_t stream, uint64_t entity) noexcept nogil:
    return mix64(mix64(seed + <uint64_t>0x9E3779B97F4A7C15 * stream) + <uint64_t>0xD1342543DE82EF95 * (entity + 1))

cdef inline uint64_t draw_bits(uint64_t key, uint64_t* counter) noexcept nogil:
    counter[0] += 1
    return mix64(key + <uint64_t>0x9E3779B97F4A7C15 * counter[0])

cdef inline double draw_unit(uint64_t key, uint64_t* counter) noexcept nogil:
    """A double in (0, 1): 52 random bits and a half step, so neither end can occur."""
    return (<double>(draw_bits(key, counter) >> 12) + 0.5) * (1.0 / 4503599627370496.0)

cdef double exact_log(double x) noexcept nogil
cdef double exact_exp(double x) noexcept nogil
cdef int64_t draw_ns(Distribution* dist, uint64_t key, uint64_t* counter) noexcept nogil
