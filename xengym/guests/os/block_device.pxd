"""Virtual block devices (`block_device.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.disk cimport OsDisk
from xengym.machine.block_state cimport BLOCK_SPLIT, BLOCK_TAP, BlockOp, BlockRequest, Vbd

cdef class OsBlockDevice(OsDisk):
    cdef readonly int max_vbds
    cdef Vbd* vbd
    cdef BlockRequest* block_request  # BLOCK_SLOTS of each device, by id
    cdef BlockOp* block_op    # BLOCK_OPS of each device

    cdef Vbd* _vbd(self, int i) except NULL
    cdef void _no_grants(self, BlockRequest* request) noexcept nogil
    cdef bint _connect_vbd(self, int i, int backend) noexcept nogil
    cdef void _disconnect_vbd(self, int i) noexcept nogil
    cdef void _remove_vbd(self, int i) noexcept nogil
    cdef void _let_others(self, int backend) noexcept nogil
    # Domain d's drivers crash; they have started again.
    cdef void backend_lost(self, int d) noexcept nogil
    cdef void backend_found(self, int d) noexcept nogil
    cdef void _unmap(self, Vbd* vbd, BlockRequest* request) noexcept nogil
    cdef void return_grants(self, int i, int id) noexcept nogil
    # For those above: back end d may take more requests; a device has been connected, or connected again; it is gone while
    # its domain goes on.
    cdef void back_has_room(self, int d) noexcept nogil
    cdef void vbd_connected(self, int i) noexcept nogil
    cdef void vbd_removed(self, int i) noexcept nogil

cdef inline bint uses_grants(Vbd* vbd) noexcept nogil:
    return vbd.mode == BLOCK_SPLIT or vbd.mode == BLOCK_TAP
