"""The nouns of input and output as plain C structs: packets, rings, event channels, grants, virtual and real devices.

Like the machine's own (`state.pxd`) they live in the arena; the dtypes are derived from them (`io_state.pyx`). What a
struct has many structs of (a ring its packets, a domain its ports) lies in an array of its own, so many for each.
"""
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    NET_SLOTS = 256           # of a network ring, one page (Xen: netif ring)
    BLOCK_SLOTS = 32          # of a block ring, one page (Xen: blkif ring)
    BLOCK_SEGMENTS = 11       # pages of one block request at most
    BLOCK_SECTOR = 512        # bytes
    PAGE_BYTES = 4096
    MAX_PORTS = 256           # event-channel ports of a domain
    MAX_GRANTS = 1024         # entries of a domain's grant table
    BATCH = 64                # packets a driver handles at a stretch (Linux: the weight of a network poll)
    WIRE_SLOTS = 1024         # packets on a cable and in the switch at its end, each way
    MAX_NICS = 16             # network cards of a host
    MAX_VIFS = 64             # virtual network interfaces of a host
    NIC_SLOTS = 512           # most receive buffers of a network card
    LOOSE_SLOTS = 64          # packets without a connection that wait in a domain
    NIC_TX_SLOTS = 256        # packets that a card takes before they leave
    OUTSIDE = -1              # the end of a connection that is not on this host
    NOBODY = -2               # it was a domain that is gone
    NO_DEVICE = -1

# How a virtual interface's packets get to its domain.
cdef enum:
    VIF_FLIP = 0              # Xen 3.x, split driver: the page changes owner
    VIF_COPY = 1              # Xen 3.x, split driver: the hypervisor copies into the guest's page
    VIF_INLINE = 2            # Xen 1.x: driver in the hypervisor, which exchanges pages
    VIF_NATIVE = 3            # no hypervisor: an operating system on the bare machine
    VIF_EMULATED = 4          # an HVM guest's card, emulated by a process in the back end's domain

cdef enum:
    PACKET_DATA = 0           # of a connection; carries an acknowledgement as well
    PACKET_ACK = 1            # only that
    PACKET_ECHO = 2           # ping
    PACKET_ECHO_REPLY = 3
    PACKET_DATAGRAM = 4       # nobody answers
    PACKET_FRAGMENT = 5       # further page of the packet in the slot before

cdef enum:
    FLAG_LAST = 1             # last packet of a message
    FLAG_PARTIAL = 2          # one of several acknowledgements of one large packet

cdef struct Packet:
    int64_t made_at_ns        # by its sender
    int64_t seq               # of a connection's packets; of an echo, its number
    int64_t ack               # next one expected the other way
    int32_t flow              # connection, or the population of clients an echo belongs to
    int32_t bytes
    int32_t request           # number by which it is followed, or 0
    int16_t source            # domain slot, or OUTSIDE
    int16_t target
    uint8_t kind
    uint8_t side              # who of the connection sent it: 0 the client, 1 the server
    uint8_t flags
    uint8_t pages
    uint32_t generation       # of the connection: numbers are used again, packets under way are not taken for the next's

# The shared part of a ring. Indices run free and wrap at 2**32.
cdef struct Ring:
    uint32_t req_prod
    uint32_t req_cons         # the back end's own, here for all to see
    uint32_t rsp_prod
    uint32_t rsp_cons         # the front end's own
    uint32_t req_event        # notify the back end when req_prod passes it
    uint32_t rsp_event        # notify the front end when rsp_prod passes it
    uint32_t size
    uint32_t notifications    # sent so far, both ways

cdef struct Port:
    int32_t peer              # domain slot at the other end, or -1
    int32_t peer_port
    int32_t item              # the driver's work that it announces
    int32_t in_use

# A domain's event channels.
cdef struct Ports:
    uint64_t pending[4]
    uint64_t masked[4]
    int32_t upcall_masked     # the domain holds off: what is pending stays so
    int32_t scan_next         # where a round-robin scan begins
    int32_t is_round_robin    # else every scan begins at port 0
    int32_t num_ports
    int64_t sent
    int64_t upcalls

# A domain's grant table.
cdef struct Grant:
    int16_t peer              # domain slot that may use the page, or -1: free
    int16_t num_mapped
    int32_t next_free         # or what it is for, while it is granted

cdef struct GrantTable:
    int32_t first_free        # -1: none
    int32_t num_granted
    int64_t refused           # attempts to take back a page that was still mapped
    int64_t num_maps
    int64_t num_copies
    int64_t num_transfers

# First in, first out: positions run free.
cdef struct Fifo:
    int64_t head
    int64_t tail

cdef struct Vif:
    Ring tx
    Ring rx
    Fifo queue                # packets for the domain that the back end holds
    int64_t credit_bytes      # it may send so much in every credit_ns; 0: no limit
    int64_t credit_ns
    int64_t credit_left
    int64_t credit_until_ns   # end of the present interval
    int64_t rx_packets
    int64_t tx_packets
    int64_t rx_dropped
    int64_t tx_dropped
    int32_t in_use
    int32_t is_connected
    int32_t frontend          # domain slot
    int32_t backend           # domain slot, or NO_DEVICE: the hypervisor
    int32_t frontend_port
    int32_t backend_port
    int32_t nic               # of the traffic with the outside, or NO_DEVICE
    int32_t mode
    int32_t mtu
    int32_t is_offloading     # hands over up to 64 KiB at once, with checksums left to the card
    int32_t rx_target         # receive buffers it wants posted
    int32_t num_tx_free
    int32_t num_rx_free
    int32_t promised          # buffers that packets which the back end holds will take
    int32_t notify_due        # the frontend has to be notified at the end of the batch
    uint16_t tx_slot[256]     # id in each slot of the ring: of the request, then of the response
    uint16_t rx_slot[256]
    uint16_t tx_free[256]     # ids not in use
    uint16_t rx_free[256]
    int32_t tx_grant[256]     # by id
    int32_t rx_grant[256]

cdef struct Nic:
    Fifo wire_in              # on the cable towards it
    Fifo buffered             # in its receive buffers
    Fifo wire_out             # handed over to it, until they arrive outside
    int64_t departed          # position in wire_out of the first packet that has not left yet
    int64_t ns_per_mib        # line rate
    int64_t delay_ns          # to the clients, one way
    int64_t in_free_at_ns     # when the line is free again
    int64_t out_free_at_ns
    int64_t irq_gap_ns        # interrupts are at least so far apart
    int64_t last_irq_at_ns
    int64_t interrupts
    int64_t rx_packets
    int64_t tx_packets
    int64_t rx_dropped        # no receive buffer was free
    int64_t lost              # on the network, by chance or in a full switch
    uint64_t denied           # domain slots that may not have an interface on it, a bit each
    uint64_t loss_key
    uint64_t loss_counter
    int32_t loss_ppm
    int32_t rx_buffers
    int32_t backend           # domain slot, or NO_DEVICE: the hypervisor
    int32_t port
    int32_t irq_is_on
    int32_t in_use
    int64_t in_at_ns[1024]
    int64_t out_depart_ns[1024]
    int64_t out_at_ns[1024]

cdef inline int64_t fifo_count(Fifo* fifo) noexcept nogil:
    return fifo.tail - fifo.head

# What belongs to the host as a whole.
cdef struct IoHost:
    int64_t orphaned          # packets whose domain was gone
    int64_t made              # packets that domains have made, of whatever became of them
    int32_t netback_next      # where the back ends' round begins
    int32_t reserved

cdef enum:
    FLOW_FREE = 0
    FLOW_OPEN = 1
    FLOW_BULK = 2             # one side sends without end

# One direction of a connection, in packets: what `side` sends and the other side receives.
cdef struct Half:
    int64_t next              # next one to send
    int64_t acked             # all before are known to have arrived
    int64_t end               # there are messages up to here
    int64_t received          # all before have arrived
    int64_t message           # where the present message begins
    int64_t message_bytes
    int64_t made_at_ns        # the present message was handed over
    int64_t progress_at_ns    # last acknowledgement that was news, or first packet of a message
    int64_t recover           # it went back when this one was the next to send; once is enough for a loss
    int32_t unacked           # packets that have arrived and for which no acknowledgement is due yet
    int32_t acks_due          # by the side that receives these packets
    int32_t allowance         # packets on their way at most, as losses have taught it
    int32_t grown             # packets acknowledged since it last grew
    int32_t duplicates        # acknowledgements in a row that were no news
    int32_t retries           # in a row
    int32_t is_queued         # in its domain's list of connections that have something to send
    int32_t next_queued
    int32_t reserved

cdef struct Flow:
    int32_t state
    int32_t end[2]            # domain slot of the client and of the server, or OUTSIDE
    int32_t mss[2]            # bytes of a full packet that it sends
    int32_t window            # packets in flight at most
    int32_t nic               # of the side outside, or NO_DEVICE
    int32_t owner             # who is told: a population of clients, or a domain's service
    int32_t request           # number by which the present request is followed, or 0
    int32_t cookie            # the owner's own
    int32_t next_free
    uint32_t generation       # connections that have had this number before

# A domain's connections that have something to send, and packets that belong to none.
cdef struct SendQueue:
    int32_t first
    int32_t last
    Fifo loose
