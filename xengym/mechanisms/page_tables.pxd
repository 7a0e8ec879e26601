"""Direct page tables: the guest's kernel owns them, Xen validates every change.

Changes are queued in the guest and go to Xen up to 2048 at a time; whatever else is asked of Xen that depends on them
(another base, a pin, a flush of the TLB) sends them first. A frame that becomes a table is validated as a whole, entry by
entry, when its count of references leaves 0; pinned, it keeps a reference, so that the next switch to it costs nothing
more. What an operation costs is what `machine.privilege` says for its steps; the tests hold the two against each other.

Nothing here costs more in a domain with more memory, but for validation and release, which take each table in turn as Xen
does: a process with twice the memory has twice the tables.
"""
from libc.stdint cimport int64_t
from xengym.machine.page_table_state cimport (
    FRAME_PD, FRAME_PT, FRAME_RW, AddressSpace, Frames, PageTables,
)

cdef enum:
    BATCH_UPDATES = 2048

cdef inline void hypercall(PageTables* t, int64_t beyond_entry_ns) noexcept nogil:
    t.time_ns += t.entry_ns + beyond_entry_ns
    t.hypercalls += 1
    t.entries += 1

# -- updates -----------------------------------------------------------------------------------------------------

cdef inline void flush_updates(PageTables* t) noexcept nogil:
    """Send what is pending, in as many hypercalls as it takes."""
    cdef int64_t batch
    while t.pending > 0:
        batch = min(t.pending, <int64_t>BATCH_UPDATES)
        t.pending -= batch
        t.updates += batch
        hypercall(t, batch * t.update_ns)

cdef inline void queue_updates(PageTables* t, int64_t count) noexcept nogil:
    """Change so many entries some time before anything depends on it; full batches go at once."""
    t.pending += count
    while t.pending >= BATCH_UPDATES:
        t.pending -= BATCH_UPDATES
        t.updates += BATCH_UPDATES
        hypercall(t, BATCH_UPDATES * t.update_ns)

cdef inline void install_entry(PageTables* t) noexcept nogil:
    """Change one entry at once, its TLB entry included."""
    flush_updates(t)
    t.updates += 1
    hypercall(t, t.validate_ns)

cdef inline void take_fault(PageTables* t) noexcept nogil:
    """A fault enters Xen, which passes it on; what is pending may wait."""
    t.time_ns += t.entry_ns
    t.entries += 1

cdef inline void flush_tlb(PageTables* t) noexcept nogil:
    """Forget translations; the entries that have been changed are changed before."""
    flush_updates(t)
    t.tlb_flushes += 1
    hypercall(t, 0)

# -- types -------------------------------------------------------------------------------------------------------

cdef inline bint get_type(PageTables* t, Frames* frames, int type) noexcept nogil:
    """One more reference to each frame that needs it to be `type`; False if it is in use as something else."""
    if frames.count > 0 and frames.type != type:
        t.refused += 1
        return False
    if frames.count == 0:
        frames.type = type
        if type != FRAME_RW:
            t.validated_pages += frames.pages
            t.time_ns += frames.pages * t.pin_ns
    frames.count += 1
    return True

cdef inline bint put_type(PageTables* t, Frames* frames) noexcept nogil:
    """One reference less; False if there is none but the pin."""
    if frames.count <= frames.is_pinned:
        t.refused += 1
        return False
    frames.count -= 1
    return True

cdef inline bint pin(PageTables* t, Frames* frames, int type) noexcept nogil:
    """Validate frames as tables and keep them so: a hypercall for each. False if they are pinned or cannot be that."""
    flush_updates(t)
    if frames.is_pinned or type == FRAME_RW:
        t.refused += 1
        return False
    if not get_type(t, frames, type):
        return False
    frames.is_pinned = 1
    t.time_ns += frames.pages * t.entry_ns
    t.hypercalls += frames.pages
    t.entries += frames.pages
    return True

cdef inline bint unpin(PageTables* t, Frames* frames) noexcept nogil:
    """Let go of pinned frames: a hypercall for each, and Xen goes through its entries once more to release them."""
    flush_updates(t)
    if not frames.is_pinned:
        t.refused += 1
        return False
    frames.is_pinned = 0
    frames.count -= 1
    t.time_ns += frames.pages * (t.entry_ns + t.pin_ns)
    t.hypercalls += frames.pages
    t.entries += frames.pages
    return True

cdef inline bint change_base(PageTables* t, Frames* old, Frames* new) noexcept nogil:
    """Load another page directory (`old`: NULL at first); one that nobody has validated is validated now."""
    flush_updates(t)
    if not get_type(t, new, FRAME_PD):
        return False
    if old != NULL:
        put_type(t, old)
    hypercall(t, t.change_base_ns)
    return True

# -- address spaces ----------------------------------------------------------------------------------------------

cdef inline bint create_space(PageTables* t, AddressSpace* space, int64_t tables, int64_t data_pages) noexcept nogil:
    """Fork's or exec's new page tables: filled while they are data, then pinned. False if there is one already."""
    if space.is_alive:
        t.refused += 1
        return False
    space.directory.pages = 1
    space.tables.pages = tables
    space.data.pages = data_pages
    space.directory.count = space.tables.count = space.data.count = 0
    space.directory.is_pinned = space.tables.is_pinned = space.data.is_pinned = 0
    space.is_alive = 1
    space.is_current = 0
    get_type(t, &space.data, FRAME_RW)
    pin(t, &space.tables, FRAME_PT)
    pin(t, &space.directory, FRAME_PD)
    return True

cdef inline bint switch_space(PageTables* t, AddressSpace* old, AddressSpace* new) noexcept nogil:
    """Change the base of the page tables (`old`: NULL at first)."""
    if not new.is_alive or new.is_current or not change_base(t, &old.directory if old != NULL else NULL, &new.directory):
        t.refused += 1
        return False
    if old != NULL:
        old.is_current = 0
    new.is_current = 1
    return True

cdef inline bint destroy_space(PageTables* t, AddressSpace* space) noexcept nogil:
    """Exit's, or exec's of what was there before: everything is released. False for the one in use."""
    if not space.is_alive or space.is_current:
        t.refused += 1
        return False
    unpin(t, &space.directory)
    unpin(t, &space.tables)
    put_type(t, &space.data)
    space.is_alive = 0
    return True
