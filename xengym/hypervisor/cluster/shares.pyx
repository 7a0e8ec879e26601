"""What each gets in the steady state: a host's CPU among domains, links among moves.

*Credit.* Every domain with something to do gets CPU in proportion to its weight, never more than it can use: its demand, its
cap, and one pCPU for each of its vCPUs. What it leaves is shared among the others in the same way. That is weighted max-min,

    granted_i = min(limit_i, weight_i x),    sum of granted_i = min(capacity, sum of limit_i) .

*SEDF.* Each domain first gets its reservation (as far as it uses it); what is left goes to the domains with the extra-time
flag, equally for each vCPU, up to their limits. If reservations exceed the host (moves take Dom0 more than was foreseen),
all are cut in proportion.

*Links.* A move takes the least of what the links of its way leave it. The rates are max-min fair: none can be raised
without lowering one that is not larger (Bertsekas and Gallager, Data Networks, 2nd edition, section 6.5.2). Found by filling
all moves at the same level until a link is full.

Simplified against the schedulers themselves: time slices, wake-ups and the placement of vCPUs have no influence, and SEDF,
which never moves a vCPU to another pCPU, is treated as if it packed them perfectly.
"""
from libc.stdint cimport uint8_t
from xengym.machine.cluster_state cimport ClusterLink, ClusterMove

import numpy as np


cdef void share_by_weight(int n, const double* limit, const double* weight, double capacity, double* granted) noexcept nogil:
    cdef double total = 0.0, left, weights, level
    cdef int i, num_open, was_open
    for i in range(n):
        total += limit[i]
    if total <= capacity:
        for i in range(n):
            granted[i] = limit[i]
        return
    for i in range(n):
        granted[i] = -1.0
    left = capacity if capacity > 0.0 else 0.0
    num_open = n
    while num_open > 0:
        weights = 0.0
        for i in range(n):
            if granted[i] < 0.0:
                weights += weight[i]
        level = left / weights if weights > 0.0 else 0.0
        was_open = num_open
        for i in range(n):
            if granted[i] < 0.0 and limit[i] <= weight[i] * level:
                granted[i] = limit[i]
                left -= limit[i]
                num_open -= 1
        if num_open == was_open:
            for i in range(n):
                if granted[i] < 0.0:
                    granted[i] = weight[i] * level
            return
        if left < 0.0:
            left = 0.0


cdef void share_by_reservation(
    int n, const double* limit, const double* reserved, const double* extra, double capacity, double* granted
) noexcept nogil:
    cdef double total = 0.0, used, part, left, weights, level, more
    cdef int i
    cdef bint has_filled = True
    for i in range(n):
        total += reserved[i]
    part = capacity / total if total > capacity else 1.0
    if part < 0.0:
        part = 0.0
    left = capacity
    for i in range(n):
        granted[i] = min(limit[i], reserved[i] * part)
        left -= granted[i]
    while has_filled and left > 0.0:
        weights = 0.0
        for i in range(n):
            if extra[i] > 0.0 and granted[i] < limit[i]:
                weights += extra[i]
        if weights <= 0.0:
            return
        level = left / weights
        has_filled = False
        for i in range(n):
            if extra[i] > 0.0 and granted[i] < limit[i] and limit[i] - granted[i] <= extra[i] * level:
                left -= limit[i] - granted[i]
                granted[i] = limit[i]
                has_filled = True
        if not has_filled:
            for i in range(n):
                if extra[i] > 0.0 and granted[i] < limit[i]:
                    granted[i] += extra[i] * level


cdef void share_links(
    int n, const int* chosen, const ClusterMove* move, const uint8_t* is_scarce, double* left, int* users, uint8_t* is_fixed,
    double* granted
) noexcept nogil:
    cdef int num_open = n
    cdef int i, k, l
    cdef double level, fair
    cdef bint has_small
    cdef const ClusterMove* m
    for i in range(n):
        is_fixed[i] = 0
    while num_open > 0:
        level = -1.0
        for i in range(n):
            if is_fixed[i]:
                continue
            m = &move[chosen[i]]
            for k in range(m.num_links):
                l = m.links[k]
                if is_scarce[l]:
                    fair = left[l] / users[l] if left[l] > 0.0 else 0.0
                    if level < 0.0 or fair < level:
                        level = fair
        has_small = False
        for i in range(n):
            m = &move[chosen[i]]
            if not is_fixed[i] and (level < 0.0 or <double>m.wanted_bytes_per_s <= level):
                granted[i] = <double>m.wanted_bytes_per_s
                is_fixed[i] = 2
                has_small = True
        if not has_small:
            for i in range(n):
                if is_fixed[i]:
                    continue
                m = &move[chosen[i]]
                for k in range(m.num_links):
                    l = m.links[k]
                    if is_scarce[l] and (left[l] / users[l] if left[l] > 0.0 else 0.0) <= level:
                        granted[i] = level
                        is_fixed[i] = 2
                        break
        for i in range(n):
            if is_fixed[i] == 2:
                is_fixed[i] = 1
                num_open -= 1
                m = &move[chosen[i]]
                for k in range(m.num_links):
                    l = m.links[k]
                    if is_scarce[l]:
                        left[l] -= granted[i]
                        users[l] -= 1


def weighted_shares(limits, weights, double capacity):
    """Shares under Credit.

    Args:
        limits: ``(n,)``, what each can use, in pCPUs.
        weights: ``(n,)``, positive.
        capacity: pCPUs to share.

    Returns:
        ``(n,)`` float64, what each gets.
    """
    cdef double[::1] limit = np.ascontiguousarray(limits, dtype=np.float64)
    cdef double[::1] weight = np.ascontiguousarray(weights, dtype=np.float64)
    cdef int n = limit.shape[0]
    granted = np.zeros(n)
    cdef double[::1] out = granted
    if weight.shape[0] != n:
        raise ValueError(f"weighted_shares: expected as many weights as limits, found {weight.shape[0]} and {n}")
    if n:
        share_by_weight(n, &limit[0], &weight[0], capacity, &out[0])
    return granted


def reserved_shares(limits, reservations, extra, double capacity):
    """Shares under SEDF.

    Args:
        limits: ``(n,)``, what each can use, in pCPUs.
        reservations: ``(n,)``, pCPUs.
        extra: ``(n,)``, proportion in which what is left is shared; 0: no extra time.
        capacity: pCPUs to share.

    Returns:
        ``(n,)`` float64, what each gets.
    """
    cdef double[::1] limit = np.ascontiguousarray(limits, dtype=np.float64)
    cdef double[::1] reserved = np.ascontiguousarray(reservations, dtype=np.float64)
    cdef double[::1] more = np.ascontiguousarray(extra, dtype=np.float64)
    cdef int n = limit.shape[0]
    granted = np.zeros(n)
    cdef double[::1] out = granted
    if reserved.shape[0] != n or more.shape[0] != n:
        raise ValueError("reserved_shares: expected arrays of one length")
    if n:
        share_by_reservation(n, &limit[0], &reserved[0], &more[0], capacity, &out[0])
    return granted
