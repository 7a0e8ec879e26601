"""State of the programs whose demand for memory changes (`memory_worker.pyx`)."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.guests.server cimport QueueKind
from xengym.machine.migration_state cimport MAX_REGIONS
from xengym.sim.random cimport Distribution

cdef enum:
    MAX_PHASES = 16

# Of a domain.
cdef struct MemoryWork:
    Distribution arrival
    Distribution service
    uint64_t arrival_key
    uint64_t arrival_counter
    uint64_t service_key
    uint64_t service_counter
    uint64_t demand_key       # lengths of phases: the same whatever memory it has
    uint64_t demand_counter
    uint64_t fault_key        # roundings of faults
    uint64_t fault_counter
    int64_t phase_ns[16]
    int64_t phase_pages[16]   # working set of each phase
    double spread             # of the phases' lengths: each is uniform in mean * (1 -+ spread)
    double region_pages[8]    # parts of the working set, most touched a page first
    double region_touches[8]  # parts of all touches that go there
    double write_frac         # of evicted pages, those that have been written to since they were read
    int64_t touches           # of each request
    int64_t working_pages     # now
    int64_t next_arrival_ns
    int64_t phase_end_ns
    int32_t phase
    int32_t num_phases
    int32_t num_regions
    int32_t starts_anywhere   # in a phase that is drawn

# Of a vCPU: the request that it works on, in pieces of CPU time with waits for the swap disk in between.
cdef struct Piece:
    int64_t work_ns           # of each further piece
    int64_t faults            # pages that are still to be read
    int64_t ahead             # and pages that are read with them
    int64_t disk_at_ns        # when the read under way is done, or 0: none is
    int64_t waited_from_ns

cdef class MemoryWorkerKind(QueueKind):
    cdef MemoryWork* work
    cdef Piece* piece
    cdef int64_t fault_ns[2]        # CPU time of a page fault: paravirtualised, fully virtualised
    cdef int64_t fault_entries[2]
    cdef int64_t fault_hypercalls[2]
    cdef readonly object costs
    cdef void _begin_with(self, int d) noexcept nogil
    cdef int64_t _room(self, int d) noexcept nogil
    cdef void _enter_phase(self, int d, int phase, int64_t now_ns) noexcept nogil
    cdef void _set_working_set(self, int d, int64_t pages) noexcept nogil
    cdef void _evict(self, int d, int64_t pages) noexcept nogil
    cdef double _missing_part(self, int d) noexcept nogil
    cdef int64_t _rounded(self, int d, double pages) noexcept nogil
    cdef void _arm(self, int d) noexcept nogil
