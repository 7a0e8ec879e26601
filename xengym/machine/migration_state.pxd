"""The nouns of moving a domain: what of its memory is written how often, and how far a move has got.

Memory is described by *regions*, sets of pages that are written alike, so that a domain of any size costs the same. The
dtypes are derived from these structs (`migration_state.pyx`).
"""
from libc.stdint cimport int32_t, int64_t

cdef enum:
    MAX_REGIONS = 8
    MAX_ROUNDS = 40           # that a move keeps a record of

cdef enum:
    PATTERN_RANDOM = 0        # each write goes to any of the region's pages
    PATTERN_SWEEP = 1         # the region is written through from end to end, again and again

# Which of a domain's pages are written how often, and which have been since the dirty log was last cleared.
cdef struct WorkingSet:
    int64_t pages[8]
    double writes_per_s[8]    # page writes in a second in which the domain runs as it would alone
    double exposure[8]        # writes since the log was cleared, in times the region's size
    int32_t pattern[8]
    int32_t stun_after[8]     # write faults in a round after which the process that owns it is stunned; 0: never
    int64_t free_pages        # that the guest does not use, beside the regions
    int32_t num_regions
    int32_t is_logging

cdef enum:
    STAGE_NONE = 0
    STAGE_PRE_MIGRATION = 1   # Clark's stage 0: a destination is chosen and asked
    STAGE_RESERVATION = 2     # 1: the destination sets aside what the domain needs
    STAGE_DISK = 3            # its disk is copied, and what it writes meanwhile
    STAGE_PRECOPY = 4         # 2: rounds, while it runs
    STAGE_ROUND_END = 5       # a round has ended: somebody has to say what comes next
    STAGE_STOP_AND_COPY = 6   # 3: it stands still, the rest is sent
    STAGE_COMMITMENT = 7      # 4: the destination has all of it and says so
    STAGE_ACTIVATION = 8      # 5: it resumes at the destination
    STAGE_DONE = 9
    STAGE_ABORTED = 10        # it runs at the source, as if nothing had begun

cdef enum:
    MOVE_LIVE = 0             # Clark's pre-copy, by Dom0
    MOVE_STOP = 1             # stopped, copied, started again
    MOVE_SELF = 2             # the guest copies itself (Hansen and Jul)

cdef enum:
    REASON_NONE = 0
    REASON_LINK = 1           # the link between the hosts failed
    REASON_REFUSED = 2        # the destination refused
    REASON_DESTINATION = 3    # the destination died
    REASON_SOURCE = 4         # the source died
    REASON_CANCELLED = 5      # the operator's wish
    REASON_NO_ROOM = 6        # the destination has no memory for it

# One move. Rates in bytes of the stream a second; pages of 4096 bytes.
cdef struct Migration:
    # What was ordered.
    double min_bytes_per_s    # of the first round
    double max_bytes_per_s
    double last_bytes_per_s   # of stop-and-copy
    double step_bytes_per_s   # above the measured dirty rate
    int64_t request_ns        # to ask the destination and have its answer, once
    int64_t suspend_ns        # to stop the domain and save what is not memory
    int64_t resume_ns         # to set it going at the destination, up to the gratuitous ARP
    int64_t commit_ns         # the destination's acknowledgement
    int64_t drain_ns          # of a bypass device: to empty its queue pairs before the stop
    int64_t remap_ns          # and to translate its handles and resume them at the destination
    int64_t own_pages         # MOVE_SELF: that the copying itself writes to
    double own_writes_per_s   # and how often; what it dirties during the stop goes to a buffer that is sent last
    int32_t kind
    int32_t law               # how the next round's rate follows (`policies/control/precopy_rules`)
    int32_t stop_rule         # and when to stop
    int32_t skips_redirtied   # pages that are dirty again already are left for the next round
    int32_t gives_back_free   # free pages are ballooned out before the first round
    int32_t stuns_from_round  # rogue writers are stunned from this round on (`WorkingSet.stun_after`); 0: never
    int32_t max_rounds        # of the rule that counts them
    int32_t has_disk          # its disk goes first: STAGE_DISK lasts until `migration_disk_done`
    # How far it has got.
    int32_t stage
    int32_t reason
    int32_t round             # number of the present round, from 1; 0 before the first
    int32_t stop_part         # MOVE_SELF: 1 sends what is dirty, 2 the buffer
    int64_t stage_left_ns     # of a stage that takes a time of its own
    int64_t round_ns          # since the present round began
    int64_t elapsed_ns        # since the move began
    int64_t downtime_ns       # that the domain has stood still for it
    int64_t to_send[8]        # pages of each region that the present round goes through
    int64_t extra_pages       # that belong to no region: likewise
    double scanned            # part of them that it has gone through
    double sent_pages         # and pages that it has sent
    double rate_bytes_per_s   # that the present round asks for
    int64_t sent_bytes        # of all rounds that have ended
    int64_t skipped_pages     # likewise
    # Of each round.
    int64_t round_ns_of[40]
    int64_t sent_pages_of[40]
    int64_t skipped_pages_of[40]
    int64_t dirtied_pages_of[40]
    double rate_of[40]        # asked for, bytes a second
