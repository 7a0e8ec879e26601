"""The buffer of a guest that copies itself: pages that its own copying dirties while everything else stands still.

Clark et al., NSDI 2005, section 4.3: the final stop has two stages. First all but the migration stands still, and the dirty
bitmap is gone through a last time, each bit cleared as its page is sent; a page that is dirtied during that is copied to a
shadow buffer, as it is then. Then the buffer is sent, and what is written meanwhile does not count. So the destination gets
the memory as it was at the end of the first stage, however long the second one lasts.

The copying writes to pages of its own, at random: of `n` pages, written `u` times a second for `t`, `n (1 - exp(-u t / n))` are
in the buffer. Expected values, as everywhere in the memory model; the tests hold them against single pages.
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport PATTERN_RANDOM
from xengym.mechanisms.working_set cimport written_part

cdef inline int64_t buffered_pages(int64_t own_pages, double writes_per_s, int64_t dt_ns) noexcept nogil:
    """Different pages that the copying has dirtied in so long."""
    if own_pages <= 0 or dt_ns <= 0:
        return 0
    return <int64_t>(
        written_part(PATTERN_RANDOM, writes_per_s * <double>dt_ns * 1e-9 / <double>own_pages) * <double>own_pages + 0.5
    )
