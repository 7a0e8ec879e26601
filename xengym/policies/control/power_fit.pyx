# No .pxd: only Python uses it.
"""Best-fit decreasing by power: the inner loop of consolidation.

Each domain goes to the host whose power it raises least: by (busy - idle) / capacity for each pCPU that it demands, and by the
idle power if the host has to be kept on for it alone. Among hosts alike in this the fullest one is taken. A host takes a
domain only if its memory fits and the demand of all its domains stays within a limit. After Beloglazov and Buyya,
Concurrency and Computation 24(13), 2012, algorithm 2 (PABFD).
"""
from libc.stdint cimport int32_t, int64_t, uint8_t


def fit_all(
    const int64_t[::1] order, const double[::1] domain_demand, const int64_t[::1] domain_pages, const uint8_t[:, ::1] mask,
    const uint8_t[::1] is_allowed, int64_t[::1] free_pages, double[::1] demand, const double[::1] limit,
    const double[::1] watts_a_pcpu, const double[::1] idle_watts, int32_t[::1] num_domains, int32_t[::1] may_come,
    int64_t[::1] out, bint all_or_none,
):
    """Place domains one after another; the hosts' arrays are brought up to date as if the moves were done.

    Args:
        order: slots of domains.
        domain_demand: ``(slots,)``, pCPUs.
        domain_pages: ``(slots,)``.
        mask: ``(slots, hosts)``: moves that are possible at all.
        is_allowed: ``(hosts,)``: may be a target.
        free_pages, demand, num_domains: ``(hosts,)``, changed.
        limit: ``(hosts,)``: most demand.
        watts_a_pcpu, idle_watts: ``(hosts,)``.
        may_come: ``(hosts,)``, moves that may still come, changed.
        out: as long as ``order``: host of each, or -1; changed.
        all_or_none: if one cannot be placed, nothing is changed, and the result is 0.

    Returns:
        How many were placed.
    """
    cdef int num_hosts = free_pages.shape[0]
    cdef int placed = 0
    cdef int i, j, k, best
    cdef int64_t d, pages
    cdef double want, rise, room, best_rise, best_room
    with nogil:
        for i in range(order.shape[0]):
            d = order[i]
            want = domain_demand[d]
            pages = domain_pages[d]
            best = -1
            best_rise = best_room = 0.0
            for j in range(num_hosts):
                if not (is_allowed[j] and mask[d, j]) or free_pages[j] < pages or may_come[j] <= 0:
                    continue
                room = limit[j] - demand[j] - want
                if room < 0.0:
                    continue
                rise = watts_a_pcpu[j] * want
                if num_domains[j] == 0:
                    rise += idle_watts[j]
                if best < 0 or rise < best_rise or (rise == best_rise and room < best_room):
                    best = j
                    best_rise = rise
                    best_room = room
            out[i] = best
            if best >= 0:
                free_pages[best] -= pages
                demand[best] += want
                num_domains[best] += 1
                may_come[best] -= 1
                placed += 1
            elif all_or_none:
                for k in range(i):
                    j = out[k]
                    free_pages[j] += domain_pages[order[k]]
                    demand[j] -= domain_demand[order[k]]
                    num_domains[j] -= 1
                    may_come[j] += 1
                placed = 0
                break
    return placed
