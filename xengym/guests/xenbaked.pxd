"""State of the monitor's process in Dom0 (`xenbaked.pyx`)."""
from libc.stdint cimport int64_t
from xengym.hypervisor.core cimport GuestKind

cdef struct XenbakedState:
    int64_t period_ns
    int64_t record_ns
    int64_t sample_ns
    int64_t released_at_ns    # of the sample being worked through, or -1
    int64_t records           # trace records worked through so far
    int64_t transfers         # page transfers seen so far: each a record of its own
    int64_t samples

cdef class XenbakedKind(GuestKind):
    cdef XenbakedState* state
