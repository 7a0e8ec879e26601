"""The disk that guests swap to: one queue, first come first served."""
from libc.stdint cimport int64_t
from xengym.machine.memory_state cimport HostMemory
from xengym.machine.state cimport Machine

cdef inline int64_t use_swap_disk(Machine* m, int64_t reads, int64_t ahead_pages, int64_t written_pages) noexcept nogil:
    """Ask for so much, after all that others have asked for; returns the instant at which it is done.

    A read finds a page; those that lie next to it (`ahead_pages`, of all reads) only have to be transferred.
    """
    cdef HostMemory* memory = m.host_memory
    cdef int64_t busy_ns = reads * m.swap_in_ns + ahead_pages * m.swap_ahead_ns + written_pages * m.swap_out_ns
    if memory.swap_free_at_ns < m.clock.now_ns:
        memory.swap_free_at_ns = m.clock.now_ns
    memory.swap_free_at_ns += busy_ns
    memory.swap_busy_ns += busy_ns
    return memory.swap_free_at_ns
