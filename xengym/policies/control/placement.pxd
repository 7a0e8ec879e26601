"""Which hosts a domain may go to, and which of them is chosen: Dom0's admission and placement in a cluster (`placement.pyx`)."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from xengym.machine.cluster_state cimport ClusterArrays, ClusterDomain

cdef enum:
    PLACE_FIRST_FIT = 0
    PLACE_BEST_FIT = 1
    PLACE_WORST_FIT = 2
    PLACE_BALANCE = 3

# Whether the host has what the domain needs: a reason code, 0 if it has. The domain need not have a slot yet.
cdef int fit_reason(const ClusterArrays* a, const ClusterDomain* d, int host) noexcept nogil
# Whether the domain in a slot may be moved to the host now: a reason code, 0 if it may.
cdef int move_reason(const ClusterArrays* a, int domain, int host) noexcept nogil
# The host that the rule chooses, or -1 and the reason of the one that came closest.
cdef int choose_host(const ClusterArrays* a, const ClusterDomain* d, int rule, int* reason) noexcept nogil
# All moves that may be ordered now: [domain * num_hosts + host]. `scratch`: `mask_scratch_bytes` of it.
cdef void fill_move_mask(const ClusterArrays* a, uint8_t* mask, void* scratch) noexcept nogil
cdef int64_t mask_scratch_bytes(const ClusterArrays* a) noexcept nogil
