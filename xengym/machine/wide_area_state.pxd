"""The nouns of a move between sites: a disk that goes along, the line between the sites, and who is connected.

A disk is described by *extents*, ranges of blocks that are written alike, in the order in which they lie on it; so a disk of any
size costs the same. The dtypes are derived from these structs (`wide_area_state.pyx`).
"""
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    MAX_EXTENTS = 8
    MAX_CONDITIONS = 64

# An image on its way, and what is written to it meanwhile. A *delta* is one such write: place, size and data.
cdef struct DiskCopy:
    # What is copied.
    int64_t block_bytes
    int64_t header_bytes           # of a delta, beside its block
    int64_t extent_blocks[8]
    double extent_writes_per_s[8]  # blocks written in a second in which nobody holds the writer up
    double apply_bytes_per_s       # at which the destination applies deltas
    double bulk_bytes_per_s        # limit of the bulk copy alone; 0: none
    double record_overhead_frac    # of the domain's speed, while writes are recorded
    int64_t threshold_writes       # so many are recorded before writes are held up
    int64_t delay_ns               # each by so long; 0: never
    int32_t num_extents
    int32_t is_recording
    # How far it has got.
    double copied_bytes            # of the image, in order
    double num_writes              # recorded
    double sent_bytes              # of deltas: the destination has them
    double applied_bytes           # of deltas
    double held_up_writes          # that the domain would have made, had it not been held up
    double wanted_writes           # that it would have made in all

# The line between the two hosts. Rates in bytes a second.
cdef struct Line:
    double bytes_per_s
    double own_share_frac          # of the line, that the move gets at least where others want all of it
    double limit_bytes_per_s       # of the whole move; 0: none
    int64_t window_bytes           # that may be on their way without an acknowledgement; 0: no such limit
    int64_t delay_ns               # one way
    int64_t patience_ns            # the move gives up when the line has been down for so long
    int64_t down_ns                # that it has been down for now
    double carried_bytes           # for the move
    double others_wanted_bytes
    double others_got_bytes
    int32_t is_cut                 # by a fault, whatever the condition says
    int32_t reserved

# What changes by itself, from an instant on.
cdef struct Condition:
    int64_t from_ns
    double write_factor            # writes to the disk, in times those of the extents
    double memory_factor           # activity of the domain's memory
    double competing_bytes_per_s   # that others want of the line
    double line_factor             # of the line's rate that there is; 0: it is down

cdef enum:
    AT_OLD = 0
    AT_NEW = 1

cdef enum:
    CLIENT_THINKS = 0
    CLIENT_CONNECTED = 1

# One who talks with the domain: opens a connection, exchanges some messages, closes it, thinks.
cdef struct Client:
    int64_t next_ns                # when the present exchange or the thinking ends
    int64_t exchanges_left
    int64_t cached_until_ns        # its resolver's answer is good until then
    uint64_t draws
    int32_t state
    int32_t address                # that its connection is to
    int32_t cached_address
    int32_t is_tunnelled

# How the domain is reached.
cdef struct Redirection:
    # What was ordered.
    int64_t tunnel_ns              # to set up the tunnel, just before the pause
    int64_t dns_ns                 # after the start until the name points to the new address
    int64_t ttl_ns                 # for so long may a resolver keep an answer
    int64_t timeout_ns             # a connection that hears nothing for longer is given up
    int64_t extra_ns               # that the way through the tunnel adds to an exchange
    int64_t exchange_ns            # of one exchange on the direct way
    double think_ns                # mean
    double exchanges               # of a connection, mean
    uint64_t key                   # of the clients' stream of random numbers
    int32_t num_clients
    int32_t keeps_address          # inside a subnet: the address moves along, neither tunnel nor name are touched
    int32_t has_tunnel
    # How it stands.
    int32_t is_tunnel_up
    int32_t is_paused
    int32_t is_gone                # the domain runs nowhere and will not come back by itself
    int64_t paused_at_ns
    int64_t moved_at_ns            # -1: not yet, likewise below
    int64_t tunnel_up_at_ns
    int64_t tunnel_down_at_ns
    int64_t name_updated_at_ns
    int64_t last_old_end_ns        # of connections to the old address after the move
    int64_t opened
    int64_t ended
    int64_t lost                   # ended before their time
    int64_t refused                # attempts that found nobody, to be made again
    int64_t opened_new             # at the new address
    int64_t opened_stale           # at the old one after the move, by a resolver's old answer
    int64_t tunnelled              # connections that the move carried through the tunnel
    int64_t done_exchanges

cdef enum:
    ON_RULES = 0                   # after a round, the engine's law and rule decide
    ON_REQUEST = 1                 # somebody outside does, through `wants_stop`

# The rest of a move between sites.
cdef struct WideState:
    int64_t now_ns
    int64_t tunnel_left_ns         # until the tunnel stands, at the end of the last round
    int64_t gap_left_ns            # until the next round, where the last one left next to nothing
    int64_t disk_ns                # that the disk has taken
    int64_t memory_pages
    int64_t source_pages           # that each side holds for the domain
    int64_t destination_pages
    int64_t source_blocks
    int64_t destination_blocks
    int32_t num_conditions
    int32_t condition
    int32_t refuses                # the reason that the destination will give; 0: it says yes
    int32_t freezes                # the domain stands still from the first block on
    int32_t decides
    int32_t wants_stop
    int32_t source_lives           # the hosts
    int32_t destination_lives
    int32_t source_runs            # the domain, on each
    int32_t destination_runs
