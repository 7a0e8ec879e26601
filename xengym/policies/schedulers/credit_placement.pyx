"""Credit, the question where: whom a wake-up interrupts, where a vCPU is placed, what an idle pCPU steals."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.mask cimport (
    mask_and, mask_clear, mask_copy, mask_count_and, mask_cycle, mask_drop, mask_intersects, mask_is_empty, mask_next, mask_set,
    mask_test,
)
from xengym.machine.state cimport NO_VCPU, PAUSE_MIGRATING, Machine, Vcpu
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Scheduler
from xengym.policies.schedulers.credit_state cimport (
    PRI_IDLE, PUSH_ALWAYS, PUSH_HARD_AFFINITY, STEAL_ASCENDING, STEAL_RING, STEAL_RING_BUSY, STEP_HARD, STEP_SOFT,
    TICKLE_ALL_IDLERS, CreditState, CreditVcpu,
)
from xengym.sim.trace cimport TRACE_PICKED, TRACE_STOLEN, TRACE_TICKLE, trace


cdef class CreditPlacement(CreditState):
    """Tickle, placement and stealing."""

    # -- whom to interrupt ---------------------------------------------------------------------------------------

    cdef void _ask(self, int p) noexcept nogil:
        trace(self.m, TRACE_TICKLE, self.m.clock.executing_pcpu, NO_VCPU, p, 0)
        if self.rules.tickle_clears_idle:
            mask_clear(self.pool.idle, p)
        raise_schedule(self.m, p)

    cdef void _tickle(self, int v) noexcept nogil:
        """Ask the pCPUs that should reschedule now that v waits."""
        cdef Machine* m = self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef int n = m.num_words
        cdef int own = vc.pcpu
        cdef int cur = m.pcpu[own].curr
        cdef int priority = self.vcpu[v].priority
        cdef int cur_priority = self.vcpu[cur].priority
        cdef uint64_t* idle = self.pool.idle
        cdef uint64_t candidates[4]
        cdef int32_t* rotation
        cdef int p, step
        cdef bint any_idle
        if self.rules.tickle_rule == TICKLE_ALL_IDLERS:
            if priority > cur_priority:
                self._ask(own)
            if cur_priority > PRI_IDLE:
                mask_and(candidates, idle, vc.allowed, n)
                p = mask_next(candidates, -1, n)
                while p >= 0:
                    self._ask(p)
                    p = mask_next(candidates, p, n)
            return
        if self.rules.pinned_fast_path and vc.is_pinned and mask_test(idle, own):
            self._ask(own)
            return
        any_idle = not mask_is_empty(idle, n)
        if cur_priority == PRI_IDLE or (not any_idle and priority > cur_priority):
            self._ask(own)
            return
        if not any_idle:
            return
        for step in range(STEP_SOFT, STEP_HARD + 1):
            if not self._step_mask(v, step, candidates):
                continue
            mask_and(candidates, candidates, idle, n)
            if not mask_is_empty(candidates, n):
                if self.pool.tickle_one_idle:
                    rotation = &self.pcpu[m.clock.executing_pcpu].last_tickled
                    rotation[0] = mask_cycle(candidates, rotation[0], n)
                    self._ask(rotation[0])
                else:
                    p = mask_next(candidates, -1, n)
                    while p >= 0:
                        self._ask(p)
                        p = mask_next(candidates, p, n)
                return
        if priority > cur_priority:
            # An idle pCPU exists, but not one where v may run. The preempted one may be able to use it.
            if (self.rules.push_rule == PUSH_ALWAYS
                    or (self.rules.push_rule == PUSH_HARD_AFFINITY
                        and mask_intersects(m.vcpu[cur].allowed, idle, n))):
                m.vcpu[cur].pause_flags |= PAUSE_MIGRATING
            self._ask(own)

    # -- placement -----------------------------------------------------------------------------------------------

    cdef bint _step_mask(self, int v, int step, uint64_t* out) noexcept nogil:
        """pCPUs allowed in a step of the two-step search; False where the soft step does not apply."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        if step == STEP_HARD:
            mask_copy(out, vc.allowed, self.m.num_words)
            return True
        if not (self.rules.soft_affinity and vc.soft_is_effective):
            return False
        mask_and(out, vc.soft_affinity, vc.allowed, self.m.num_words)
        return True

    cdef int pick_pcpu(self, int v) noexcept nogil:
        self.vcpu[v].just_moved = 1
        return self._place(v, True)

    cdef int _place(self, int v, bint commit) noexcept nogil:
        cdef uint64_t allowed[4]
        cdef int chosen = self.m.vcpu[v].pcpu
        cdef int step
        if not self.rules.repick_at_tick:
            return Scheduler.pick_pcpu(self, v)
        for step in range(STEP_SOFT, STEP_HARD + 1):
            if self._step_mask(v, step, allowed):
                chosen = self._place_in(v, allowed, commit)
                if mask_test(self.pool.idle, chosen):
                    break
        if commit:
            trace(self.m, TRACE_PICKED, self.m.vcpu[v].pcpu, v, chosen, 0)
        return chosen

    cdef int _place_in(self, int v, const uint64_t* allowed, bint commit) noexcept nogil:
        """The idlest place among `allowed`, preferring where v is."""
        cdef Machine* m = self.m
        cdef int n = m.num_words
        cdef int own = m.vcpu[v].pcpu
        cdef int x = own if mask_test(allowed, own) else mask_cycle(allowed, own, n)
        cdef int y, better, moved_by = -1, bar, w
        cdef const uint64_t* group_x
        cdef const uint64_t* group_y
        cdef uint64_t idle[4]
        cdef uint64_t candidates[4]
        cdef uint64_t group[4]
        cdef int head
        mask_copy(idle, self.pool.idle, n)
        if not self.rules.count_self_idle:
            mask_set(idle, x)
        else:
            head = self.pcpu[x].head
            # Only idle may wait here; if v itself were counted as load it would never stay.
            if x == own and (head == NO_VCPU or self.vcpu[head].priority == PRI_IDLE):
                mask_set(idle, x)
        mask_and(candidates, allowed, idle, n)
        if self.rules.count_self_idle and not mask_test(candidates, x):
            y = mask_cycle(candidates, x, n)
            if y >= 0:
                x = y
        mask_clear(candidates, x)
        if m.threads_per_core == 1 and m.num_sockets == 1:
            return x  # every core is as idle as any other: nothing beats x
        while True:
            y = mask_cycle(candidates, x, n)
            if y < 0:
                break
            if m.topology[x].socket == m.topology[y].socket:
                group_x = m.topology[x].core_mask
                group_y = m.topology[y].core_mask
                bar = 1
            else:
                group_x = m.topology[x].socket_mask
                group_y = m.topology[y].socket_mask
                bar = self.rules.socket_bar
            if mask_count_and(group_x, idle, n) * bar < mask_count_and(group_y, idle, n):
                if self.rules.idle_bias:
                    mask_and(group, group_y, candidates, n)
                    better = mask_cycle(group, self.pcpu[y].idle_bias, n)
                    moved_by = y
                    x = better
                    mask_drop(candidates, m.topology[x].core_mask, n)
                else:
                    x = y
                    mask_clear(candidates, y)
            else:
                mask_drop(candidates, group_y, n)
        if commit and moved_by >= 0:
            self.pcpu[moved_by].idle_bias = x
        return x

    cdef void migrate(self, int v, int p) noexcept nogil:
        self.m.vcpu[v].pcpu = p

    # -- stealing ------------------------------------------------------------------------------------------------

    cdef int _steal(self, int p, int best_priority, int64_t now_ns) noexcept nogil:
        """A vCPU of strictly higher priority waiting elsewhere, taken off its queue; or NO_VCPU."""
        cdef Machine* m = self.m
        cdef int n = m.num_words
        cdef int peer, k, first, stolen, step, w, node
        cdef uint64_t workers[4]
        cdef uint64_t in_node[4]
        if self.rules.steal_rule == STEAL_RING:
            first = mask_cycle(self.pool_pcpus, p, n)
            peer = first
            while peer >= 0:
                if peer != p:
                    stolen = self._steal_from(peer, p, best_priority, STEP_HARD, now_ns)
                    if stolen != NO_VCPU:
                        return stolen
                peer = mask_cycle(self.pool_pcpus, peer, n)
                if peer == first:
                    break
            return NO_VCPU
        for w in range(n):
            workers[w] = self.pool_pcpus[w] & ~self.pool.idle[w]
        mask_clear(workers, p)
        if mask_is_empty(workers, n):
            return NO_VCPU
        for step in range(STEP_SOFT if self.rules.soft_affinity and m.clock.num_soft else STEP_HARD, STEP_HARD + 1):
            if self.rules.steal_rule == STEAL_RING_BUSY or self.rules.steal_rule == STEAL_ASCENDING:
                first = mask_cycle(workers, p if self.rules.steal_rule == STEAL_RING_BUSY else -1, n)
                peer = first
                while True:
                    stolen = self._steal_from(peer, p, best_priority, step, now_ns)
                    if stolen != NO_VCPU:
                        return stolen
                    peer = mask_cycle(workers, peer, n)
                    if peer == first:
                        break
                continue
            # Own node first, then the others round; a node is a socket here, known by its first pCPU.
            for k in range(m.num_sockets):
                node = ((m.topology[p].socket + k) % m.num_sockets) * (m.num_pcpus // m.num_sockets)
                for w in range(n):
                    in_node[w] = workers[w] & m.topology[node].socket_mask[w]
                first = mask_cycle(in_node, self.pcpu[node].node_bias, n)
                peer = first
                while peer >= 0:
                    if self.pcpu[peer].num_runnable > 1:
                        stolen = self._steal_from(peer, p, best_priority, step, now_ns)
                        if stolen != NO_VCPU:
                            self.pcpu[node].node_bias = peer
                            return stolen
                    peer = mask_cycle(in_node, peer, n)
                    if peer == first:
                        break
        return NO_VCPU

    cdef int _steal_from(self, int peer, int p, int best_priority, int step, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef CreditVcpu* svc
        cdef int v
        if m.vcpu[m.pcpu[peer].curr].is_idle:
            return NO_VCPU
        v = self.pcpu[peer].head
        while v != NO_VCPU:
            svc = &self.vcpu[v]
            if svc.priority <= best_priority or svc.priority <= PRI_IDLE:
                return NO_VCPU
            if not (
                (self.rules.yield_is_sticky and svc.is_yielding)
                or (step == STEP_SOFT and not m.vcpu[v].soft_is_effective)
                or not mask_test(m.vcpu[v].allowed, p)
                or (step == STEP_SOFT and not mask_test(m.vcpu[v].soft_affinity, p))
                or (self.pool.migration_delay_ns != 0
                    and now_ns - svc.descheduled_at_ns < self.pool.migration_delay_ns)
            ):
                self._queue_remove(v)
                self.pcpu[peer].num_runnable -= 1
                self.pcpu[p].num_runnable += 1
                m.vcpu[v].pcpu = p
                trace(m, TRACE_STOLEN, p, v, peer, 0)
                return v
            v = svc.next
        return NO_VCPU
