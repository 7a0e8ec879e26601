"""A host's CPU in the steady state, and links among moves (`shares.pyx`)."""
from libc.stdint cimport uint8_t
from xengym.machine.cluster_state cimport ClusterLink, ClusterMove

# Weighted max-min: granted[i] = min(limit[i], weight[i] x), with x as large as `capacity` allows.
cdef void share_by_weight(int n, const double* limit, const double* weight, double capacity, double* granted) noexcept nogil
# Reservations first, in proportion if they do not fit; what is left to those with extra[i] > 0, in its proportion.
cdef void share_by_reservation(
    int n, const double* limit, const double* reserved, const double* extra, double capacity, double* granted
) noexcept nogil
# Max-min over links for the moves whose slots are in `chosen`; only links with is_scarce[l] limit. What each gets goes to
# granted[i]. left: what each scarce link has; users: how many of the chosen use it (both are used up).
cdef void share_links(
    int n, const int* chosen, const ClusterMove* move, const uint8_t* is_scarce, double* left, int* users, uint8_t* is_fixed,
    double* granted
) noexcept nogil
