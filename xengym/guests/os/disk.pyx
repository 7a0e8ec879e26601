"""Disks: each serves one request after another, and interrupts the domain with its driver.

A request done waits until the driver has taken note of it; meanwhile the disk goes on with what it has. Interrupts that
nobody has looked at collapse into one, so the driver finds the more at once the longer it waited for the CPU. Without a
driver domain (Xen 1.x, or no hypervisor) requests are answered at once, and who asked for them is notified.

Which request is next and how long it takes: `mechanisms/disk.pxd`. Requests of a domain that is gone are served unseen.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from xengym.guests.os.core cimport ITEM_DISK, ITEM_SHIFT, make_item
from xengym.guests.os.transport cimport OsTransport
from xengym.hypervisor.core cimport HostCore
from xengym.machine.block_state cimport (
    BLOCK_STAGED, DISK_DONE, DISK_FREE, DISK_SLOTS, FORGOTTEN, BlockDomain, Disk, DiskRequest,
)
from xengym.machine.io_state cimport NOBODY, NO_DEVICE, fifo_count
from xengym.machine.state cimport device_timer
from xengym.mechanisms.disk cimport disk_complete, disk_free_slot, disk_start, disk_take_done
from xengym.sim.random cimport STREAM_DISK, stream_key
from xengym.sim.timers cimport timer_arm_hypervisor

import numpy as np

from xengym.machine.block_state import BLOCK_DOMAIN_DTYPE, DISK_DTYPE, DISK_REQUEST_DTYPE


cdef class OsDisk(OsTransport):
    """Disks and their driver.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        max_disks: disks that there may be.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_disks=2, **limits):
        OsTransport.__init__(self, costs, max_domains, max_vcpus, **limits)
        if max_disks < 1:
            raise ValueError(f"os: max_disks must be at least 1, found {max_disks}")
        self.max_disks = max_disks
        self.first_disk_timer = OsTransport.num_device_timers(self)
        self.blk_disk_ns = costs.blk_disk_ns
        self.blk_disk_irq_ns = costs.blk_disk_irq_ns

    def num_device_timers(self):
        return OsTransport.num_device_timers(self) + self.max_disks

    def sections(self, max_vcpus, max_domains):
        return [
            *OsTransport.sections(self, max_vcpus, max_domains),
            ("disk", DISK_DTYPE, self.max_disks),
            ("disk_request", DISK_REQUEST_DTYPE, self.max_disks * DISK_SLOTS),
            ("block_domain", BLOCK_DOMAIN_DTYPE, max_domains),
        ]

    def bind(self, HostCore host, int number, views):
        OsTransport.bind(self, host, number, views)
        cdef Disk[::1] disk = views["disk"]
        cdef DiskRequest[::1] disk_request = views["disk_request"]
        cdef BlockDomain[::1] block_domain = views["block_domain"]
        self.disk = &disk[0]
        self.disk_request = &disk_request[0]
        self.block_domain = &block_domain[0]
        for d in range(self.max_domains):
            self.block_domain[d].vbd = NO_DEVICE
            self.block_domain[d].front_vbd = NO_DEVICE

    # -- life of a disk ------------------------------------------------------------------------------------------

    def add_disk(self, int backend, model):
        """Plug in a disk.

        Args:
            backend: slot of the domain with its driver, or -1 for the hypervisor (or an operating system without one).
            model: ``machine.disk_model.DiskModel``.

        Returns:
            Its number.
        """
        cdef int n
        cdef Disk* disk
        for n in range(self.max_disks):
            if not self.disk[n].in_use:
                break
        else:
            raise ValueError(f"no room for another disk; the host holds its maximum of {self.max_disks}")
        disk = &self.disk[n]
        memset(disk, 0, sizeof(Disk))
        memset(self.disk_request + n * DISK_SLOTS, 0, DISK_SLOTS * sizeof(DiskRequest))
        disk.num_sectors = model.num_sectors
        disk.seek_min_ns = model.seek_min_us * 1000
        disk.seek_max_ns = model.seek_max_us * 1000
        disk.rotation_ns = model.rotation_us * 1000
        disk.ns_per_mib = model.ns_per_mib
        disk.command_ns = model.command_us * 1000
        disk.depth = model.depth
        disk.batch = model.batch
        disk.current = -1
        disk.key = stream_key(self.m.clock.seed, STREAM_DISK, n)
        disk.backend = NOBODY
        self.attach_disk(n, backend)
        disk.in_use = 1
        return n

    def attach_disk(self, int n, int backend):
        """Give a disk whose driver domain is gone to another domain's driver (or -1: the hypervisor).

        Raises:
            ValueError: it has a driver, or there is no such domain.
        """
        cdef Disk* disk = &self.disk[n]
        if disk.backend != NOBODY:
            raise ValueError(f"disk {n} has a driver already")
        if backend != NO_DEVICE and not (0 <= backend < self.max_domains and self.os_domain[backend].has_os):
            raise ValueError(f"disk {n}: no domain with an operating system is in slot {backend}")
        disk.port = -1
        if backend >= 0:
            disk.port = self.new_port(backend, make_item(ITEM_DISK, n))
            if disk.port < 0:
                raise ValueError(f"domain {self.m.domain[backend].domid} has no event-channel port left")
        disk.backend = backend

    def configure(self, int d, int v, spec):
        OsTransport.configure(self, d, v, spec)
        if self.m.vcpu[v].vcpu_in_domain == 0:
            memset(&self.block_domain[d], 0, sizeof(BlockDomain))
            self.block_domain[d].vbd = NO_DEVICE
            self.block_domain[d].front_vbd = NO_DEVICE

    def destroyed(self, int d):
        for n in range(self.max_disks):
            if self.disk[n].in_use and self.disk[n].denied:
                self.disk[n].denied |= <uint64_t>1 << d  # whoever gets this slot next is not among those allowed
            if self.disk[n].in_use and self.disk[n].backend == d:
                self.disk[n].backend = NOBODY
                self._free_forgotten(n)
        self.block_domain[d].num_staged = 0
        OsTransport.destroyed(self, d)

    cdef void _free_forgotten(self, int n) noexcept nogil:
        """What is done and was not taken note of is forgotten: its driver is gone."""
        cdef DiskRequest* slots = self.disk_request + n * DISK_SLOTS
        cdef int s
        self.disk[n].done.head = self.disk[n].done.tail
        for s in range(DISK_SLOTS):
            if slots[s].state == DISK_DONE:
                disk_free_slot(&self.disk[n], &slots[s])

    cdef void forget_requests(self, int vbd) noexcept nogil:
        """A device is gone: its requests on the disks are served unseen."""
        cdef int s
        for s in range(self.max_disks * DISK_SLOTS):
            if self.disk_request[s].state != DISK_FREE and self.disk_request[s].vbd == vbd:
                self.disk_request[s].vbd = FORGOTTEN

    # -- the device ----------------------------------------------------------------------------------------------

    cdef void unplug(self, int n) noexcept nogil:
        """Requests have been queued: the disk begins, if it is idle."""
        cdef int64_t now_ns = self.m.clock.now_ns
        cdef int64_t service_ns = disk_start(&self.disk[n], self.disk_request + n * DISK_SLOTS, now_ns)
        if service_ns >= 0:
            timer_arm_hypervisor(self.m, device_timer(self.m, self.first_disk_timer + n), now_ns + service_ns)

    cdef void _served(self, int n) noexcept nogil:
        cdef Disk* disk = &self.disk[n]
        cdef DiskRequest* request
        cdef DiskRequest* slots = self.disk_request + n * DISK_SLOTS
        request = &slots[disk_complete(disk, slots, self.m.clock.now_ns)]
        disk.interrupts += 1
        if disk.backend >= 0:
            self.unplug(n)
            self.send_port(disk.backend, disk.port)
            return
        disk_take_done(disk)
        if request.vbd != FORGOTTEN:
            self.request_done(request.vbd, request.id)
        disk_free_slot(disk, request)
        if disk.backend == NO_DEVICE:
            self.disk_has_room(n, NO_DEVICE)
        self.unplug(n)

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        if number >= self.first_disk_timer:
            self._served(number - self.first_disk_timer)
        else:
            OsTransport.device_timer(self, number, now_ns)

    # -- the driver, in the domain that owns the disk ------------------------------------------------------------

    cdef int64_t _begin_disk(self, int v, int n) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Disk* disk = &self.disk[n]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef int64_t request_ns, work_ns = self.blk_disk_irq_ns
        cdef int vbd, count = 0
        if not disk.in_use or disk.backend != d or fifo_count(&disk.done) == 0:
            return -1
        self.charge_idle(d, self.blk_disk_irq_ns)
        while count < BLOCK_STAGED and fifo_count(&disk.done):
            own.staged_id[count] = disk_take_done(disk)
            vbd = self.disk_request[n * DISK_SLOTS + own.staged_id[count]].vbd
            count += 1
            if vbd != FORGOTTEN:
                request_ns = self.done_ns(vbd)
                self.charge(d, self.served_domain(vbd), request_ns)
                work_ns += request_ns
        own.num_staged = count
        return work_ns

    cdef void _finish_disk(self, int v, int n) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef BlockDomain* own = &self.block_domain[d]
        cdef DiskRequest* request
        cdef int k
        for k in range(own.num_staged):
            request = &self.disk_request[n * DISK_SLOTS + own.staged_id[k]]
            if request.vbd != FORGOTTEN:
                self.request_done(request.vbd, request.id)
            disk_free_slot(&self.disk[n], request)
        own.num_staged = 0
        self.disk_has_room(n, d)
        self.queue_item(d, make_item(ITEM_DISK, n))

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_DISK:
            return self._begin_disk(v, item & ((1 << ITEM_SHIFT) - 1))
        return OsTransport.begin(self, v, item)

    cdef void finish(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_DISK:
            self._finish_disk(v, item & ((1 << ITEM_SHIFT) - 1))
        else:
            OsTransport.finish(self, v, item)

    # -- for those above -----------------------------------------------------------------------------------------

    cdef int64_t done_ns(self, int vbd) noexcept nogil:
        return 0

    cdef int served_domain(self, int vbd) noexcept nogil:
        return NO_DEVICE

    cdef void request_done(self, int vbd, int id) noexcept nogil:
        pass

    cdef void disk_has_room(self, int n, int backend) noexcept nogil:
        pass
