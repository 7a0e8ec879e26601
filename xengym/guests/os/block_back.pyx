"""The back end of virtual block devices: from their rings to the disk, and back.

Each device has a driver's work item of its own, as each has a thread of its own in Xen's back end. At its turn it takes up
to 8 requests out of the ring, maps their pages, queues them with the disk and only then lets the disk begin (plugged, then
unplugged); if there are more it asks for another turn, behind the other devices. A back end has 64 requests under way at
most; as answers make room, the devices that wait for it go on in turn. A request is answered when the disk's driver has
taken note that it is done, in whatever order that is. Requests beyond the device's end, and writes to a device that may
only be read, are answered with an error.

*tap*: the kernel hands requests on to a process of its domain, which queues them with the disk: one stage more, and dearer.
*emulated*: as in the kernel, with the cost of the emulating process, one request at a time and without grants.
*inline* and *native*: the ring's other end is the hypervisor, or the machine's only system; requests go from the rings to
the disk in turn, up to 8 of each device, without a domain's work.

Sources: survey, section 3.2; Barham et al., SOSP 2003, sections 3.2 and 3.3; the constants of Xen 3.0's block drivers
(32 requests in a ring of one page, of up to 11 pages, 64 under way in a back end). The 8 of a turn are assumed.
"""
from libc.stdint cimport int64_t
from xengym.guests.os.block_device cimport OsBlockDevice, uses_grants
from xengym.guests.os.core cimport ITEM_BLKBACK, ITEM_SHIFT, make_item
from xengym.machine.block_state cimport (
    BLKBACK_POOL, BLOCK_ANSWERED, BLOCK_BATCH, BLOCK_EMULATED, BLOCK_TAP, DISK_SLOTS, BlockDomain, BlockRequest, Disk, Vbd,
)
from xengym.machine.io_state cimport BLOCK_SECTOR, BLOCK_SLOTS, MAX_GRANTS, NO_DEVICE, fifo_count
from xengym.mechanisms.disk cimport disk_put, disk_room
from xengym.mechanisms.grant_table cimport grant_map
from xengym.mechanisms.ring cimport ring_push_responses, ring_requests, ring_take_request, ring_want_requests

cdef int BATCH = BLOCK_BATCH


cdef class OsBlockBack(OsBlockDevice):
    """The back end's side of virtual block devices."""

    def __init__(self, costs, int max_domains, int max_vcpus, **limits):
        OsBlockDevice.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.blk_back_ns = costs.blk_back_ns
        self.blk_back_segment_ns = costs.blk_back_segment_ns
        self.blk_back_done_ns = costs.blk_back_done_ns
        self.blk_tap_wake_ns = costs.blk_tap_wake_ns
        self.blk_tap_ns = costs.blk_tap_ns
        self.blk_tap_done_ns = costs.blk_tap_done_ns
        self.blk_emulate_ns = costs.blk_emulate_ns

    # -- the back end --------------------------------------------------------------------------------------------

    cdef int _pool_room(self, int d) noexcept nogil:
        """Requests that back end d may still take."""
        cdef int i, n, room = BLKBACK_POOL
        for n in range(self.max_disks):
            if self.disk[n].in_use and self.disk[n].backend == d:
                room -= self.disk[n].num_used
        for i in range(self.max_vbds):
            if self.vbd[i].is_connected and self.vbd[i].backend == d:
                room -= <int>fifo_count(&self.vbd[i].tapped)
        return room

    cdef void back_has_room(self, int d) noexcept nogil:
        """There may be room again: the devices of back end d that have requests get a turn."""
        cdef Vbd* vbd
        cdef int step, i
        for step in range(self.max_vbds):
            i = (self.block_domain[d].next_vbd + step) % self.max_vbds
            vbd = &self.vbd[i]
            if vbd.is_connected and vbd.backend == d and (ring_requests(&vbd.ring) or fifo_count(&vbd.tapped)):
                self.queue_item(d, make_item(ITEM_BLKBACK, i))

    cdef bint _is_refused(self, int i, BlockRequest* request) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef int64_t num_sectors = (request.bytes + BLOCK_SECTOR - 1) // BLOCK_SECTOR
        return (request.is_write and vbd.is_read_only) or request.sector < 0 or request.sector > vbd.num_sectors - num_sectors

    cdef void _to_disk(self, int i, int id) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockRequest* request = &self.block_request[i * BLOCK_SLOTS + id]
        disk_put(
            &self.disk[vbd.disk], self.disk_request + vbd.disk * DISK_SLOTS, vbd.start_sector + request.sector,
            (request.bytes + BLOCK_SECTOR - 1) // BLOCK_SECTOR, request.is_write, request.is_barrier, i, id
        )

    cdef void _answer_block(self, int i, int id) noexcept nogil:
        """Unmap a request's pages and put its response into the ring."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockRequest* request = &self.block_request[i * BLOCK_SLOTS + id]
        self._unmap(vbd, request)
        request.state = BLOCK_ANSWERED
        vbd.requests += 1
        if request.has_failed:
            vbd.failures += 1
        else:
            vbd.bytes += request.bytes
            self.m.io[vbd.frontend].page_exchanges += request.num_segments
            if vbd.backend >= 0:
                self.m.io[vbd.backend].page_exchanges += request.num_segments
        vbd.slot[vbd.ring.rsp_prod % BLOCK_SLOTS] = id
        if ring_push_responses(&vbd.ring, 1):
            vbd.notify_due = 1

    cdef void _notify_block_frontends(self, int d) noexcept nogil:
        """One event for each device of back end d (NO_DEVICE: of the hypervisor) that is owed one."""
        cdef Vbd* vbd
        cdef int i
        for i in range(self.max_vbds):
            vbd = &self.vbd[i]
            if vbd.notify_due and vbd.is_connected and vbd.backend == d:
                vbd.notify_due = 0
                if d >= 0:
                    self.notify(d, vbd.backend_port, vbd.frontend)
                else:
                    self.send_port(vbd.frontend, vbd.frontend_port)

    cdef int64_t _begin_back(self, int v, int i) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef BlockRequest* request
        cdef int64_t request_ns, work_ns = 0
        cdef int id, k, count = 0
        cdef int on_disk = disk_room(&self.disk[vbd.disk])
        cdef int room = min(self._pool_room(d), BATCH)
        if not vbd.is_connected or vbd.backend != d:
            return -1
        if fifo_count(&vbd.tapped) and on_disk > 0:
            return self._begin_tap(d, i, min(on_disk, BATCH))
        if ring_requests(&vbd.ring) == 0:
            ring_want_requests(&vbd.ring)
            return -1
        if vbd.mode != BLOCK_TAP:
            room = min(room, on_disk)
        while count < room and ring_requests(&vbd.ring):
            id = vbd.slot[ring_take_request(&vbd.ring) % BLOCK_SLOTS]
            request = &self.block_request[i * BLOCK_SLOTS + id]
            request.has_failed = self._is_refused(i, request)
            request_ns = self.blk_back_ns
            if vbd.mode == BLOCK_EMULATED:
                request_ns += self.blk_emulate_ns
            if not request.has_failed:
                if uses_grants(vbd):
                    request_ns += request.num_segments * self.blk_back_segment_ns
                    for k in range(request.num_segments):
                        grant_map(&self.grants[vbd.frontend], self.grant + vbd.frontend * MAX_GRANTS, request.grant[k], d)
                if vbd.mode != BLOCK_TAP:
                    request_ns += self.blk_disk_ns
            self.charge(d, vbd.frontend, request_ns)
            work_ns += request_ns
            self.m.io[vbd.frontend].tx_pending -= 1
            own.staged_vbd[count] = i
            own.staged_id[count] = id
            count += 1
        own.num_staged = count
        own.is_tap_stage = 0
        if count == 0:
            return -1  # `back_has_room` asks again
        own.next_vbd = (i + 1) % self.max_vbds
        return work_ns

    cdef int64_t _begin_tap(self, int d, int i, int most) noexcept nogil:
        """The process behind the device takes what the kernel has handed on."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef int64_t work_ns = self.blk_tap_wake_ns
        cdef int count = 0
        while count < most and fifo_count(&vbd.tapped):
            own.staged_vbd[count] = i
            own.staged_id[count] = vbd.tap_id[vbd.tapped.head % BLOCK_SLOTS]
            vbd.tapped.head += 1
            work_ns += self.blk_tap_ns + self.blk_disk_ns
            count += 1
        self.charge(d, vbd.frontend, work_ns)
        own.num_staged = count
        own.is_tap_stage = 1
        own.next_vbd = (i + 1) % self.max_vbds
        return work_ns

    cdef void _finish_back(self, int v, int i) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef int k, id
        for k in range(own.num_staged):
            if own.staged_vbd[k] == NO_DEVICE:
                continue
            id = own.staged_id[k]
            if self.block_request[i * BLOCK_SLOTS + id].has_failed:
                self._answer_block(i, id)
            elif vbd.mode == BLOCK_TAP and not own.is_tap_stage:
                vbd.tap_id[vbd.tapped.tail % BLOCK_SLOTS] = id
                vbd.tapped.tail += 1
            else:
                self._to_disk(i, id)
        own.num_staged = 0
        self.unplug(vbd.disk)
        self._notify_block_frontends(d)
        self.queue_item(d, make_item(ITEM_BLKBACK, i))

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_BLKBACK:
            return self._begin_back(v, item & ((1 << ITEM_SHIFT) - 1))
        return OsBlockDevice.begin(self, v, item)

    cdef void finish(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_BLKBACK:
            self._finish_back(v, item & ((1 << ITEM_SHIFT) - 1))
        else:
            OsBlockDevice.finish(self, v, item)

    # -- of the disks' driver ------------------------------------------------------------------------------------

    cdef int64_t done_ns(self, int vbd) noexcept nogil:
        return self.blk_back_done_ns + (self.blk_tap_done_ns if self.vbd[vbd].mode == BLOCK_TAP else 0)

    cdef int served_domain(self, int vbd) noexcept nogil:
        return self.vbd[vbd].frontend

    cdef void request_done(self, int vbd, int id) noexcept nogil:
        self._answer_block(vbd, id)

    cdef void disk_has_room(self, int n, int backend) noexcept nogil:
        if backend >= 0:
            self._notify_block_frontends(backend)
            self.back_has_room(backend)
        else:
            self.take_direct(n)

    cdef void take_direct(self, int n) noexcept nogil:
        """Xen 1.x, or no hypervisor: from the rings to the disk, up to 8 requests of each device in turn."""
        cdef Disk* disk = &self.disk[n]
        cdef Vbd* vbd
        cdef int step, i, id, count, total = -1
        while total != 0:
            total = 0
            for step in range(self.max_vbds):
                i = disk.next_vbd
                vbd = &self.vbd[i]
                count = 0
                while (vbd.is_connected and vbd.disk == n and count < BLOCK_BATCH and disk_room(disk) > 0
                        and ring_requests(&vbd.ring)):
                    id = vbd.slot[ring_take_request(&vbd.ring) % BLOCK_SLOTS]
                    self.m.io[vbd.frontend].tx_pending -= 1
                    count += 1
                    if self._is_refused(i, &self.block_request[i * BLOCK_SLOTS + id]):
                        self.block_request[i * BLOCK_SLOTS + id].has_failed = 1
                        self._answer_block(i, id)
                    else:
                        self._to_disk(i, id)
                total += count
                if disk_room(disk) == 0 and count == 0:
                    break  # it is this device's turn when there is room
                disk.next_vbd = (i + 1) % self.max_vbds
            if disk_room(disk) == 0:
                break
        self._notify_block_frontends(NO_DEVICE)
        self.unplug(n)
