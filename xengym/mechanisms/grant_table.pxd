"""Grant tables: a domain lets another use one of its pages (Xen: grant, map, unmap, copy, transfer).

A grant that is mapped cannot be taken back: `grant_end` refuses then, as Xen does, and the page stays granted until it
is unmapped.
"""
from xengym.machine.io_state cimport MAX_GRANTS, Grant, GrantTable

cdef inline void grant_reset(GrantTable* table, Grant* entry) noexcept nogil:
    cdef int i
    for i in range(MAX_GRANTS):
        entry[i].peer = -1
        entry[i].num_mapped = 0
        entry[i].next_free = i + 1 if i + 1 < MAX_GRANTS else -1
    table.first_free = 0
    table.num_granted = 0
    table.refused = 0
    table.num_maps = 0
    table.num_copies = 0
    table.num_transfers = 0

cdef inline int grant_access(GrantTable* table, Grant* entry, int peer) noexcept nogil:
    """Grant a page to a domain; the reference, or -1 if the table is full."""
    cdef int ref = table.first_free
    if ref >= 0:
        table.first_free = entry[ref].next_free
        entry[ref].peer = peer
        entry[ref].next_free = -1
        table.num_granted += 1
    return ref

cdef inline bint grant_map(GrantTable* table, Grant* entry, int ref, int peer) noexcept nogil:
    """Map a granted page; refused to any other domain than the one it is granted to."""
    if ref < 0 or entry[ref].peer != peer:
        return False
    entry[ref].num_mapped += 1
    table.num_maps += 1
    return True

cdef inline void grant_unmap(Grant* entry, int ref) noexcept nogil:
    entry[ref].num_mapped -= 1

cdef inline bint grant_copy(GrantTable* table, Grant* entry, int ref, int peer) noexcept nogil:
    """Copy from or to a granted page by hypercall, without mapping it."""
    if ref < 0 or entry[ref].peer != peer:
        return False
    table.num_copies += 1
    return True

cdef inline bint grant_transfer(GrantTable* table, Grant* entry, int ref, int peer) noexcept nogil:
    """Give a page of the peer to the domain in exchange for the empty place that it offers under this reference."""
    if ref < 0 or entry[ref].peer != peer:
        return False
    table.num_transfers += 1
    return True

cdef inline bint grant_end(GrantTable* table, Grant* entry, int ref) noexcept nogil:
    """Take a grant back; refused while the page is mapped."""
    if ref < 0 or entry[ref].peer < 0:
        return False
    if entry[ref].num_mapped > 0:
        table.refused += 1
        return False
    entry[ref].peer = -1
    entry[ref].next_free = table.first_free
    table.first_free = ref
    table.num_granted -= 1
    return True
