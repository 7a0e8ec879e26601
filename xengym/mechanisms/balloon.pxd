"""Memory reservations: a domain gives page frames back to Xen, or asks for more (Xen: decrease, increase reservation).

Counts of pages change here and nowhere else. Pages of all domains and free ones are the host's at any moment; nobody owns
more than its maximum.
"""
from libc.stdint cimport int64_t
from xengym.machine.memory_state cimport BATCH_PAGES, DomainMemory
from xengym.machine.state cimport Machine

cdef inline int64_t spare_pages(Machine* m) noexcept nogil:
    """Free pages that are not promised to anybody."""
    return m.host_memory.free_pages - m.host_memory.lent_pages

cdef inline int64_t grantable_pages(Machine* m, int d, int64_t wanted) noexcept nogil:
    """How many of so many more pages domain slot d would get now."""
    cdef DomainMemory* memory = &m.memory[d]
    cdef int64_t pages = min(wanted, memory.max_pages - memory.pages - memory.lent_pages, spare_pages(m))
    return pages if pages > 0 else 0

cdef inline int64_t increase_reservation(Machine* m, int d, int64_t wanted) noexcept nogil:
    """Domain slot d asks for so many pages; returns how many it got."""
    cdef int64_t pages = grantable_pages(m, d, wanted)
    m.memory[d].pages += pages
    m.host_memory.free_pages -= pages
    return pages

cdef inline int64_t decrease_reservation(Machine* m, int d, int64_t given) noexcept nogil:
    """Domain slot d gives so many pages back; returns how many it had."""
    cdef int64_t pages = min(given, m.memory[d].pages)
    m.memory[d].pages -= pages
    m.host_memory.free_pages += pages
    return pages

cdef inline int64_t next_batch(Machine* m, int d) noexcept nogil:
    """Pages that its balloon moves next on the way to its target: > 0 to ask for, < 0 to give back, 0: it is there.

    The target counts between floor and maximum; what the host has free is found out by asking.
    """
    cdef DomainMemory* memory = &m.memory[d]
    cdef int64_t target = max(min(memory.target_pages, memory.max_pages), memory.floor_pages)
    return max(min(target - memory.pages - memory.lent_pages, <int64_t>BATCH_PAGES), -<int64_t>BATCH_PAGES)

cdef inline void page_lent(Machine* m, int d) noexcept nogil:
    """Domain slot d gives Xen a page to exchange for one with a packet in it."""
    m.memory[d].pages -= 1
    m.memory[d].lent_pages += 1
    m.host_memory.free_pages += 1
    m.host_memory.lent_pages += 1

cdef inline void page_returned(Machine* m, int d) noexcept nogil:
    """It gets one for it."""
    m.memory[d].pages += 1
    m.memory[d].lent_pages -= 1
    m.host_memory.free_pages -= 1
    m.host_memory.lent_pages -= 1
