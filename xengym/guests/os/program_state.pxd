"""State of the programs of a guest with an operating system, and of the clients outside."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.sim.random cimport Distribution

cdef enum:
    SIZE_CLASSES = 4
    JOB_SLOTS = 512           # pieces of programs' work that wait in a domain
    ACCEPT_SLOTS = 128        # requests that wait for a server process

# Answers requests of clients and of other domains' services.
cdef struct Service:
    Distribution before       # CPU time before what it has to wait for
    Distribution after        # and once it has it all
    Distribution dynamic      # of a dynamic page, in place of `before`
    uint64_t key
    uint64_t counter
    int64_t size_bytes[4]     # of answers
    int64_t disk_bytes        # that a request reads if it reads at all
    int32_t size_ppm[4]       # how often each
    int32_t dynamic_ppm
    int32_t disk_ppm
    int32_t is_writing        # it writes instead, and waits until that is on the disk
    int32_t calls             # requests to another domain's service, one after the other
    int32_t callee            # its domain slot, or -1
    int32_t call_bytes
    int32_t max_requests      # processes that serve
    int32_t num_requests      # of them, those that are busy
    int32_t exists
    int32_t reserved

# A request that a service works on.
cdef struct Request:
    int64_t arrived_at_ns
    int64_t sector
    int32_t domain            # slot, or -1: not in use
    int32_t flow
    int32_t stage
    int32_t calls_left
    int32_t call_flow
    int32_t number            # by which it is followed
    int32_t next_free
    int32_t is_dynamic

# A process that computes and uses the disk, again and again.
cdef struct Loop:
    Distribution work
    Distribution think
    uint64_t key
    uint64_t counter
    int64_t began_at_ns
    int64_t bytes
    int64_t first_sector
    int64_t num_sectors
    int64_t position
    int64_t done
    int64_t wake_at_ns        # it sleeps until then, or -1
    int32_t domain            # slot, or -1: not in use
    int32_t disk_ppm
    int32_t is_writing
    int32_t is_barrier
    int32_t is_sequential
    int32_t reserved

# What a domain's programs have to do.
cdef struct Programs:
    int64_t first_job
    int64_t last_job
    int64_t first_accept
    int64_t last_accept
    int64_t refused           # requests for which there was no room
    int64_t bulk_bytes        # of bulk connections: received
    int64_t bulk_bytes_acked  # and sent, as far as acknowledged
    int32_t has_background    # it computes whenever nothing else is to be done
    int32_t reserved

cdef enum:
    CLIENTS_CLOSED = 0        # each thinks, asks, waits for the answer
    CLIENTS_OPEN = 1          # requests come at random, whatever became of those before
    CLIENTS_STREAM = 2        # each asks for a piece in every period, which has a deadline
    CLIENTS_FLOOD = 3         # packets that nobody answers
    CLIENTS_PING = 4

# A population of clients outside.
cdef struct Population:
    Distribution think        # closed: think time; open, flood, ping: time between arrivals; stream: the period
    uint64_t key
    uint64_t counter
    int64_t next_at_ns        # next arrival (open, flood, ping)
    int64_t deadline_ns       # of an answer; 0: none
    int64_t started_at_ns
    int64_t numbers_before    # requests' numbers given before its own
    int64_t issued
    int64_t answered
    int64_t in_time
    int64_t failed
    int64_t bytes             # of answers
    int64_t response_ns       # sum over answers
    int64_t response_max_ns
    int32_t kind              # or -1: not in use
    int32_t domain            # slot that they talk to
    int32_t nic
    int32_t first             # of its clients
    int32_t num
    int32_t num_waiting       # clients in its heap of those that think
    int32_t num_free          # open: clients without a request
    int32_t request_bytes
    int32_t window
    int32_t reserved

cdef struct Client:
    int64_t at_ns             # when it acts next
    int64_t asked_at_ns       # or when it should have, for a stream
    int32_t flow
    int32_t is_asking
    int32_t heap              # client at this place of its population's heap, or of its free ones
    int32_t number            # of its request

# One end of a migration's stream, in the domain that sends or takes it (Dom0).
cdef struct Stream:
    int64_t bytes_per_s       # asked for; 0: it rests
    int64_t cpu_ns            # work on one piece
    int64_t due_ns            # next piece of one that sends
    int64_t pieces            # begun so far
    int64_t fed_bytes         # of one that is taken: put on the cable so far
    int64_t arrived_bytes     # and come in
    int64_t done_bytes        # sent and acknowledged, or taken in and worked on
    int64_t owed_bytes        # arrived, not worked on
    int32_t domain            # slot, or -1: not in use
    int32_t flow              # -1: it was given up
    int32_t is_outgoing
    int32_t is_working        # a piece waits for the CPU or has it
