"""Rate laws and stop rules of live migration (described in `precopy_rules.pxd`)."""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport MAX_ROUNDS, Migration

#: Names by number.
LAWS = ("paper", "shipped", "constant")
STOP_RULES = ("paper", "shipped", "rounds", "asked")

cdef double PAGE_BYTES = 4096.0
cdef double LAST_BYTES = 256.0 * 1024     # Clark et al., section 4.2
cdef int LAST_PAGES = 50                  # xc_linux_save, as the next two
cdef int MORE_ROUNDS = 29
cdef int64_t MOST_TIMES_MEMORY = 3


cdef double _next_rate(const Migration* g, double dirty_bytes_per_s) noexcept nogil:
    """What the law asks for, not yet limited from above."""
    if g.law == LAW_PAPER or (g.law == LAW_SHIPPED and dirty_bytes_per_s > g.rate_bytes_per_s):
        return max(g.min_bytes_per_s, dirty_bytes_per_s + g.step_bytes_per_s)
    return g.rate_bytes_per_s


cdef RoundAnswer after_round(const Migration* g, int64_t memory_pages) noexcept nogil:
    """A round has ended; what next? `memory_pages`: of the domain. Rounds up to 40 are looked at."""
    cdef int last = min(g.round, MAX_ROUNDS) - 1
    cdef double seconds = <double>g.round_ns_of[last] * 1e-9
    cdef double dirty_bytes = <double>g.dirtied_pages_of[last] * PAGE_BYTES
    cdef double asked = _next_rate(g, dirty_bytes / seconds if seconds > 0.0 else 0.0)
    cdef bint has_grown = last > 0 and g.sent_pages_of[last] > g.sent_pages_of[last - 1]
    cdef RoundAnswer answer
    answer.rate_bytes_per_s = min(asked, g.max_bytes_per_s)
    answer.stops = g.round >= MAX_ROUNDS
    if g.stop_rule == STOP_SHIPPED:
        answer.stops |= (
            (has_grown and g.rate_bytes_per_s >= g.max_bytes_per_s)
            or g.round > MORE_ROUNDS
            or g.sent_pages_of[last] + g.skipped_pages_of[last] < LAST_PAGES
            or g.sent_bytes > <int64_t>PAGE_BYTES * MOST_TIMES_MEMORY * memory_pages
        )
    elif g.stop_rule == STOP_ROUNDS:
        answer.stops |= g.round >= g.max_rounds
    elif g.stop_rule != STOP_ASKED:
        answer.stops |= asked > g.max_bytes_per_s or dirty_bytes < LAST_BYTES
    return answer
