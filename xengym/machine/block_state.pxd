"""The nouns of block input and output as plain C structs: disks and what waits in them, virtual block devices.

Beside `io_state.pxd`, and in the arena like it. What a struct has many structs of (a disk its requests, a device its
operations) lies in an array of its own, so many for each.
"""
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint64_t
from xengym.machine.io_state cimport Fifo, Ring

cdef enum:
    DISK_SLOTS = 128          # requests that a disk and the queue before it hold at most (Linux 2.6: nr_requests)
    BLOCK_OPS = 128           # reads and writes of programs that a device keeps at once
    BLOCK_STAGED = 64         # requests that a driver handles at a stretch at most
    BLOCK_BATCH = 8           # of them, requests that a back end takes from one device before the next one's turn
    BLKBACK_POOL = 64         # requests that a back end has taken and not answered at most (Xen 3.0: blkif_reqs)
    FORGOTTEN = -1            # whose request it was is gone

# How a virtual block device's requests get to the disk.
cdef enum:
    BLOCK_SPLIT = 0           # Xen 3.x, split driver in the kernels of both domains
    BLOCK_TAP = 1             # the same, but through a process of the back end's domain
    BLOCK_INLINE = 2          # Xen 1.x: driver in the hypervisor
    BLOCK_NATIVE = 3          # no hypervisor: an operating system on the bare machine
    BLOCK_EMULATED = 4        # an HVM guest's IDE disk, emulated by a process in the back end's domain
    BLOCK_MODES = 5

cdef enum:
    DISK_FREE = 0
    DISK_WAITING = 1
    DISK_IN_SERVICE = 2
    DISK_DONE = 3             # until the driver has taken note of it

cdef struct DiskRequest:
    int64_t sector
    int64_t num_sectors
    int64_t order             # of arrival
    int64_t epoch             # goes up at each barrier: all of one epoch before any of the next
    int32_t vbd               # the device that it belongs to, or FORGOTTEN
    int32_t id                # its number there
    int32_t state
    int32_t in_sweep          # the elevator serves it in the present sweep
    int32_t is_write
    int32_t reserved

cdef struct Disk:
    Fifo done                 # served, and the driver has not taken note of it yet
    int64_t num_sectors
    int64_t seek_min_ns       # to the next track
    int64_t seek_max_ns       # over the whole disk
    int64_t rotation_ns       # of one turn
    int64_t ns_per_mib        # transfer
    int64_t command_ns        # taking in a command, and its answer
    int64_t head              # sector after the last one transferred
    int64_t next_order
    int64_t epoch
    int64_t requests          # served
    int64_t sectors
    int64_t sequential        # of the requests, those that continued the one before
    int64_t seek_ns           # sum
    int64_t busy_ns           # time in service, up to the last completion
    int64_t started_at_ns     # the request in service
    int64_t interrupts
    uint64_t denied           # domain slots that may not have a device on it, a bit each
    uint64_t key              # of its random stream
    uint64_t counter
    int32_t in_use
    int32_t backend           # domain slot, NO_DEVICE: the hypervisor, or NOBODY: it was of a domain that is gone
    int32_t port
    int32_t depth             # requests that it takes at most
    int32_t batch             # requests of one device in one sweep, if others wait
    int32_t num_used          # slots in use
    int32_t current           # slot in service, or -1
    int32_t next_vbd          # where the hypervisor's round over the devices begins
    int16_t done_slot[128]

# A read or write that a program asked for, in as many ring requests as it takes.
cdef struct BlockOp:
    int64_t sector
    int64_t bytes
    int64_t issued            # bytes that have been put into the ring so far
    int64_t answered
    int64_t order             # of submission
    int64_t submitted_at_ns
    int32_t cookie
    int32_t in_use
    int32_t is_write
    int32_t is_barrier
    int32_t has_failed
    int32_t next_free

cdef enum:
    BLOCK_FREE = 0
    BLOCK_QUEUED = 1          # in the ring, or taken by the back end
    BLOCK_ANSWERED = 2        # its response is in the ring
    BLOCK_HARVESTED = 3       # the front end has taken the response
    BLOCK_SHADOW = 4          # waits for the device to be connected again

# The front end's copy of a request (Xen: its shadow), by id.
cdef struct BlockRequest:
    int64_t sector            # on the virtual device
    int64_t bytes
    int64_t order             # in which it was put into the ring
    int32_t op
    int32_t num_segments
    int32_t state
    int32_t is_write
    int32_t is_barrier
    int32_t has_failed
    int32_t grant[11]         # of each segment's page, or -1
    int32_t reserved

cdef struct Vbd:
    Ring ring
    Fifo waiting              # operations that have not been put into the ring wholly
    Fifo tapped               # requests on the way to the process behind the device
    int64_t start_sector      # on the disk
    int64_t num_sectors
    int64_t next_order
    int64_t next_op_order
    int64_t requests          # answered
    int64_t bytes             # of them, those that did not fail
    int64_t failures          # answered with an error
    int64_t reconnections
    int32_t in_use
    int32_t is_connected
    int32_t frontend          # domain slot
    int32_t backend           # domain slot, or NO_DEVICE: the hypervisor
    int32_t frontend_port
    int32_t backend_port
    int32_t disk
    int32_t mode
    int32_t is_read_only
    int32_t depth             # requests outstanding at most
    int32_t notify_after      # responses after which the front end wants to be notified
    int32_t notify_due
    int32_t num_free
    int32_t first_free_op
    uint16_t slot[32]         # id in each slot of the ring: of the request, then of the response
    uint16_t free[32]         # ids not in use
    uint16_t tap_id[32]       # of `tapped`
    int16_t waiting_op[128]   # of `waiting`

# What a domain's block drivers have under way.
cdef struct BlockDomain:
    int32_t vbd               # the device that its programs use, or NO_DEVICE
    int32_t num_staged
    int32_t front_vbd         # the device that its front end works for, or NO_DEVICE
    int32_t num_to_put        # requests that its front end is about to put into the ring
    int32_t is_tap_stage      # its back end's process works, not its kernel
    int32_t next_vbd          # where the back end's round begins
    int32_t staged_vbd[64]    # of the back end
    int32_t staged_id[64]     # request's id on the device; of a disk's driver: slot of the disk

# An operation that has come to its end, for those who look on.
cdef struct BlockRecord:
    int64_t at_ns
    int64_t submitted_at_ns
    int64_t sector
    int64_t bytes
    int32_t domain            # domain slot
    int32_t vbd
    int32_t cookie
    int32_t is_write
    int32_t has_failed
    int32_t reserved
