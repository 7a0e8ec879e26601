"""Disks and their driver (`disk.pyx`)."""
from libc.stdint cimport int64_t
from xengym.guests.os.transport cimport OsTransport
from xengym.machine.block_state cimport BlockDomain, Disk, DiskRequest

cdef class OsDisk(OsTransport):
    cdef readonly int max_disks
    cdef Disk* disk
    cdef DiskRequest* disk_request  # DISK_SLOTS of each disk
    cdef BlockDomain* block_domain
    cdef int first_disk_timer
    cdef int64_t blk_disk_ns
    cdef int64_t blk_disk_irq_ns

    cdef void unplug(self, int n) noexcept nogil
    cdef void _served(self, int n) noexcept nogil
    cdef int64_t _begin_disk(self, int v, int n) noexcept nogil
    cdef void _finish_disk(self, int v, int n) noexcept nogil
    cdef void _free_forgotten(self, int n) noexcept nogil
    cdef void forget_requests(self, int vbd) noexcept nogil
    # For those above: a device's request is done, and what its driver does then takes so long; it may be answered; the disk
    # has room again (backend: whose driver it is, or NO_DEVICE).
    cdef int64_t done_ns(self, int vbd) noexcept nogil
    cdef int served_domain(self, int vbd) noexcept nogil
    cdef void request_done(self, int vbd, int id) noexcept nogil
    cdef void disk_has_room(self, int n, int backend) noexcept nogil
