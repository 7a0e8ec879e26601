"""The nouns of page tables: frames with types, an address space, what a guest's kernel has pending.

A frame of a paravirtualised domain has one *type* at a time: it is a page directory (PD), a page table (PT), a local or
global descriptor table (LDT, GDT), or data that is mapped writable (RW); and a count of references that need it to be that.
Only at count 0 may it become something else. So a guest can read its page tables and cannot write them: a frame that is a
table cannot have a writable mapping, and the other way round (Barham et al. 2003, section 3.3.3). Frames that are used
alike stand together, so that a table of any size costs the same. The dtypes are derived from these structs
(`page_table_state.pyx`).
"""
from libc.stdint cimport int32_t, int64_t

cdef enum:
    FRAME_RW = 0
    FRAME_PD = 1
    FRAME_PT = 2
    FRAME_LDT = 3
    FRAME_GDT = 4

# Frames that are used alike.
cdef struct Frames:
    int64_t pages
    int64_t count             # references to each that need its type
    int32_t type              # which it keeps at count 0, until it is given another
    int32_t is_pinned         # one of the references is the kernel's pin: they stay validated though nobody uses them

# What a guest's kernel asks of Xen, and what that has come to. Costs in ns, as in `machine.privilege.PrivilegeCosts`.
cdef struct PageTables:
    int64_t entry_ns          # costs
    int64_t validate_ns
    int64_t update_ns
    int64_t pin_ns
    int64_t change_base_ns
    int64_t pending           # updates that have not gone to Xen yet
    int64_t time_ns           # CPU time so far
    int64_t hypercalls
    int64_t entries           # them, and faults
    int64_t updates           # entries changed
    int64_t validated_pages   # frames whose contents were checked as a whole
    int64_t tlb_flushes
    int64_t refused           # asked for a type that a frame could not have

# The page tables of one process.
cdef struct AddressSpace:
    Frames directory          # one page
    Frames tables
    Frames data               # its own writable pages
    int32_t is_alive
    int32_t is_current        # the base of the page tables points to it
