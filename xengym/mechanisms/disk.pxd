"""A disk and the elevator before it: which request is next, and how long it takes. The only writer of their state.

The elevator serves in sweeps. A sweep begins with what waits then, goes up from where the heads stand, and once more from
the lowest sector (C-LOOK). What comes meanwhile waits for the next sweep, so nobody is passed over for ever by someone who
always asks for the sector after the last. While several devices have requests, a sweep takes at most `batch` of each,
the oldest first: batches of the domains in turn, and then the elevator, as Barham et al., SOSP 2003, section 3.3,
describe it. While there is one only, it takes all of its requests. A barrier waits for all requests before it, and all
after it wait for it, whoever they belong to.

Time of service: see `machine.disk_model.DiskModel`.
"""
from libc.stdint cimport int64_t, uint64_t
from xengym.machine.block_state cimport (
    DISK_DONE, DISK_FREE, DISK_IN_SERVICE, DISK_SLOTS, DISK_WAITING, Disk, DiskRequest,
)
from xengym.machine.io_state cimport BLOCK_SECTOR
from xengym.sim.random cimport draw_bits

cdef inline int64_t square_root(int64_t n) noexcept nogil:
    """The largest integer whose square is at most n (0 <= n < 2**62); exact on every platform."""
    cdef int64_t root = 0, bit = <int64_t>1 << 30
    while bit:
        if (root | bit) * (root | bit) <= n:
            root |= bit
        bit >>= 1
    return root

cdef inline int64_t disk_seek_ns(Disk* disk, int64_t distance) noexcept nogil:
    """Time for moving the heads over so many sectors."""
    if distance == 0:
        return 0
    # Square root of the part of the disk, as a fraction of 2**20.
    return disk.seek_min_ns + (
        (disk.seek_max_ns - disk.seek_min_ns) * square_root(((distance << 30) // disk.num_sectors) << 10) >> 20
    )

cdef inline int disk_room(Disk* disk) noexcept nogil:
    """Requests that it still takes."""
    return disk.depth - disk.num_used

cdef inline int disk_put(
    Disk* disk, DiskRequest* slots, int64_t sector, int64_t num_sectors, bint is_write, bint is_barrier, int vbd, int id
) noexcept nogil:
    """Queue a request, for which there is room; its slot."""
    cdef int s
    cdef DiskRequest* request
    for s in range(DISK_SLOTS):
        if slots[s].state == DISK_FREE:
            break
    request = &slots[s]
    disk.epoch += is_barrier
    request.epoch = disk.epoch
    disk.epoch += is_barrier
    request.order = disk.next_order
    disk.next_order += 1
    request.sector = sector
    request.num_sectors = num_sectors
    request.is_write = is_write
    request.vbd = vbd
    request.id = id
    request.in_sweep = 0
    request.state = DISK_WAITING
    disk.num_used += 1
    return s

cdef inline int _older_of_its_device(DiskRequest* slots, DiskRequest* request) noexcept nogil:
    cdef int s, count = 0
    for s in range(DISK_SLOTS):
        if (slots[s].state == DISK_WAITING and slots[s].epoch == request.epoch and slots[s].vbd == request.vbd
                and slots[s].order < request.order):
            count += 1
    return count

cdef inline bint _begin_sweep(Disk* disk, DiskRequest* slots) noexcept nogil:
    """Choose what the next sweep serves, if the present one is over; whether there is anything."""
    cdef int64_t epoch = -1
    cdef int s, vbd = 0
    cdef bint several = False
    for s in range(DISK_SLOTS):
        if slots[s].state == DISK_WAITING and (epoch < 0 or slots[s].epoch < epoch):
            epoch = slots[s].epoch
            vbd = slots[s].vbd
    if epoch < 0:
        return False
    for s in range(DISK_SLOTS):
        if slots[s].state == DISK_WAITING:
            if slots[s].in_sweep:
                return True
            several = several or (slots[s].epoch == epoch and slots[s].vbd != vbd)
    for s in range(DISK_SLOTS):
        if slots[s].state == DISK_WAITING and slots[s].epoch == epoch:
            slots[s].in_sweep = not several or _older_of_its_device(slots, &slots[s]) < disk.batch
    return True

cdef inline int64_t disk_start(Disk* disk, DiskRequest* slots, int64_t now_ns) noexcept nogil:
    """Begin to serve the next request, if one waits and none is in service; how long it takes, or -1."""
    cdef int s, best = -1
    cdef DiskRequest* request
    cdef int64_t seek_ns, service_ns
    cdef bint is_ahead, best_is_ahead = False
    if disk.current >= 0 or not _begin_sweep(disk, slots):
        return -1
    for s in range(DISK_SLOTS):
        request = &slots[s]
        if request.state != DISK_WAITING or not request.in_sweep:
            continue
        is_ahead = request.sector >= disk.head
        if best < 0 or is_ahead > best_is_ahead or (is_ahead == best_is_ahead and (
                request.sector < slots[best].sector
                or (request.sector == slots[best].sector and request.order < slots[best].order))):
            best = s
            best_is_ahead = is_ahead
    request = &slots[best]
    service_ns = disk.command_ns + ((request.num_sectors * BLOCK_SECTOR * disk.ns_per_mib) >> 20)
    if request.sector == disk.head:
        disk.sequential += 1
    else:
        seek_ns = disk_seek_ns(disk, request.sector - disk.head if request.sector > disk.head else disk.head - request.sector)
        disk.seek_ns += seek_ns
        service_ns += seek_ns
        if disk.rotation_ns > 0:
            service_ns += <int64_t>(draw_bits(disk.key, &disk.counter) % <uint64_t>disk.rotation_ns)
    disk.head = request.sector + request.num_sectors
    disk.current = best
    disk.started_at_ns = now_ns
    request.state = DISK_IN_SERVICE
    return service_ns

cdef inline int disk_complete(Disk* disk, DiskRequest* slots, int64_t now_ns) noexcept nogil:
    """The request in service is done; its slot, which now waits for the driver in `done`."""
    cdef int s = disk.current
    disk.current = -1
    disk.busy_ns += now_ns - disk.started_at_ns
    disk.requests += 1
    disk.sectors += slots[s].num_sectors
    slots[s].state = DISK_DONE
    disk.done_slot[disk.done.tail % DISK_SLOTS] = s
    disk.done.tail += 1
    return s

cdef inline int disk_take_done(Disk* disk) noexcept nogil:
    """The slot of the next request that is done; there is one."""
    disk.done.head += 1
    return disk.done_slot[(disk.done.head - 1) % DISK_SLOTS]

cdef inline void disk_free_slot(Disk* disk, DiskRequest* request) noexcept nogil:
    request.state = DISK_FREE
    disk.num_used -= 1
