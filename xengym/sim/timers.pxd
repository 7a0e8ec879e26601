"""The event queue: one slot for every timer that can exist, under a winner tree.

A slot is armed or not (`NEVER`); arming costs log2(slots) comparisons at most, taking the next event none. Requests
in flight never enter the queue: they wait in FIFO rings whose head arms one slot.

Order of the events of one instant, by their `key` (the reasons stand beside them), then the order of arming or the
entity's number; never chance, never an accident of the tree.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from xengym.machine.state cimport Machine, Timer

cdef enum:
    ORDER_COMPLETION = 0   # work that ends now has ended before anyone looks at it
    ORDER_CONTROL = 1      # then the operator acts: parameter changes of this instant precede what it wakes
    ORDER_GUEST = 2        # then guests' own timers: wake-ups and arrivals, in vCPU order
    ORDER_HYPERVISOR = 3   # then the hypervisor's timers, earliest armed first
    # Scheduler passes follow when nothing of the instant is left, in ascending pCPU order.

cdef extern from *:
    """
    #define XENGYM_END_OF_INSTANT UINT64_MAX
    """
    const uint64_t END_OF_INSTANT "XENGYM_END_OF_INSTANT"

cdef inline uint64_t order_key(int order, uint64_t rank) noexcept nogil:
    return (<uint64_t>order << 60) | rank

cdef inline bint fires_before(Timer* a, Timer* b) noexcept nogil:
    if a.at_ns != b.at_ns:
        return a.at_ns < b.at_ns
    return a.key < b.key

cdef inline void timer_replay(Machine* m, int slot) noexcept nogil:
    """Restore the tree above `slot` and the slot it is paired with (slot ^ 1) after either or both changed."""
    cdef Timer* timer = m.timer
    cdef int32_t* winner = m.winner
    cdef int pair = slot | 1
    cdef int node = (slot + m.num_leaves) >> 1
    cdef int32_t best = slot
    cdef int32_t rival = slot ^ 1
    cdef int32_t old
    while True:
        if fires_before(&timer[rival], &timer[best]):
            best = rival
        old = winner[node]
        winner[node] = best
        # Nothing above changes when the same other slot still wins here.
        if node == 1 or (old == best and (best | 1) != pair):
            return
        rival = winner[node ^ 1]
        node >>= 1

cdef inline void timer_arm(Machine* m, int slot, int64_t at_ns, uint64_t key) noexcept nogil:
    m.timer[slot].at_ns = at_ns
    m.timer[slot].key = key
    timer_replay(m, slot)

cdef inline void timer_arm_hypervisor(Machine* m, int slot, int64_t at_ns) noexcept nogil:
    m.clock.arm_seq += 1
    timer_arm(m, slot, at_ns, order_key(ORDER_HYPERVISOR, m.clock.arm_seq))

cdef inline void timer_disarm(Machine* m, int slot) noexcept nogil:
    if m.timer[slot].at_ns != INT64_MAX:
        m.timer[slot].at_ns = INT64_MAX
        timer_replay(m, slot)

# The same without the replay, for two paired slots that change together: set both, then replay once.
cdef inline void timer_set(Machine* m, int slot, int64_t at_ns, uint64_t key) noexcept nogil:
    m.timer[slot].at_ns = at_ns
    m.timer[slot].key = key

cdef inline void timer_set_hypervisor(Machine* m, int slot, int64_t at_ns) noexcept nogil:
    m.clock.arm_seq += 1
    timer_set(m, slot, at_ns, order_key(ORDER_HYPERVISOR, m.clock.arm_seq))
