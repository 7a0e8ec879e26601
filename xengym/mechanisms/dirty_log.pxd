"""Shadow page tables while a domain's writes are logged: what the log costs the domain.

When the log is cleared Xen destroys the shadows, and those that it builds anew are read-only. So the first write to a page
after that faults: Xen sets the page's bit and makes its entry writable, and later writes cost nothing. And the first use of
each table builds its shadow again. Both are counted with the working set by regions, so a domain of any size costs the same
to simulate (Clark et al. 2005, section 5.2; counts as in `working_set`).
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport WorkingSet
from xengym.mechanisms.working_set cimport dirty_part, write_for

cdef inline double first_writes(WorkingSet* ws, int64_t dt_ns, double activity) noexcept nogil:
    """Let the domain run for so long; pages that it writes for the first time since the log was cleared (expected)."""
    cdef double before = 0.0, after = 0.0
    cdef int i
    for i in range(ws.num_regions):
        before += dirty_part(ws, i) * <double>ws.pages[i]
    write_for(ws, dt_ns, activity, False)
    for i in range(ws.num_regions):
        after += dirty_part(ws, i) * <double>ws.pages[i]
    return after - before

cdef inline double rebuilt_tables(const WorkingSet* ws, int64_t pages_a_table) noexcept nogil:
    """Tables whose shadows the writes since the log was cleared have made Xen build again (expected).

    A table of a region is built with the first write to any of its pages. Pages of one table are written independently,
    so it is still missing with the probability that none of them was.
    """
    cdef double tables, clean, missing, total = 0.0
    cdef int64_t left
    cdef int i
    for i in range(ws.num_regions):
        if ws.pages[i] <= 0:
            continue
        tables = <double>((ws.pages[i] + pages_a_table - 1) // pages_a_table)
        clean = 1.0 - dirty_part(ws, i)
        missing = 1.0
        left = min(pages_a_table, ws.pages[i])
        while left > 0:  # clean ** left, by squaring
            if left & 1:
                missing *= clean
            clean *= clean
            left >>= 1
        total += tables * (1.0 - missing)
    return total

cdef inline double log_cost_ns(double faults, double tables, int64_t exit_ns, int64_t update_ns, int64_t base_ns) noexcept nogil:
    """CPU time that so many write faults and rebuilt tables take from the domain."""
    return faults * <double>(exit_ns + update_ns) + tables * <double>base_ns
