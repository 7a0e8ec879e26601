"""A guest's front end of its virtual block devices, and what programs see of them.

A program reads or writes any number of bytes at once; that goes into the ring as requests of up to 11 pages. There are 32
ids, so that many are outstanding at most; the rest waits in the front end, first come first served. Requests are answered
in any order. The front end looks for answers when it is notified, and takes all there are; when it finds none it asks for
the next one, or to be let alone until several are there (`notify_after`). An operation is done, and its program told, when
all its requests are answered; it has failed if one of them has. A barrier that takes several requests is one at its first
and its last.

Buffers begin at a page. On a host whose drivers are in the hypervisor, or without one, there is no back end: the front end
calls the hypervisor, which takes from the ring.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from xengym.guests.os.block_back cimport OsBlockBack
from xengym.guests.os.block_device cimport uses_grants
from xengym.guests.os.core cimport ITEM_BLKFRONT, ITEM_SHIFT, make_item
from xengym.hypervisor.core cimport HostCore
from xengym.machine.block_state cimport (
    BLOCK_EMULATED, BLOCK_FREE, BLOCK_HARVESTED, BLOCK_INLINE, BLOCK_NATIVE, BLOCK_OPS, BLOCK_QUEUED, BLOCK_SHADOW, BlockDomain,
    BlockOp, BlockRecord, BlockRequest, Vbd,
)
from xengym.machine.io_state cimport BLOCK_SECTOR, BLOCK_SEGMENTS, BLOCK_SLOTS, MAX_GRANTS, NO_DEVICE, PAGE_BYTES, fifo_count
from xengym.mechanisms.grant_table cimport grant_access
from xengym.mechanisms.ring cimport ring_push_requests, ring_responses, ring_take_response, ring_want_responses
from xengym.sim.trace cimport TRACE_BLOCK_DONE, TRACE_BLOCK_QUEUED, trace

import numpy as np

from xengym.machine.block_state import BLOCK_RECORD_DTYPE

cdef int64_t REQUEST_BYTES = BLOCK_SEGMENTS * PAGE_BYTES
cdef int64_t MAX_SECTOR = <int64_t>1 << 48
cdef int MAX_PAGES = BLOCK_SLOTS * BLOCK_SEGMENTS


cdef inline int pages_of(int64_t bytes) noexcept nogil:
    return <int>((bytes + PAGE_BYTES - 1) // PAGE_BYTES)


cdef class OsBlock(OsBlockBack):
    """The front end's side of virtual block devices.

    Args:
        costs: ``machine.io_costs.IoCosts``.
        num_records: operations done that `block_records` keeps, the newest.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int num_records=0, **limits):
        OsBlockBack.__init__(self, costs, max_domains, max_vcpus, **limits)
        if num_records < 0:
            raise ValueError(f"os: num_records must not be negative, found {num_records}")
        self.num_records = num_records
        self.blk_stack_ns = costs.blk_stack_ns
        self.blk_done_ns = costs.blk_done_ns
        self.blk_front_ns = costs.blk_front_ns
        self.blk_front_segment_ns = costs.blk_front_segment_ns
        self.blk_inline_ns = costs.blk_inline_ns
        self.exit_ns = costs.exit_ns
        self.blk_exits_ns = costs.exit_ns * costs.blk_exits

    def sections(self, max_vcpus, max_domains):
        return [
            *OsBlockBack.sections(self, max_vcpus, max_domains),
            ("block_record", BLOCK_RECORD_DTYPE, max(1, self.num_records)),
            ("num_block_records", np.dtype(np.int64), 1),
        ]

    def bind(self, HostCore host, int number, views):
        OsBlockBack.bind(self, host, number, views)
        cdef BlockRecord[::1] block_record = views["block_record"]
        cdef int64_t[::1] num_recorded = views["num_block_records"]
        self.block_record = &block_record[0]
        self.num_recorded = &num_recorded[0]

    # -- to look on from outside ---------------------------------------------------------------------------------

    def submit(self, int i, int64_t sector, int64_t num_bytes, *, bint is_write=False, bint is_barrier=False, int cookie=0):
        """Read or write on device ``i`` as a program of its domain would.

        Args:
            i: number of the device.
            sector: where on the device, in sectors of 512 bytes.
            num_bytes: how much, at least 1.
            is_write: write, not read.
            is_barrier: all that is queued with the disk before comes first, all after afterwards.
            cookie: comes back in `block_records`, and is the number by which traces follow it.

        Returns:
            Whether it was accepted; if not, the device has too much under way.
        """
        self._vbd(i)
        if num_bytes < 1:
            raise ValueError(f"virtual block device {i}: num_bytes must be at least 1, found {num_bytes}")
        if not -MAX_SECTOR <= sector <= MAX_SECTOR:
            raise ValueError(f"virtual block device {i}: no disk is so large as to have a sector {sector}")
        return bool(self.submit_to(i, sector, num_bytes, is_write, is_barrier, cookie))

    def block_records(self):
        """Operations that are done, the oldest first: a copy, structured array of ``BLOCK_RECORD_DTYPE``."""
        cdef int64_t count = self.num_recorded[0]
        records = self.host.arena.sections["block_record"]
        if count <= self.num_records:
            return records[:count].copy()
        return np.roll(records, -(count % self.num_records))

    # -- for programs --------------------------------------------------------------------------------------------

    cdef bint submit_block(
        self, int d, int64_t sector, int64_t bytes, bint is_write, bint is_barrier, int cookie
    ) noexcept nogil:
        return self.submit_to(self.block_domain[d].vbd, sector, bytes, is_write, is_barrier, cookie)

    cdef bint submit_to(
        self, int i, int64_t sector, int64_t bytes, bint is_write, bint is_barrier, int cookie
    ) noexcept nogil:
        cdef Vbd* vbd
        cdef BlockOp* op
        cdef int number
        if i == NO_DEVICE or not self.vbd[i].in_use or self.vbd[i].first_free_op < 0 or bytes < 1:
            return False
        vbd = &self.vbd[i]
        number = vbd.first_free_op
        op = &self.block_op[i * BLOCK_OPS + number]
        vbd.first_free_op = op.next_free
        memset(op, 0, sizeof(BlockOp))
        op.in_use = 1
        op.sector = sector
        op.bytes = bytes
        op.is_write = is_write
        op.is_barrier = is_barrier
        op.cookie = cookie
        op.order = vbd.next_op_order
        op.submitted_at_ns = self.m.clock.now_ns
        vbd.next_op_order += 1
        vbd.waiting_op[vbd.waiting.tail % BLOCK_OPS] = number
        vbd.waiting.tail += 1
        self.queue_item(vbd.frontend, make_item(ITEM_BLKFRONT, i))
        self.interrupt(self.m.domain[vbd.frontend].first_vcpu)
        return True

    cdef void block_done(self, int d, int cookie, bint failed) noexcept nogil:
        pass

    cdef void _op_done(self, int i, int number, bint failed) noexcept nogil:
        """An operation has come to its end: its place is free, and its program is told."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockOp* op = &self.block_op[i * BLOCK_OPS + number]
        cdef BlockRecord* record
        if self.num_records > 0:
            record = &self.block_record[self.num_recorded[0] % self.num_records]
            record.at_ns = self.m.clock.now_ns
            record.submitted_at_ns = op.submitted_at_ns
            record.sector = op.sector
            record.bytes = op.bytes
            record.domain = vbd.frontend
            record.vbd = i
            record.cookie = op.cookie
            record.is_write = op.is_write
            record.has_failed = failed
            self.num_recorded[0] += 1
        op.in_use = 0
        op.next_free = vbd.first_free_op
        vbd.first_free_op = number
        self.block_done(vbd.frontend, op.cookie, failed)

    # -- requests ------------------------------------------------------------------------------------------------

    cdef int64_t _put_ns(self, Vbd* vbd, int num_segments) noexcept nogil:
        """What the guest spends on a request of so many pages, beside its stack."""
        if vbd.mode == BLOCK_NATIVE:
            return self.blk_disk_ns
        if vbd.mode == BLOCK_INLINE:
            return self.blk_disk_ns + self.blk_inline_ns
        if vbd.mode == BLOCK_EMULATED:
            return self.blk_exits_ns
        return self.blk_front_ns + num_segments * self.blk_front_segment_ns

    cdef int _grants_left(self, Vbd* vbd) noexcept nogil:
        """Pages that the domain can still grant; the network takes from the same table."""
        return MAX_GRANTS - self.grants[vbd.frontend].num_granted if uses_grants(vbd) else MAX_PAGES

    cdef int64_t _plan_puts(self, int i, int32_t* count) noexcept nogil:
        """How many requests can go into the ring now, and the CPU time for them: first those of the time before."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockRequest* request
        cdef BlockOp* op
        cdef int64_t work_ns = 0, position = vbd.waiting.head, issued = -1, bytes
        cdef int room = vbd.num_free - (BLOCK_SLOTS - vbd.depth)
        cdef int id, grants = self._grants_left(vbd)
        count[0] = 0
        for id in range(BLOCK_SLOTS):
            request = &self.block_request[i * BLOCK_SLOTS + id]
            if request.state == BLOCK_SHADOW:
                if grants < BLOCK_SEGMENTS:
                    return work_ns
                grants -= request.num_segments
                work_ns += self._put_ns(vbd, request.num_segments)
                count[0] += 1
        while room > 0 and grants >= BLOCK_SEGMENTS and position < vbd.waiting.tail:
            op = &self.block_op[i * BLOCK_OPS + vbd.waiting_op[position % BLOCK_OPS]]
            if issued < 0:
                issued = op.issued
            bytes = min(op.bytes - issued, REQUEST_BYTES)
            grants -= pages_of(bytes)
            work_ns += self.blk_stack_ns + self._put_ns(vbd, pages_of(bytes))
            count[0] += 1
            room -= 1
            issued += bytes
            if issued == op.bytes:
                position += 1
                issued = -1
        return work_ns

    cdef int _next_request(self, int i) noexcept nogil:
        """The next request for the ring: the oldest of the time before the device was connected, or a new one; its id."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockRequest* request
        cdef BlockOp* op
        cdef int id, number, first = -1
        for id in range(BLOCK_SLOTS):
            request = &self.block_request[i * BLOCK_SLOTS + id]
            if request.state == BLOCK_SHADOW and (
                    first < 0 or request.order < self.block_request[i * BLOCK_SLOTS + first].order):
                first = id
        if first >= 0:
            return first
        if vbd.waiting.head == vbd.waiting.tail or vbd.num_free <= BLOCK_SLOTS - vbd.depth:
            return -1
        number = vbd.waiting_op[vbd.waiting.head % BLOCK_OPS]
        op = &self.block_op[i * BLOCK_OPS + number]
        vbd.num_free -= 1
        id = vbd.free[vbd.num_free]
        request = &self.block_request[i * BLOCK_SLOTS + id]
        request.op = number
        request.sector = op.sector + op.issued // BLOCK_SECTOR
        request.bytes = min(op.bytes - op.issued, REQUEST_BYTES)
        request.num_segments = pages_of(request.bytes)
        request.is_write = op.is_write
        request.is_barrier = op.is_barrier and (op.issued == 0 or op.issued + request.bytes == op.bytes)
        request.order = vbd.next_order
        vbd.next_order += 1
        op.issued += request.bytes
        if op.issued == op.bytes:
            vbd.waiting.head += 1
        return id

    cdef void _put_in_block_ring(self, int i, int id, unsigned int position) noexcept nogil:
        """Grant a request's pages and put it into the ring, not yet published."""
        cdef Vbd* vbd = &self.vbd[i]
        cdef int d = vbd.frontend
        cdef BlockRequest* request = &self.block_request[i * BLOCK_SLOTS + id]
        cdef int k
        if uses_grants(vbd):
            for k in range(request.num_segments):
                request.grant[k] = grant_access(&self.grants[d], self.grant + d * MAX_GRANTS, vbd.backend)
        request.has_failed = 0
        request.state = BLOCK_QUEUED
        vbd.slot[position % BLOCK_SLOTS] = id
        self.m.io[d].tx_pending += 1
        trace(self.m, TRACE_BLOCK_QUEUED, 0, -1, d, self.block_op[i * BLOCK_OPS + request.op].cookie)

    cdef void _publish(self, int i, unsigned int count) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef bint wants = ring_push_requests(&vbd.ring, count)
        if vbd.backend < 0:
            self.take_direct(vbd.disk)
        elif wants:
            self.notify(vbd.frontend, vbd.frontend_port, vbd.frontend)

    cdef void vbd_connected(self, int i) noexcept nogil:
        self.queue_item(self.vbd[i].frontend, make_item(ITEM_BLKFRONT, i))
        self.interrupt(self.m.domain[self.vbd[i].frontend].first_vcpu)

    cdef void vbd_removed(self, int i) noexcept nogil:
        """What was asked of a device that is gone fails, in the order in which it was asked for."""
        cdef BlockOp* op
        cdef int number, first = 0
        while first >= 0:
            first = -1
            for number in range(BLOCK_OPS):
                op = &self.block_op[i * BLOCK_OPS + number]
                if op.in_use and (first < 0 or op.order < self.block_op[i * BLOCK_OPS + first].order):
                    first = number
            if first >= 0:
                self._op_done(i, first, True)

    # -- the front end's work ------------------------------------------------------------------------------------

    cdef int64_t _begin_block_front(self, int v, int i) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef int64_t work_ns = 0
        cdef int id, other, count = 0
        if not vbd.is_connected or vbd.frontend != d:
            return -1
        while ring_responses(&vbd.ring):
            id = vbd.slot[ring_take_response(&vbd.ring) % BLOCK_SLOTS]
            self.block_request[i * BLOCK_SLOTS + id].state = BLOCK_HARVESTED
            self.return_grants(i, id)
            own.staged_id[count] = id
            work_ns += self.blk_done_ns
            count += 1
        if count:
            if vbd.mode == BLOCK_INLINE or vbd.mode == BLOCK_NATIVE:
                work_ns += self.blk_disk_irq_ns
            elif vbd.mode == BLOCK_EMULATED:
                work_ns += self.exit_ns
            # The domain's other devices may have waited for grants.
            for other in range(self.max_vbds):
                if other != i and self.vbd[other].is_connected and self.vbd[other].frontend == d \
                        and fifo_count(&self.vbd[other].waiting):
                    self.queue_item(d, make_item(ITEM_BLKFRONT, other))
        own.num_staged = count
        work_ns += self._plan_puts(i, &own.num_to_put)
        if count == 0 and own.num_to_put == 0:
            ring_want_responses(&vbd.ring, max(1, min(vbd.notify_after, <int>(vbd.ring.req_prod - vbd.ring.rsp_cons))))
            return -1
        own.front_vbd = i
        self.charge(d, d, work_ns)
        return work_ns

    cdef void _harvest_answer(self, int i, int id) noexcept nogil:
        cdef Vbd* vbd = &self.vbd[i]
        cdef int d = vbd.frontend
        cdef BlockRequest* request = &self.block_request[i * BLOCK_SLOTS + id]
        cdef BlockOp* op = &self.block_op[i * BLOCK_OPS + request.op]
        request.state = BLOCK_FREE
        vbd.free[vbd.num_free] = id
        vbd.num_free += 1
        self.m.io[d].block_requests += 1
        if not request.has_failed:
            self.m.io[d].block_bytes += request.bytes
        trace(self.m, TRACE_BLOCK_DONE, 0, -1, d, op.cookie)
        op.answered += request.bytes
        op.has_failed |= request.has_failed
        if op.answered == op.bytes:
            self._op_done(i, request.op, op.has_failed)

    cdef void _finish_block_front(self, int v, int i) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Vbd* vbd = &self.vbd[i]
        cdef BlockDomain* own = &self.block_domain[d]
        cdef int id, k, to_put = own.num_to_put
        cdef unsigned int count = 0
        if own.front_vbd != i:
            # The device is gone, or the domain's drivers have been lost meanwhile.
            own.num_staged = 0
            self.queue_item(d, make_item(ITEM_BLKFRONT, i))
            return
        own.front_vbd = NO_DEVICE
        # Answered ones first: their programs may have more to do, which comes at the next turn.
        for k in range(own.num_staged):
            self._harvest_answer(i, own.staged_id[k])
        own.num_staged = 0
        if not vbd.is_connected:
            return
        while count < <unsigned int>to_put and self._grants_left(vbd) >= BLOCK_SEGMENTS:
            id = self._next_request(i)
            if id < 0:
                break
            self._put_in_block_ring(i, id, vbd.ring.req_prod + count)
            count += 1
        if count:
            self._publish(i, count)
        self.queue_item(d, make_item(ITEM_BLKFRONT, i))

    cdef int64_t begin(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_BLKFRONT:
            return self._begin_block_front(v, item & ((1 << ITEM_SHIFT) - 1))
        return OsBlockBack.begin(self, v, item)

    cdef void finish(self, int v, int item) noexcept nogil:
        if item >> ITEM_SHIFT == ITEM_BLKFRONT:
            self._finish_block_front(v, item & ((1 << ITEM_SHIFT) - 1))
        else:
            OsBlockBack.finish(self, v, item)
