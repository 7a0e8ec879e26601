"""SEDF's parameters."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.sedf_periods cimport SedfPeriods

# Period of best effort and of reservations by weight: 100 ms.
cdef enum:
    DEFAULT_PERIOD_NS = 100_000_000

# What a control call asks for.
cdef enum:
    FORM_TIME = 0             # a slice in every period
    FORM_WEIGHT = 1           # a slice in proportion to a weight
    FORM_BEST_EFFORT = 2      # extra time only, by extra weight

# One control call; negative: stays as it is.
cdef struct Request:
    int64_t period_ns
    int64_t slice_ns
    int64_t latency_ns
    int32_t form
    int32_t weight
    int32_t extratime

cdef class SedfParameters(SedfPeriods):
    cdef object rules_table

    cdef void _apply(self, int first, int count, Request* request) noexcept nogil
    cdef void _set_vcpu(self, int v, Request* request) noexcept nogil
    cdef void _share_by_weight(self) noexcept nogil
    cdef void _set_extratime(self, int v, Request* request) noexcept nogil
