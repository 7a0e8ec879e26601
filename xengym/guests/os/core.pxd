"""What a vCPU with an operating system does next: interrupts, then drivers, then programs (`core.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.hypervisor.core cimport GuestKind
from xengym.machine.io_state cimport Grant, GrantTable, Port, Ports

cdef enum:
    MODE_IDLE = 0             # blocked, or about to be
    MODE_PROGRAM = 1          # its work is a program's
    MODE_KERNEL = 2           # its work is a driver's

# Work of drivers: a kind in the upper bits, the number of the device (or 0) in the lower.
cdef enum:
    ITEM_NONE = 0             # only work that is owed, as the way into the event handler
    ITEM_NIC = 1              # a card has packets
    ITEM_NETBACK_TX = 2       # guests have sent packets
    ITEM_NETBACK_RX = 3       # packets wait for guests
    ITEM_NETFRONT = 4         # the back end has answered
    ITEM_SEND = 5             # the domain's connections have something to send
    ITEM_DISK = 6             # a disk has finished requests
    ITEM_BLKBACK = 7          # a guest has block requests
    ITEM_BLKFRONT = 8         # they have been answered
    ITEM_VIF_EVENT = 9        # to the back end: requests or buffers in a network ring
    ITEM_SHIFT = 16
    ITEM_SLOTS = 128          # more than the different pieces of work that there can be in a domain

cdef struct OsVcpu:
    int64_t set_aside_ns      # rest of a program's work while a driver runs, or -1
    int64_t owed_ns           # kernel work to be added to the next piece
    int32_t mode
    int32_t item              # of the driver's work under way
    int32_t num_staged        # packets or requests it holds
    int32_t program           # what the program's work is for (see `Programs`)
    int32_t first_item
    int32_t num_items
    int32_t items[128]        # drivers' work that waits, first come first served

cdef struct OsDomain:
    int64_t crashes
    int32_t has_os
    int32_t has_crashed       # not restarted yet
    int64_t reserved

cdef inline int make_item(int kind, int number) noexcept nogil:
    return (kind << ITEM_SHIFT) | number

cdef class OsCore(GuestKind):
    cdef readonly int max_vcpus
    cdef readonly int max_domains
    cdef OsVcpu* os
    cdef OsDomain* os_domain
    cdef Ports* ports
    cdef Port* port           # MAX_PORTS of each domain
    cdef GrantTable* grants
    cdef Grant* grant         # MAX_GRANTS of each domain
    cdef int64_t* served      # CPU time that domain a spent on behalf of domain b, at a * max_domains + b
    cdef int64_t upcall_ns
    cdef int64_t port_ns
    cdef int64_t hypercall_ns

    cdef void charge(self, int d, int served, int64_t ns) noexcept nogil
    cdef void charge_idle(self, int d, int64_t ns) noexcept nogil
    cdef void owe(self, int d, int served, int64_t ns) noexcept nogil
    cdef void queue_item(self, int d, int item) noexcept nogil
    cdef void interrupt(self, int v) noexcept nogil
    cdef void send_port(self, int d, int port) noexcept nogil
    cdef void notify(self, int d, int port, int served) noexcept nogil
    cdef int64_t _left_ns(self, int v) noexcept nogil
    cdef void _harvest(self, int v) noexcept nogil
    cdef void plan(self, int v) noexcept nogil
    # A driver's work: `begin` takes what there is and says how long it takes (negative: nothing to do), `finish` has its
    # effects. A program's: `begin_program` likewise, `finish_program` when it is done.
    cdef int64_t begin(self, int v, int item) noexcept nogil
    cdef void finish(self, int v, int item) noexcept nogil
    cdef int64_t begin_program(self, int v) noexcept nogil
    cdef void finish_program(self, int v) noexcept nogil
    cdef int new_port(self, int d, int item) noexcept nogil
    cdef void connect_ports(self, int d, int port, int peer, int peer_port) noexcept nogil
    cdef void free_port(self, int d, int port) noexcept nogil
