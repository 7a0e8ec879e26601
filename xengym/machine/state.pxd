"""The nouns of one machine as plain C structs.

Every array below lives in one NumPy-owned block of memory (the *arena*), so a snapshot is one copy, equality is one
comparison, and Python reads the live state without a copy. The NumPy dtypes are derived from these structs
(`state.pyx`); there is no second definition to keep in step.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from xengym.machine.mask cimport highest_bit
from xengym.machine.memory_state cimport DomainMemory, HostMemory

cdef enum:
    MASK_WORDS = 4            # pCPU masks hold 256 bits
    MAX_PCPUS = 256
    MAX_POOLS = 16            # cpupools, and at most one for each pCPU
    NO_POOL = -1
    REFILL_STEPS = 16
    RESPONSE_BINS = 112       # four bins an octave from 1 us; see response_bin
    NO_VCPU = -1

# Runstates, with the numbers of Xen's public interface (spec: run-state ABI).
cdef enum:
    RUNNING = 0
    RUNNABLE = 1
    BLOCKED = 2
    OFFLINE = 3

# Why a vCPU may not run, beside its pause count (bit numbers of Xen's pause flags).
cdef enum:
    PAUSE_BLOCKED = 1 << 0
    PAUSE_DOWN = 1 << 1
    PAUSE_MIGRATING = 1 << 3

# Work that never ends.
cdef extern from *:
    """
    #define XENGYM_FOREVER INT64_MAX
    """
    const int64_t FOREVER "XENGYM_FOREVER"

cdef struct Clock:
    int64_t now_ns
    int64_t events            # events taken from the queue
    int64_t passes            # runs of the scheduler (SCHEDULE soft interrupts served)
    int64_t context_switches
    uint64_t arm_seq          # stamps hypervisor timers: earlier armed fires first
    uint64_t pending[4]       # pCPUs whose SCHEDULE soft interrupt is raised
    uint64_t seed
    int32_t any_pending
    int32_t executing_pcpu    # where the code that is running now executes (whose per-CPU data a waker uses)
    int32_t num_domains
    int32_t num_vcpus
    int32_t num_soft          # vCPUs whose soft affinity is effective
    int32_t scan_pcpu         # where the present round of scheduler passes has got to
    int32_t awaiting_pcpu     # pCPU whose decision has to come from outside before time goes on, or -1
    int32_t halted            # a policy written in Python failed: time stops until its error is raised
    int64_t monitor_records   # trace records written for the monitor since the start (see `Costs.monitor_record_ns`)
    int64_t monitor_charged   # of them, those whose cost somebody has borne

cdef struct Pcpu:
    int64_t context_switches
    int64_t invocations       # scheduler passes on this pCPU
    int64_t guests_in         # guests switched in here so far
    int64_t transfers_at_in   # page transfers when a back end's vCPU was last switched in, if the host is monitored
    int32_t curr              # vCPU running here (idle vCPUs included)
    int32_t last_guest        # last non-idle vCPU that ran here: its cache contents are still warm
    int32_t pool              # cpupool it belongs to, or NO_POOL: then it runs idle
    int32_t reserved

# A cpupool: pCPUs under one scheduler, and the domains that run there.
cdef struct Pool:
    uint64_t pcpus[4]
    int32_t num_pcpus
    int32_t in_use

cdef struct Vcpu:
    int64_t runstate_ns[4]    # time spent in each runstate, up to runstate_at_ns
    int64_t runstate_at_ns    # when the present runstate was entered
    int64_t switch_at_ns      # last switched in, or saved after being switched out
    int64_t work_left_ns      # CPU time until the guest program must decide again
    int64_t work_at_ns        # instant at which work_left_ns was true (while running)
    int64_t wake_at_ns        # wake-up that waits for its dispatch, or -1
    int64_t overhead_ns       # CPU time spent on switch and cache-refill cost, trace records for the monitor, its kernel's work
    int64_t last_in           # the pCPU's `guests_in` when it was last switched in there
    int64_t dispatches
    int64_t allocated_ns      # sum of the slices given at dispatch
    int64_t allocated_min_ns  # shortest and longest of them in this sample of the monitor, if one runs (`guests/xenbaked`),
    int64_t allocated_max_ns  # else since its creation; 0: none
    int64_t wakes
    int64_t blocks
    int64_t segments          # pieces of work completed
    int64_t wake_latency_ns   # sum over wake-ups of the delay to the dispatch
    int64_t wake_latency_count
    int64_t wake_latency_max_ns
    int64_t held_ns           # wanted to run, but paused by the scheduler (parked by its cap)
    int64_t migrations        # dispatches on another pCPU than the time before
    int64_t yields
    int64_t unbounded         # dispatches without a slice
    int64_t flip_free         # of a back end's vCPU on a monitored host: executions in which no page changed owner
    int64_t hypercalls        # that its program made
    int64_t hypervisor_entries  # them, and faults that went through the hypervisor, or exits from guest mode
    uint64_t hard_affinity[4]
    uint64_t soft_affinity[4]
    uint64_t allowed[4]       # hard affinity within the domain's cpupool
    uint32_t pause_flags
    int32_t pause_count
    int32_t runstate
    int32_t domain            # slot in the domain array, not the domain's id
    int32_t vcpu_in_domain
    int32_t pcpu              # where it runs, queues or last ran
    int32_t dispatched_pcpu   # pCPU of the last dispatch, or -1
    int32_t waker_pcpu        # pCPU on which its next wake-up executes
    int32_t soft_is_effective
    int32_t is_pinned         # may run on one pCPU only
    int32_t event_pending     # event-channel upcall waiting
    int32_t is_polling
    int32_t in_use
    int32_t is_idle
    int32_t has_started
    int64_t aside_ns          # while it does its kernel's work (`in_kernel`): `work_left_ns` of its program
    int32_t in_kernel         # the balloon driver runs on it
    int32_t reserved

cdef struct Domain:
    int64_t jobs_submitted
    int64_t jobs_done
    int64_t jobs_in_time
    int64_t jobs_dropped
    int64_t work_submitted_ns
    int64_t response_ns       # sum over jobs done
    int64_t response_max_ns
    int64_t latency_target_ns  # 0: no service level on response time
    int64_t created_at_ns
    double agreed_pcpus       # CPU the operator promised, in pCPUs; 0: none
    int32_t response_bins[112]
    int32_t domid
    int32_t first_vcpu
    int32_t num_vcpus
    int32_t pause_count
    int32_t is_privileged
    int32_t pool              # cpupool it runs in
    int32_t in_use
    int32_t is_hvm            # fully virtualised with the processor's help, else paravirtualised

# What a domain's input and output comes to. Written where it happens (`mechanisms`, `guests`); schedulers may read it.
cdef struct DomainIo:
    int64_t served_ns         # CPU time that back ends spent on its behalf: the true split
    int64_t serving_ns        # CPU time that it spent on behalf of others
    int64_t idle_ns           # of a back end's domain: CPU time its kernel spent for nobody in particular
    int64_t rx_packets        # network packets handed to it
    int64_t tx_packets        # and taken from it
    int64_t rx_bytes
    int64_t tx_bytes
    int64_t rx_dropped        # packets for it that were lost on this host
    int64_t tx_dropped        # packets from it that were lost on this host
    int64_t block_requests    # block requests answered
    int64_t block_bytes
    int64_t page_exchanges    # pages that changed hands or were copied between it and back ends
    int64_t page_transfers    # of them, those that changed owner (flips)
    int64_t last_tx_at_ns     # when it last put packets into a transmit ring, or -1
    int64_t prev_tx_at_ns     # and the time before, or -1
    int32_t rx_pending        # packets in its receive rings that it has not taken yet
    int32_t tx_pending        # requests in its rings (network and block) that no back end has taken yet
    int32_t nic_pending       # of a back end's domain: packets that wait in its network cards
    int32_t is_backend        # serves other domains' devices
    int32_t traffic_stopped   # its network traffic is stopped (see `Hypervisor.set_traffic`)
    int32_t reserved

# One event: a timer slot. `key` orders the events of one instant; see sim/timers.pxd.
cdef struct Timer:
    int64_t at_ns
    uint64_t key

cdef struct TraceRecord:
    int64_t at_ns
    int64_t value
    int32_t vcpu
    int32_t other
    int32_t kind
    int32_t pcpu

# What a pCPU shares with which others. Constant while the machine runs.
cdef struct PcpuTopology:
    uint64_t core_mask[4]
    uint64_t socket_mask[4]
    int32_t core
    int32_t socket

cdef struct Machine:
    # Sizes and constants, fixed when the machine is built.
    int32_t num_pcpus
    int32_t num_words         # words of a pCPU mask in use
    int32_t max_vcpus         # guest vCPUs; the idle vCPU of pCPU p is number max_vcpus + p
    int32_t max_domains
    int32_t max_pools
    int32_t num_timers
    int32_t num_leaves        # power of two >= num_timers
    int32_t num_device_timers
    int32_t num_sockets
    int32_t threads_per_core
    int64_t switch_cost_ns    # context switch to another vCPU than the last one on this pCPU
    int64_t monitor_record_ns  # writing a trace record for the monitor; 0: not monitored
    int64_t balloon_hypercall_ns  # moving pages between a domain and Xen: a batch
    int64_t balloon_page_ns   # and each of its pages
    int64_t balloon_retry_ns  # until a balloon that got nothing asks again
    int64_t swap_in_ns        # of the swap disk: to find and read a page
    int64_t swap_ahead_ns     # to read one more that lies next to it
    int64_t swap_out_ns       # to write one
    int64_t refill_ns[16]     # cache refill on the same occasion, by how many ran there since; the last: all of it
    PcpuTopology* topology
    # The arena.
    Clock* clock
    Pcpu* pcpu
    Vcpu* vcpu
    Domain* domain
    DomainIo* io              # of each domain slot
    DomainMemory* memory      # likewise
    HostMemory* host_memory
    Pool* pool
    Timer* timer
    int32_t* winner           # winner[n]: earliest timer below tree node n; winner[1] is the next event
    # Trace buffer, outside the arena: a snapshot does not rewind what was observed.
    TraceRecord* trace
    int64_t trace_capacity
    int64_t trace_count       # records written since tracing began
    int64_t trace_lost        # records overwritten (ring) or refused by the system's memory (growing)
    int32_t trace_mode        # 0 off, 1 ring, 2 growing; plus 4 if the host is monitored

cdef inline bint is_runnable(Machine* m, int v) noexcept nogil:
    return (m.vcpu[v].pause_flags == 0 and m.vcpu[v].pause_count == 0
            and (m.vcpu[v].is_idle or m.domain[m.vcpu[v].domain].pause_count == 0))

cdef inline bint is_current(Machine* m, int v) noexcept nogil:
    return m.pcpu[m.vcpu[v].pcpu].curr == v

cdef inline int64_t page_transfers(Machine* m) noexcept nogil:
    """Pages of all domains that exist that have changed owner."""
    cdef int64_t total = 0
    cdef int d
    for d in range(m.max_domains):
        if m.domain[d].in_use and not m.io[d].is_backend:
            total += m.io[d].page_transfers
    return total

cdef inline int64_t program_left_ns(Machine* m, int v) noexcept nogil:
    """CPU time until v's program must decide again, its kernel's work not counted."""
    cdef Vcpu* vc = &m.vcpu[v]
    if vc.in_kernel:
        return vc.aside_ns
    if vc.work_left_ns == FOREVER or vc.runstate != RUNNING:
        return vc.work_left_ns
    return vc.work_left_ns - (m.clock.now_ns - vc.work_at_ns)

cdef inline int64_t kernel_left_ns(Machine* m, int v) noexcept nogil:
    """And of its kernel's work."""
    cdef Vcpu* vc = &m.vcpu[v]
    if not vc.in_kernel:
        return 0
    return vc.work_left_ns - (m.clock.now_ns - vc.work_at_ns if vc.runstate == RUNNING else 0)

# Timer slots, in this order. A pCPU's slice and completion are a pair: a switch sets both and replays the tree once.
cdef inline int slice_timer(Machine* m, int p) noexcept nogil:
    return 2 * p

cdef inline int completion_timer(Machine* m, int p) noexcept nogil:
    return 2 * p + 1

cdef inline int tick_timer(Machine* m, int p) noexcept nogil:
    return 2 * m.num_pcpus + p

# Of a cpupool's scheduler.
cdef inline int pool_timer(Machine* m, int pool) noexcept nogil:
    return 3 * m.num_pcpus + pool

cdef inline int guest_timer(Machine* m, int v) noexcept nogil:
    return 3 * m.num_pcpus + m.max_pools + v

cdef inline int domain_timer(Machine* m, int d) noexcept nogil:
    return 3 * m.num_pcpus + m.max_pools + m.max_vcpus + d

# Of a scheduler for one domain, number `which` of two.
cdef inline int policy_timer(Machine* m, int d, int which) noexcept nogil:
    return 3 * m.num_pcpus + m.max_pools + m.max_vcpus + m.max_domains + 2 * d + which

# Of a domain's balloon.
cdef inline int balloon_timer(Machine* m, int d) noexcept nogil:
    return 3 * m.num_pcpus + m.max_pools + m.max_vcpus + 3 * m.max_domains + d

# Of the machine's devices.
cdef inline int device_timer(Machine* m, int number) noexcept nogil:
    return 3 * m.num_pcpus + m.max_pools + m.max_vcpus + 4 * m.max_domains + number

cdef inline int response_bin(int64_t response_ns) noexcept nogil:
    """Bin of a response time: below 1 us, then four bins an octave. Integer arithmetic only."""
    cdef uint64_t us = <uint64_t>response_ns // 1000
    if us == 0:
        return 0
    cdef int octave = highest_bit(us)
    cdef int quarter = <int>((us << 2 >> octave) & 3)
    cdef int index = 1 + octave * 4 + quarter
    return index if index < RESPONSE_BINS else RESPONSE_BINS - 1
