"""The back end of virtual block devices (`block_back.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.block_device cimport OsBlockDevice
from xengym.machine.block_state cimport BlockRequest

cdef class OsBlockBack(OsBlockDevice):
    cdef int64_t blk_back_ns
    cdef int64_t blk_back_segment_ns
    cdef int64_t blk_back_done_ns
    cdef int64_t blk_tap_wake_ns
    cdef int64_t blk_tap_ns
    cdef int64_t blk_tap_done_ns
    cdef int64_t blk_emulate_ns

    cdef int _pool_room(self, int d) noexcept nogil
    cdef bint _is_refused(self, int i, BlockRequest* request) noexcept nogil
    cdef void _to_disk(self, int i, int id) noexcept nogil
    cdef void _answer_block(self, int i, int id) noexcept nogil
    cdef void _notify_block_frontends(self, int d) noexcept nogil
    cdef int64_t _begin_back(self, int v, int i) noexcept nogil
    cdef int64_t _begin_tap(self, int d, int i, int most) noexcept nogil
    cdef void _finish_back(self, int v, int i) noexcept nogil
    cdef void take_direct(self, int n) noexcept nogil
