"""State of the programs that work their kernel (`process.pyx`)."""
from libc.stdint cimport int64_t, uint64_t
from xengym.hypervisor.core cimport GuestKind

cdef enum:
    MAX_OPERATIONS = 16

cdef struct ProcessState:
    int64_t first             # of its cumulative weights in the pool
    int64_t burst_ops
    int64_t period_ns         # between releases of bursts; 0: one follows the other
    int64_t user_ns
    int64_t operation         # of the burst under way
    int64_t released_at_ns    # of the burst under way, or -1
    int64_t started_at_ns
    uint64_t key
    uint64_t counter
    int64_t tables            # page tables of the process that an operation has made, until it ends
    int64_t done[16]          # operations completed, by their place in `OPERATIONS`

cdef class ProcessKind(GuestKind):
    cdef readonly object costs
    cdef readonly object operations
    cdef ProcessState* state
    cdef object pool
    cdef const double* weights
    cdef int num_operations
    cdef int64_t time_ns[2][16]     # of each operation: paravirtualised, fully virtualised
    cdef int64_t hypercalls[2][16]
    cdef int64_t entries[2][16]
    cdef int64_t updates[16]        # page-table entries that a paravirtualised guest changes
    cdef int64_t pins[16]           # and pages that it has validated as tables, or released again
    cdef void _next(self, int v, int64_t now_ns) noexcept nogil
