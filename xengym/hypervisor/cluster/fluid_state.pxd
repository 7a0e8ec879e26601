"""What the fluid cluster is made of, and what its hosts do between two changes (`fluid_state.pyx`)."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from xengym.machine.cluster_state cimport ClusterArrays, ClusterDomain
from xengym.machine.migration_state cimport Migration, WorkingSet

cdef class FluidState:
    cdef readonly object spec
    cdef readonly object arena
    cdef object demand_table      # kept alive
    cdef object client_table
    cdef object arrival_records
    cdef object arrival_sets
    cdef object move_template
    cdef object scratch           # NumPy arrays behind the pointers below
    cdef ClusterArrays a
    cdef Migration* migration
    cdef WorkingSet* working_set
    cdef int64_t* move_end        # of each move: when its stage ends, as things stand
    cdef const uint16_t* demand
    cdef const uint16_t* clients
    cdef const ClusterDomain* arrival
    cdef const WorkingSet* arrival_set
    cdef const Migration* template
    cdef double short_frac        # part of its demand that a domain may miss without its being a violation
    cdef int num_samples
    cdef int num_client_samples
    cdef int num_arrivals
    cdef int num_links
    # Scratch, empty between two calls from outside.
    cdef int* stale               # hosts whose shares are to be computed anew
    cdef int num_stale
    cdef int* dirty_link          # links whose load has changed
    cdef int num_dirty
    cdef uint8_t* link_mark
    cdef uint8_t* move_changed    # moves that want another rate, and a list of them
    cdef int* changed
    cdef int num_changed
    cdef uint8_t* move_stale      # moves whose end is to be foreseen anew, and a list of them
    cdef int* blurred
    cdef int num_blurred
    cdef Migration* ahead         # what foreseeing a move's end has come to, while nothing has changed since
    cdef WorkingSet* ahead_set
    cdef uint8_t* has_ahead
    cdef int* members             # domains of the host at hand, and what they can use
    cdef double* limit
    cdef double* weight
    cdef double* extra
    cdef double* granted
    cdef int* chosen              # moves among which links are shared
    cdef double* move_granted
    cdef uint8_t* is_fixed
    cdef double* left
    cdef int* users
    cdef void* mask_scratch

    cdef void touch(self, int h) noexcept nogil
    cdef void keep_books(self, int h) noexcept nogil
    cdef void refresh_traffic(self, int h) noexcept nogil
    cdef void refresh_shares(self, int h) noexcept nogil
    cdef void load_link(self, int l, int64_t more_guest_bytes_per_s, int64_t more_wanted_bytes_per_s) noexcept nogil
    cdef double link_room(self, int l) noexcept nogil
    cdef void set_demand(self, int d) noexcept nogil
    cdef void refresh_demand(self) noexcept nogil
    cdef void refresh_sites(self) noexcept nogil
    cdef void keep_remote_books(self) noexcept nogil
    cdef void link_domain(self, int d, int h) noexcept nogil
    cdef void unlink_domain(self, int d) noexcept nogil
    cdef void sum_reservations(self, int h) noexcept nogil
    cdef int admit(self, const ClusterDomain* d, const WorkingSet* ws, int host) noexcept nogil
    # Of the move that the domain takes part in (`fluid_moves`).
    cdef void set_activity(self, int move, double activity) noexcept nogil
