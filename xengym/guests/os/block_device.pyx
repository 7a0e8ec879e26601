"""Virtual block devices: how they come, are disconnected and connected again, and go.

A device is a part of a disk. When its back end is lost, or lets go of it, it is disconnected: its requests on the disk are
served unseen, their pages are unmapped, and the front end keeps its copies (Xen: the shadow). When it is connected again the
front end puts them into the empty ring in their old order, so each is answered exactly once, though the disk may serve it
twice. If the device is removed instead, what was asked of it fails. With its domain a device just disappears.
"""
from libc.stdint cimport int64_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_BLKBACK, ITEM_BLKFRONT, make_item
from xengym.guests.os.disk cimport OsDisk
from xengym.hypervisor.core cimport HostCore
from xengym.machine.block_state cimport (
    BLOCK_ANSWERED, BLOCK_EMULATED, BLOCK_INLINE, BLOCK_MODES, BLOCK_NATIVE, BLOCK_OPS, BLOCK_QUEUED, BLOCK_SHADOW, BLOCK_SPLIT,
    BlockDomain, BlockOp, BlockRequest, Vbd,
)
from xengym.machine.io_state cimport BLOCK_SEGMENTS, BLOCK_SLOTS, MAX_GRANTS, NO_DEVICE
from xengym.mechanisms.grant_table cimport grant_end, grant_unmap
from xengym.mechanisms.ring cimport ring_requests, ring_reset

import numpy as np

from xengym.machine.block_state import BLOCK_OP_DTYPE, BLOCK_REQUEST_DTYPE, VBD_DTYPE

cdef int MAX_VBDS = 32    # each may have an item in its back end's list, which has 64 places


cdef class OsBlockDevice(OsDisk):
    """Virtual block devices.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_vbds: virtual block devices that there may be, at most 32.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_vbds=16, **limits):
        OsDisk.__init__(self, costs, max_domains, max_vcpus, **limits)
        if not 1 <= max_vbds <= MAX_VBDS:
            raise ValueError(f"os: max_vbds must be 1..{MAX_VBDS}, found {max_vbds}")
        self.max_vbds = max_vbds

    def sections(self, max_vcpus, max_domains):
        return [
            *OsDisk.sections(self, max_vcpus, max_domains),
            ("vbd", VBD_DTYPE, self.max_vbds),
            ("block_request", BLOCK_REQUEST_DTYPE, self.max_vbds * BLOCK_SLOTS),
            ("block_op", BLOCK_OP_DTYPE, self.max_vbds * BLOCK_OPS),
        ]

    def bind(self, HostCore host, int number, views):
        OsDisk.bind(self, host, number, views)
        cdef Vbd[::1] vbd = views["vbd"]
        cdef BlockRequest[::1] block_request = views["block_request"]
        cdef BlockOp[::1] block_op = views["block_op"]
        self.vbd = &vbd[0]
        self.block_request = &block_request[0]
        self.block_op = &block_op[0]

    # -- life of a device ----------------------------------------------------------------------------------------

    def add_vbd(self, int frontend, int backend, *, int disk, int64_t num_sectors, int64_t start_sector=0, bint read_only=False,
                int mode=BLOCK_SPLIT, int notify_after=1, unsigned int first_index=0):
        """Create a device of domain slot ``frontend`` on a part of a disk, served by ``backend``, and connect it.

        Args:
            frontend: slot of the domain that has the device.
            backend: slot of the domain that serves it, or -1: the hypervisor; the one with the disk's driver.
            disk: number of the disk.
            num_sectors: size, in sectors of 512 bytes.
            start_sector: where on the disk it begins.
            read_only: writes are refused.
            mode: one of ``machine.block_state.VBD_MODES``, by number.
            notify_after: responses after which the front end wants to be notified, if so many are outstanding.
            first_index: where the ring's indices begin.

        Returns:
            Its number.

        Raises:
            ValueError: there is no room for it, or what was asked for does not fit together.
        """
        cdef int i, k
        cdef Vbd* vbd
        cdef BlockOp* op
        for d in (frontend, backend):
            if d != NO_DEVICE and not (0 <= d < self.max_domains and self.os_domain[d].has_os):
                raise ValueError(f"virtual block device: no domain with an operating system is in slot {d}")
        if not 0 <= disk < self.max_disks or not self.disk[disk].in_use:
            raise ValueError(f"virtual block device: there is no disk {disk}")
        if not 0 <= mode < BLOCK_MODES or (backend < 0) != (mode == BLOCK_INLINE or mode == BLOCK_NATIVE):
            raise ValueError(f"virtual block device: mode {mode} does not go with back end {backend}")
        if self.disk[disk].backend != backend:
            raise ValueError(f"virtual block device: disk {disk} has its driver in {self.disk[disk].backend}, not in {backend}")
        if start_sector < 0 or num_sectors < 1 or start_sector + num_sectors > self.disk[disk].num_sectors:
            raise ValueError(
                f"virtual block device: sectors {start_sector}..{start_sector + num_sectors} are not on disk {disk}, "
                f"which has {self.disk[disk].num_sectors}"
            )
        if frontend < 0:
            raise ValueError("virtual block device: the hypervisor has none")
        if not 1 <= notify_after <= BLOCK_SLOTS:
            raise ValueError(f"virtual block device: notify_after must be 1..{BLOCK_SLOTS}, found {notify_after}")
        for i in range(self.max_vbds):
            if not self.vbd[i].in_use:
                break
        else:
            raise ValueError(f"no room for another virtual block device; the host holds its maximum of {self.max_vbds}")
        vbd = &self.vbd[i]
        memset(vbd, 0, sizeof(Vbd))
        vbd.frontend_port = self.new_port(frontend, make_item(ITEM_BLKFRONT, i))
        if vbd.frontend_port < 0:
            raise ValueError(f"domain {self.m.domain[frontend].domid} has no event-channel port left")
        vbd.frontend = frontend
        vbd.disk = disk
        vbd.start_sector = start_sector
        vbd.num_sectors = num_sectors
        vbd.is_read_only = read_only
        vbd.mode = mode
        vbd.depth = 1 if mode == BLOCK_EMULATED else BLOCK_SLOTS
        vbd.notify_after = notify_after
        vbd.num_free = BLOCK_SLOTS
        vbd.ring.req_prod = first_index
        memset(self.block_request + i * BLOCK_SLOTS, 0, BLOCK_SLOTS * sizeof(BlockRequest))
        memset(self.block_op + i * BLOCK_OPS, 0, BLOCK_OPS * sizeof(BlockOp))
        for k in range(BLOCK_SLOTS):
            vbd.free[k] = k
            self._no_grants(&self.block_request[i * BLOCK_SLOTS + k])
        for k in range(BLOCK_OPS):
            op = &self.block_op[i * BLOCK_OPS + k]
            op.next_free = k + 1 if k + 1 < BLOCK_OPS else -1
        vbd.in_use = 1
        vbd.backend = NO_DEVICE
        try:
            self.connect_vbd(i, backend)
        except ValueError:
            self.free_port(frontend, vbd.frontend_port)
            vbd.in_use = 0
            raise
        vbd.reconnections = 0
        if self.block_domain[frontend].vbd == NO_DEVICE:
            self.block_domain[frontend].vbd = i
        return i

    def connect_vbd(self, int i, int backend):
        """Connect a device to its back end (again, or to another one); the front end puts its requests into the ring anew.

        Raises:
            ValueError: it is connected, or the back end has not the driver of its disk.
        """
        cdef Vbd* vbd = self._vbd(i)
        if vbd.is_connected:
            raise ValueError(f"virtual block device {i} is connected already")
        if self.disk[vbd.disk].backend != backend:
            raise ValueError(f"disk {vbd.disk} has its driver in {self.disk[vbd.disk].backend}, not in {backend}")
        if not self._connect_vbd(i, backend):
            raise ValueError(f"domain {self.m.domain[backend].domid} has no event-channel port left")

    def disconnect_vbd(self, int i):
        """The back end fails, or lets go of a device; what the front end has asked for waits until it is connected again."""
        cdef Vbd* vbd = self._vbd(i)
        self._disconnect_vbd(i)
        self._let_others(vbd.backend)

    def remove_vbd(self, int i):
        """Disconnect a device and destroy it; its operations fail."""
        cdef Vbd* vbd = self._vbd(i)
        self._remove_vbd(i)
        self._let_others(vbd.backend)
        self.vbd_removed(i)

    def lose_backend(self, int d):
        """Domain slot ``d`` loses its block drivers, as when it crashes: all its devices are disconnected."""
        self.backend_lost(d)

    def destroyed(self, int d):
        cdef int i
        for i in range(self.max_vbds):
            if self.vbd[i].in_use and self.vbd[i].frontend == d:
                self._remove_vbd(i)
                if self.vbd[i].backend != d:
                    self._let_others(self.vbd[i].backend)
        self.backend_lost(d)
        OsDisk.destroyed(self, d)

    cdef Vbd* _vbd(self, int i) except NULL:
        if not 0 <= i < self.max_vbds or not self.vbd[i].in_use:
            raise ValueError(f"there is no virtual block device {i}")
        return &self.vbd[i]

    cdef void _no_grants(self, BlockRequest* request) noexcept nogil:
        cdef int k
        for k in range(BLOCK_SEGMENTS):
            request.grant[k] = -1

    cdef void _remove_vbd(self, int i) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[vbd.frontend]
        cdef int other
        self._disconnect_vbd(i)
        self.free_port(vbd.frontend, vbd.frontend_port)
        vbd.in_use = 0
        if own.front_vbd == i:
            own.front_vbd = NO_DEVICE
        if own.vbd == i:
            own.vbd = NO_DEVICE
            for other in range(self.max_vbds):
                if self.vbd[other].in_use and self.vbd[other].frontend == vbd.frontend:
                    own.vbd = other
                    break

    cdef bint _connect_vbd(self, int i, int backend) noexcept nogil:
        """Connect a device that is not connected; False: the back end has no port left."""
        cdef Vbd* vbd = &self.vbd[i]
        vbd.backend_port = NO_DEVICE
        if backend >= 0:
            vbd.backend_port = self.new_port(backend, make_item(ITEM_BLKBACK, i))
            if vbd.backend_port < 0:
                return False
            self.connect_ports(vbd.frontend, vbd.frontend_port, backend, vbd.backend_port)
            self.m.io[backend].is_backend = 1
        vbd.backend = backend
        ring_reset(&vbd.ring, BLOCK_SLOTS, vbd.ring.req_prod)
        vbd.notify_due = 0
        vbd.is_connected = 1
        vbd.reconnections += 1
        self.vbd_connected(i)
        return True

    cdef void _disconnect_vbd(self, int i) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockRequest* request
        cdef BlockDomain* back
        cdef int id, k
        if not vbd.is_connected:
            return
        vbd.is_connected = 0
        self.m.io[vbd.frontend].tx_pending -= <int>ring_requests(&vbd.ring)
        for id in range(BLOCK_SLOTS):
            request = &self.block_request[i * BLOCK_SLOTS + id]
            if request.state == BLOCK_QUEUED or request.state == BLOCK_ANSWERED:
                if request.state == BLOCK_QUEUED:
                    self._unmap(vbd, request)
                self.return_grants(i, id)
                request.state = BLOCK_SHADOW
        self.forget_requests(i)
        vbd.tapped.head = vbd.tapped.tail
        if vbd.backend >= 0:
            # Work under way for this device has no effect any more.
            back = &self.block_domain[vbd.backend]
            for k in range(back.num_staged):
                if back.staged_vbd[k] == i:
                    back.staged_vbd[k] = NO_DEVICE
            self.free_port(vbd.backend, vbd.backend_port)

    cdef void _let_others(self, int backend) noexcept nogil:
        """A device is gone from a back end that goes on; others may have waited for its places."""
        if backend >= 0 and self.os_domain[backend].has_os:
            self.back_has_room(backend)
            self.interrupt(self.m.domain[backend].first_vcpu)

    cdef void backend_lost(self, int d) noexcept nogil:
        """Domain d's drivers are gone; what they had under way is lost."""
        cdef int i, n
        cdef BlockDomain* own = &self.block_domain[d]
        if own.front_vbd != NO_DEVICE:
            # Answers that its own front end had in hand: it asks again.
            for i in range(own.num_staged):
                self.block_request[own.front_vbd * BLOCK_SLOTS + own.staged_id[i]].state = BLOCK_SHADOW
            own.front_vbd = NO_DEVICE
        own.num_staged = 0
        for i in range(self.max_vbds):
            if self.vbd[i].in_use and self.vbd[i].backend == d:
                self._disconnect_vbd(i)
        for n in range(self.max_disks):
            if self.disk[n].in_use and self.disk[n].backend == d:
                self._free_forgotten(n)

    cdef void backend_found(self, int d) noexcept nogil:
        """Domain d's drivers are there again: the devices that they served are connected."""
        cdef int i
        for i in range(self.max_vbds):
            if (self.vbd[i].in_use and not self.vbd[i].is_connected and self.vbd[i].backend == d
                    and self.disk[self.vbd[i].disk].backend == d):
                self._connect_vbd(i, d)
            elif self.vbd[i].is_connected and self.vbd[i].frontend == d:
                self.vbd_connected(i)  # its own front end has missed its events

    cdef void _unmap(self, Vbd* vbd, BlockRequest* request) noexcept nogil:
        cdef int k
        for k in range(request.num_segments):
            if request.grant[k] >= 0 and self.grant[vbd.frontend * MAX_GRANTS + request.grant[k]].num_mapped > 0:
                grant_unmap(self.grant + vbd.frontend * MAX_GRANTS, request.grant[k])

    cdef void return_grants(self, int i, int id) noexcept nogil:
        """The front end takes the pages of a request back."""
        cdef int d = self.vbd[i].frontend
        cdef BlockRequest* request = &self.block_request[i * BLOCK_SLOTS + id]
        cdef int k
        for k in range(request.num_segments):
            if request.grant[k] >= 0:
                grant_end(&self.grants[d], self.grant + d * MAX_GRANTS, request.grant[k])
                request.grant[k] = -1

    # -- for those above -----------------------------------------------------------------------------------------

    cdef void back_has_room(self, int d) noexcept nogil:
        pass

    cdef void vbd_connected(self, int i) noexcept nogil:
        pass

    cdef void vbd_removed(self, int i) noexcept nogil:
        pass
