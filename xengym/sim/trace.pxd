"""Trace records: what happened when, for conformance, pictures and export.

Off, a record costs one predictable branch. A ring keeps the newest and counts what it overwrote; a growing buffer
keeps all. The kinds follow Xen's trace points.

On a monitored host the records that XenMon asks for are counted, whether or not anybody here keeps them: what is kept
is observation and free, what XenMon has written costs the simulated machine time.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport realloc
from xengym.machine.state cimport Machine, TraceRecord

cdef enum:
    TRACE_OFF = 0
    TRACE_RING = 1
    TRACE_GROWING = 2
    TRACE_MONITORED = 4     # beside one of these

cdef enum:
    TRACE_SWITCH = 1        # vcpu: switched in; other: switched out; value: slice in ns, or -1
    TRACE_CONTINUE = 2      # vcpu goes on; value: slice in ns
    TRACE_RUNSTATE = 3      # vcpu; other: old runstate; value: new runstate
    TRACE_WAKE = 4          # vcpu; value: 1 if it stays blocked all the same (unpaused while it waits)
    TRACE_BLOCK = 5         # vcpu
    TRACE_SLEEP = 6         # vcpu
    TRACE_YIELD = 7         # vcpu
    TRACE_SEGMENT = 8       # vcpu completed a piece of work; value: work in ns, where it is known
    TRACE_JOB_SUBMIT = 9    # other: domain slot; value: work in ns
    TRACE_JOB_DONE = 10     # vcpu; other: domain slot; value: response in ns
    TRACE_JOB_DROP = 11     # other: domain slot
    TRACE_ADJUST = 12       # other: domain slot, or -1 for the whole scheduler
    TRACE_STARTED = 13      # vcpu made runnable for the first time
    TRACE_DOMAIN_ADD = 14   # other: domain slot; value: domain id
    TRACE_DOMAIN_REMOVE = 15
    # Input and output; value: the number by which a request is followed.
    TRACE_NIC_IN = 16       # a packet lands in a card's buffer; pcpu: the card; other: domain it is for
    TRACE_NIC_OUT = 17      # a packet is handed to a card; pcpu: the card; other: domain it comes from
    TRACE_PACKET_LOST = 18  # other: the domain concerned
    TRACE_BACKEND_RX = 19   # the back end puts a packet into a guest's ring; other: the guest
    TRACE_FRONTEND_RX = 20  # the guest's front end takes it; other: the guest
    TRACE_FRONTEND_TX = 21  # the guest puts a packet into its ring; other: the guest
    TRACE_BACKEND_TX = 22   # the back end takes it; other: the guest
    TRACE_BLOCK_QUEUED = 23  # a block request is put into a ring; other: the guest
    TRACE_BLOCK_DONE = 24   # it is answered; other: the guest
    TRACE_PROGRAM = 25      # a program begins on a request; other: the guest
    TRACE_CLIENT_SEND = 26  # a client sends a request; other: the domain it goes to
    TRACE_CLIENT_DONE = 27  # it has the whole answer; other: the domain
    TRACE_PAGE_TRANSFER = 28  # pages change owner; other: the guest; value: how many
    TRACE_ROUTED = 29       # the back end has found out whom a packet is for; other: that domain
    TRACE_UPCALL = 30       # a domain enters its event handler; other: the domain
    TRACE_INTERRUPT = 31    # a card interrupts; pcpu: the card; other: domain with its driver, or -1
    # Scheduler policies, from 32 on.
    TRACE_TICKLE = 32       # pcpu asks other (a pCPU) to reschedule
    TRACE_STOLEN = 33       # vcpu taken from other (a pCPU)
    TRACE_BOOST = 34        # vcpu; value: 1 start, 0 end
    TRACE_ACTIVE = 35       # vcpu; value: 1 joins the active list, 0 leaves it
    TRACE_ACCOUNTING = 36   # value: credit balance
    TRACE_CREDIT = 37       # vcpu; other: priority (+ TRACE_INACTIVE); value: credit
    TRACE_PARK = 38         # vcpu; value: 1 parked by its cap, 0 released
    TRACE_RATELIMIT = 39    # vcpu; value: ns run so far
    TRACE_PICKED = 40       # vcpu; other: pCPU chosen
    TRACE_REPLENISH = 41    # vcpu is given a new budget or slice; value: ns
    TRACE_RESET = 42        # credits of all are reset; vcpu: who ran out
    TRACE_REFUSED = 43      # vcpu chosen from outside may not run here; other: who runs instead
    # Memory, from 48 on.
    TRACE_BALLOON = 48      # vcpu has moved a batch of pages; other: domain slot; value: pages got, < 0: given back

cdef enum:
    TRACE_INACTIVE = 1000

# Records of each kind that XenMon has Xen write: a switch is two, out and in (spec: domain add and remove, switch in and
# out, block, sleep, wake; page transfers are counted by their mechanism).
cdef inline int monitored_records(int kind) noexcept nogil:
    if kind == TRACE_SWITCH:
        return 2
    return (kind == TRACE_WAKE or kind == TRACE_BLOCK or kind == TRACE_SLEEP or kind == TRACE_DOMAIN_ADD
            or kind == TRACE_DOMAIN_REMOVE)

cdef inline void trace(Machine* m, int kind, int pcpu, int vcpu, int other, int64_t value) noexcept nogil:
    if m.trace_mode != TRACE_OFF:
        trace_write(m, kind, pcpu, vcpu, other, value)

cdef inline void trace_write(Machine* m, int kind, int pcpu, int vcpu, int other, int64_t value) noexcept nogil:
    cdef TraceRecord* grown
    cdef TraceRecord* record
    cdef int64_t index = m.trace_count
    cdef int mode = m.trace_mode
    if mode & TRACE_MONITORED:
        m.clock.monitor_records += monitored_records(kind)
        mode ^= TRACE_MONITORED
        if mode == TRACE_OFF:
            return
    if mode == TRACE_RING:
        if index >= m.trace_capacity:
            m.trace_lost += 1
            index %= m.trace_capacity
    elif index >= m.trace_capacity:
        grown = <TraceRecord*>realloc(m.trace, 2 * m.trace_capacity * sizeof(TraceRecord))
        if grown == NULL:
            m.trace_lost += 1
            return
        m.trace = grown
        m.trace_capacity *= 2
    record = &m.trace[index]
    record.at_ns = m.clock.now_ns
    record.value = value
    record.vcpu = vcpu
    record.other = other
    record.kind = kind
    record.pcpu = pcpu
    m.trace_count += 1
