"""The nouns of a host's memory: who owns how many of its page frames, and what a domain does with its own.

A page has two numbers. *Machine frames* (`mfn`) are the host's, each owned by one domain or free. *Guest frames* (`gfn`, in
Barham et al. pseudo-physical) are a domain's, from 0 to its maximum, the same as long as it lives; those that the balloon
holds have no machine frame behind them. Nothing in the model depends on which frame is which, so frames are counted: a
domain's `pages` are its guest frames that have a machine frame, `max_pages - pages` are in the balloon. The dtypes are
derived from these structs (`memory_state.pyx`).
"""
from libc.stdint cimport int32_t, int64_t

cdef enum:
    BATCH_PAGES = 2048        # that one hypercall moves at most (Barham et al. 2003, section 3.3.3)

# What belongs to the host as a whole.
cdef struct HostMemory:
    int64_t pages             # page frames that domains may own
    int64_t free_pages        # of them, those that belong to none
    int64_t lent_pages        # of these, those that domains get back (`DomainMemory.lent_pages`)
    int64_t swap_free_at_ns   # when the swap disk has done what it was asked for
    int64_t swap_busy_ns      # that it has been asked for in all

# Memory of one domain; zeros for a domain whose memory is not stated.
cdef struct DomainMemory:
    int64_t pages             # page frames that it owns
    int64_t lent_pages        # that it has given to Xen as receive buffers, and gets back with a packet in each
    int64_t max_pages         # that it may own at most
    int64_t floor_pages       # that its kernel needs and its balloon leaves it
    int64_t initial_pages     # that it was created with
    int64_t target_pages      # its balloon's target
    int64_t batch_pages       # of the hypercall under way: > 0 asks for pages, < 0 gives pages back
    int64_t inflated_pages    # given back so far
    int64_t deflated_pages    # got back so far
    int64_t refused           # batches that got nothing, for the host had nothing free
    int64_t hypercalls        # for the balloon, so far
    int64_t balloon_ns        # CPU time of its balloon driver
    # What its program needs, as far as it says so.
    int64_t wanted_pages      # its working set and its kernel
    int64_t resident_pages    # of the working set: in memory
    int64_t swapped_pages     # on the swap disk
    int64_t minor_faults      # first touches of a page
    int64_t major_faults      # those that waited for the swap disk
    int64_t ahead_pages       # read beside them, for they lay next to them
    int64_t evicted_pages     # taken from the working set
    int64_t written_pages     # of them, those that had to be written to the swap disk
    int64_t swap_wait_ns      # that its vCPUs have waited for the swap disk
    # Its page tables (`mechanisms/page_tables`).
    int64_t table_pages       # page frames that are page tables now
    int64_t table_updates     # entries changed so far
    int64_t table_pins        # pages validated as a whole or released again
    int32_t is_retrying       # its balloon waits until it asks once more
    int32_t reserved
