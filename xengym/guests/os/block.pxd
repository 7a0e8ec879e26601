"""A guest's side of its virtual block devices (`block.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.guests.os.block_back cimport OsBlockBack
from xengym.machine.block_state cimport BlockOp, BlockRecord, BlockRequest, Vbd

cdef class OsBlock(OsBlockBack):
    cdef readonly int num_records    # operations done that `block_records` keeps
    cdef BlockRecord* block_record
    cdef int64_t* num_recorded
    cdef int64_t blk_stack_ns
    cdef int64_t blk_done_ns
    cdef int64_t blk_front_ns
    cdef int64_t blk_front_segment_ns
    cdef int64_t blk_inline_ns
    cdef int64_t exit_ns
    cdef int64_t blk_exits_ns

    # For programs: domain d reads or writes on its block device; `block_done` comes with the cookie when all is done.
    # False: it has no device, or too much under way.
    cdef bint submit_block(
        self, int d, int64_t sector, int64_t bytes, bint is_write, bint is_barrier, int cookie) noexcept nogil
    cdef bint submit_to(
        self, int i, int64_t sector, int64_t bytes, bint is_write, bint is_barrier, int cookie) noexcept nogil
    cdef void block_done(self, int d, int cookie, bint failed) noexcept nogil

    cdef int64_t _put_ns(self, Vbd* vbd, int num_segments) noexcept nogil
    cdef int _grants_left(self, Vbd* vbd) noexcept nogil
    cdef int64_t _begin_block_front(self, int v, int i) noexcept nogil
    cdef void _finish_block_front(self, int v, int i) noexcept nogil
    cdef int64_t _plan_puts(self, int i, int32_t* count) noexcept nogil
    cdef int _next_request(self, int i) noexcept nogil
    cdef void _put_in_block_ring(self, int i, int id, unsigned int position) noexcept nogil
    cdef void _publish(self, int i, unsigned int count) noexcept nogil
    cdef void _harvest_answer(self, int i, int id) noexcept nogil
    cdef void _op_done(self, int i, int number, bint failed) noexcept nogil
