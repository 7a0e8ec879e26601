"""The core of the hypervisor: the loop, the scheduler pass, wake and sleep, and what it offers guests.

The loop takes the earliest event, lets a mechanism or a guest change the machine, and, when nothing of the instant is
left, runs the scheduler on every pCPU that was asked for a pass. At each decision point the policy is asked, its
answer checked by construction of the interface, and a mechanism enacts it. The flow of wake, sleep, block, the pass
and migration is that of Xen's core scheduler; what takes no time on real hardware but code does (hypervisor paths,
inter-processor interrupts) takes none here unless the cost model says so.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from xengym.machine.mask cimport mask_clear, mask_next, mask_test
from xengym.machine.state cimport (
    BLOCKED, FOREVER, NO_VCPU, OFFLINE, PAUSE_BLOCKED, PAUSE_DOWN, PAUSE_MIGRATING, REFILL_STEPS, RUNNABLE, RUNNING, Clock, Domain, Machine,
    Pcpu, Vcpu, balloon_timer, completion_timer, device_timer, domain_timer, guest_timer, is_current, is_runnable, page_transfers,
    policy_timer, program_left_ns, response_bin, slice_timer,
)
from xengym.mechanisms.runstate cimport set_runstate
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Hypervisor, Scheduler
from xengym.sim.timers cimport (
    END_OF_INSTANT, ORDER_COMPLETION, ORDER_GUEST, order_key, timer_arm, timer_disarm, timer_replay, timer_set, timer_set_hypervisor,
)
from xengym.sim.trace cimport (
    TRACE_BLOCK, TRACE_CONTINUE, TRACE_JOB_DONE, TRACE_JOB_SUBMIT, TRACE_MONITORED, TRACE_SEGMENT, TRACE_SLEEP, TRACE_STARTED, TRACE_SWITCH,
    TRACE_WAKE, TRACE_YIELD, trace,
)


cdef class GuestKind:
    """Base of guest programs (see `host.pxd` for the operations and who calls them)."""

    name = ""

    def sections(self, max_vcpus, max_domains):
        """Arena sections of this kind: a list of ``(name, dtype, count)``."""
        return []

    def bind(self, HostCore host, int number, views):
        """Attach to a host; ``views`` maps each section's name to its array."""
        self.host = host
        self.m = &host.m
        self.number = number

    def check(self, where, programs):
        """Raise ValueError, naming ``where``, if a domain's vCPUs cannot run ``programs`` (all of them, any kinds)."""

    def num_device_timers(self):
        """How many timers its devices need; at most one kind of a host may need any."""
        return 0

    def configure(self, int d, int v, spec):
        """Prepare vCPU ``v`` of domain slot ``d`` to run ``spec``, a ``ProgramSpec`` of this kind."""

    def memory_pages(self, spec):
        """Page frames of a domain that runs ``spec``, if nobody says how many; 0: its memory does not count."""
        return 0

    def destroyed(self, int d):
        """Domain slot ``d`` disappears, whatever it runs; its vCPUs are off the CPU."""

    def __reduce__(self):
        return type(self), ()

    def programs(self):
        """Immutable program data that lives outside the arena; goes into snapshots."""
        return None

    def set_programs(self, programs):
        """Take back what ``programs`` returned."""

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        self.host.block(v)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self.host.deliver_event(v)

    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil: pass
    cdef void memory_changed(self, int d, int64_t now_ns) noexcept nogil: pass
    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil: pass
    cdef void traffic_changed(self, int d, int64_t now_ns) noexcept nogil: pass


cdef inline PyObject* policy_of(HostCore host, int v) noexcept nogil:
    """The scheduler of a guest vCPU's cpupool."""
    return host.policy[host.m.domain[host.m.vcpu[v].domain].pool + 1]


cdef inline PyObject* policy_at(HostCore host, int p) noexcept nogil:
    """The scheduler of a pCPU's cpupool."""
    return host.policy[host.m.pcpu[p].pool + 1]


cdef inline void charge(Vcpu* vc, int64_t cost_ns) noexcept nogil:
    """A vCPU that is being switched in uses so much CPU time without progress."""
    vc.overhead_ns += cost_ns
    if vc.work_left_ns != FOREVER:
        vc.work_left_ns += cost_ns


cdef class HostCore(Hypervisor):
    """What runs without the interpreter; `Host` adds construction and what Python sees."""

    # -- services for guests -------------------------------------------------------------------------------------

    cdef void set_work(self, int v, int64_t work_ns) noexcept nogil:
        """Give v so much CPU time to use before its program decides again."""
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        if vc.in_kernel:  # its kernel comes first
            vc.aside_ns = work_ns
            return
        vc.work_left_ns = work_ns
        if is_current(m, v):
            vc.work_at_ns = m.clock.now_ns
            if work_ns != FOREVER:
                timer_arm(m, completion_timer(m, vc.pcpu), m.clock.now_ns + work_ns, order_key(ORDER_COMPLETION, v))
            else:
                timer_disarm(m, completion_timer(m, vc.pcpu))

    cdef void block(self, int v) noexcept nogil:
        """v gives up the CPU until an event arrives (Xen: SCHEDOP_block).

        If one waits already the call returns at once: a program at the end of its work has to decide again, one in the
        middle of a piece of work goes on with it.
        """
        cdef Vcpu* vc = &self.m.vcpu[v]
        if vc.event_pending:
            vc.event_pending = 0
            if program_left_ns(&self.m, v) == 0:
                self.set_work(v, 0)
            return
        vc.pause_flags |= PAUSE_BLOCKED
        vc.blocks += 1
        trace(&self.m, TRACE_BLOCK, vc.pcpu, v, 0, 0)
        raise_schedule(&self.m, vc.pcpu)

    cdef void poll(self, int v, int64_t timeout_ns) noexcept nogil:
        """Block until an event or the timeout, whichever is first (Xen: SCHEDOP_poll); < 0: no timeout."""
        self.block(v)
        if self.m.vcpu[v].pause_flags & PAUSE_BLOCKED and timeout_ns >= 0:
            self.m.vcpu[v].is_polling = 1
            self.arm_guest_timer(v, self.m.clock.now_ns + timeout_ns)

    cdef void yield_cpu(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.yields += 1
        trace(&self.m, TRACE_YIELD, vc.pcpu, v, 0, 0)
        (<Scheduler>policy_of(self, v)).yield_cpu(v, self.m.clock.now_ns)
        raise_schedule(&self.m, vc.pcpu)

    cdef void deliver_event(self, int v) noexcept nogil:
        """An event-channel notification: wakes a blocked vCPU, otherwise stays pending."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        if not vc.pause_flags & PAUSE_BLOCKED:
            vc.event_pending = 1
            return
        vc.pause_flags &= ~<unsigned int>PAUSE_BLOCKED
        if vc.is_polling:
            vc.is_polling = 0
            timer_disarm(&self.m, guest_timer(&self.m, v))
        vc.wakes += 1
        if is_current(&self.m, v):
            vc.wake_latency_count += 1  # it had not left the CPU yet
        else:
            vc.wake_at_ns = self.m.clock.now_ns
        self.m.clock.executing_pcpu = vc.waker_pcpu
        self.wake_vcpu(v)

    cdef void arm_guest_timer(self, int v, int64_t at_ns) noexcept nogil:
        timer_arm(&self.m, guest_timer(&self.m, v), at_ns, order_key(ORDER_GUEST, v))

    cdef void arm_domain_timer(self, int d, int64_t at_ns) noexcept nogil:
        timer_arm(&self.m, domain_timer(&self.m, d), at_ns, order_key(ORDER_GUEST, self.m.max_vcpus + d))

    cdef void job_submitted(self, int d, int64_t work_ns) noexcept nogil:
        self.m.domain[d].jobs_submitted += 1
        self.m.domain[d].work_submitted_ns += work_ns
        trace(&self.m, TRACE_JOB_SUBMIT, 0, NO_VCPU, d, work_ns)

    cdef void job_done(self, int d, int v, int64_t response_ns) noexcept nogil:
        cdef Domain* dom = &self.m.domain[d]
        dom.jobs_done += 1
        if dom.latency_target_ns == 0 or response_ns <= dom.latency_target_ns:
            dom.jobs_in_time += 1
        dom.response_ns += response_ns
        if response_ns > dom.response_max_ns:
            dom.response_max_ns = response_ns
        dom.response_bins[response_bin(response_ns)] += 1
        trace(&self.m, TRACE_JOB_DONE, self.m.vcpu[v].pcpu, v, d, response_ns)

    cdef void segment_done(self, int v) noexcept nogil:
        self.m.vcpu[v].segments += 1
        trace(&self.m, TRACE_SEGMENT, self.m.vcpu[v].pcpu, v, 0, 0)

    cdef void entered_hypervisor(self, int v, int64_t hypercalls, int64_t entries) noexcept nogil:
        """v made so many hypercalls; entries counts them and the faults or exits beside."""
        self.m.vcpu[v].hypercalls += hypercalls
        self.m.vcpu[v].hypervisor_entries += entries

    cdef void run_balloon(self, int d) noexcept nogil: pass
    cdef void finish_balloon(self, int v) noexcept nogil: pass

    # -- services for the scheduler ------------------------------------------------------------------------------

    cdef void pause_vcpu(self, int v) noexcept nogil:
        self.m.vcpu[v].pause_count += 1
        self.sleep_vcpu(v)

    cdef void unpause_vcpu(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.pause_count -= 1
        if vc.pause_count == 0:
            if vc.runstate == OFFLINE:
                vc.held_ns += self.m.clock.now_ns - vc.runstate_at_ns
            self.wake_vcpu(v)

    cdef void set_traffic(self, int d, bint allowed) noexcept nogil:
        if self.m.io[d].traffic_stopped != (not allowed):
            self.m.io[d].traffic_stopped = not allowed
            if self.devices != NULL:
                (<GuestKind>self.devices).traffic_changed(d, self.m.clock.now_ns)

    # -- the core ------------------------------------------------------------------------------------------------

    cdef void wake_vcpu(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        trace(m, TRACE_WAKE, m.clock.executing_pcpu, v, 0, vc.pause_flags & PAUSE_BLOCKED)
        if is_runnable(m, v):
            if vc.runstate >= BLOCKED:
                set_runstate(m, v, RUNNABLE, m.clock.now_ns)
            (<Scheduler>policy_of(self, v)).wake(v, m.clock.now_ns)
        elif not vc.pause_flags & PAUSE_BLOCKED and vc.runstate == BLOCKED:
            set_runstate(m, v, OFFLINE, m.clock.now_ns)

    cdef void sleep_vcpu(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        trace(m, TRACE_SLEEP, m.vcpu[v].pcpu, v, 0, 0)
        if not is_runnable(m, v):
            if m.vcpu[v].runstate == RUNNABLE:
                set_runstate(m, v, OFFLINE, m.clock.now_ns)
            (<Scheduler>policy_of(self, v)).sleep(v, m.clock.now_ns)

    cdef void bring_up(self, int v) noexcept nogil:
        """Bring a vCPU online; the first time, its program begins."""
        cdef Vcpu* vc = &self.m.vcpu[v]
        vc.pause_flags &= ~<unsigned int>PAUSE_DOWN
        self.m.clock.executing_pcpu = 0
        if not vc.has_started:
            vc.has_started = 1
            trace(&self.m, TRACE_STARTED, vc.pcpu, v, 0, 0)
            (<GuestKind>self.kind_table[self.guest_kind_of[v]]).started(v, self.m.clock.now_ns)
            if vc.vcpu_in_domain == 0:
                self.run_balloon(vc.domain)
        self.wake_vcpu(v)

    cdef void start_migration(self, int v) noexcept nogil:
        self.m.vcpu[v].pause_flags |= PAUSE_MIGRATING
        self.sleep_vcpu(v)
        if not is_current(&self.m, v):
            self.finish_migration(v)

    cdef void finish_migration(self, int v) noexcept nogil:
        cdef Vcpu* vc = &self.m.vcpu[v]
        cdef PyObject* policy = policy_of(self, v)
        cdef int p = (<Scheduler>policy).pick_pcpu(v)
        if p < 0 or not mask_test(vc.allowed, p):
            p = mask_next(vc.allowed, -1, self.m.num_words)
        vc.pause_flags &= ~<unsigned int>PAUSE_MIGRATING
        (<Scheduler>policy).migrate(v, p)
        self.wake_vcpu(v)

    cdef void schedule(self, int p) noexcept nogil:
        """One pass of the scheduler on pCPU p."""
        cdef Machine* m = &self.m
        cdef Clock* clock = m.clock
        cdef Pcpu* pc = &m.pcpu[p]
        cdef int64_t now_ns = clock.now_ns
        cdef int64_t latency_ns, others
        cdef int prev = pc.curr
        cdef int next
        cdef Vcpu* pv = &m.vcpu[prev]
        cdef Vcpu* nv
        cdef PyObject* policy = policy_at(self, p)
        cdef Decision decision
        clock.passes += 1
        pc.invocations += 1
        decision = (<Scheduler>policy).do_schedule(p, now_ns)
        next = decision.next_vcpu
        if decision.slice_ns >= 0:
            timer_set_hypervisor(m, slice_timer(m, p), now_ns + decision.slice_ns)
        else:
            m.timer[slice_timer(m, p)].at_ns = INT64_MAX
        if next == prev:
            timer_replay(m, slice_timer(m, p))
            trace(m, TRACE_CONTINUE, p, next, 0, decision.slice_ns)
            return
        trace(m, TRACE_SWITCH, p, next, prev, decision.slice_ns)
        clock.context_switches += 1
        pc.context_switches += 1
        pc.curr = next
        nv = &m.vcpu[next]
        # Out with prev.
        if not pv.is_idle:
            if pv.work_left_ns != FOREVER:
                pv.work_left_ns -= now_ns - pv.work_at_ns
            if pv.pause_flags & PAUSE_BLOCKED:
                set_runstate(m, prev, BLOCKED, now_ns)
                pv.waker_pcpu = p
            elif is_runnable(m, prev):
                set_runstate(m, prev, RUNNABLE, now_ns)
            else:
                set_runstate(m, prev, OFFLINE, now_ns)
            pc.last_guest = prev
            if m.trace_mode & TRACE_MONITORED and m.io[pv.domain].is_backend:
                pv.flip_free += page_transfers(m) == pc.transfers_at_in
        else:
            set_runstate(m, prev, RUNNABLE, now_ns)
        # In with next.
        nv.switch_at_ns = now_ns
        set_runstate(m, next, RUNNING, now_ns)
        m.timer[completion_timer(m, p)].at_ns = INT64_MAX
        if not nv.is_idle:
            nv.dispatches += 1
            if decision.slice_ns >= 0:
                nv.allocated_ns += decision.slice_ns
                if decision.slice_ns > nv.allocated_max_ns:
                    nv.allocated_max_ns = decision.slice_ns
                # Unsigned, so that a slice is shorter than none, too.
                if <uint64_t>(decision.slice_ns - 1) < <uint64_t>(nv.allocated_min_ns - 1):
                    nv.allocated_min_ns = decision.slice_ns
            else:
                nv.unbounded += 1
            if m.trace_mode & TRACE_MONITORED:
                # Whoever is switched in next bears what was written since: the code that wrote it ran before it could.
                charge(nv, (clock.monitor_records - clock.monitor_charged) * m.monitor_record_ns)
                clock.monitor_charged = clock.monitor_records
                if m.io[nv.domain].is_backend:
                    pc.transfers_at_in = page_transfers(m)
            if pc.last_guest != next:
                others = REFILL_STEPS
                if nv.dispatched_pcpu == p:
                    others = pc.guests_in - nv.last_in
                charge(nv, m.switch_cost_ns + m.refill_ns[min(others, REFILL_STEPS) - 1])
            pc.guests_in += 1
            nv.last_in = pc.guests_in
            if nv.dispatched_pcpu != p:
                if nv.dispatched_pcpu >= 0:
                    nv.migrations += 1
                nv.dispatched_pcpu = p
            if nv.wake_at_ns >= 0:
                latency_ns = now_ns - nv.wake_at_ns
                nv.wake_at_ns = -1
                nv.wake_latency_count += 1
                nv.wake_latency_ns += latency_ns
                if latency_ns > nv.wake_latency_max_ns:
                    nv.wake_latency_max_ns = latency_ns
            nv.work_at_ns = now_ns
            if nv.work_left_ns != FOREVER:
                timer_set(m, completion_timer(m, p), now_ns + nv.work_left_ns, order_key(ORDER_COMPLETION, next))
        elif m.trace_mode & TRACE_MONITORED:
            clock.monitor_charged = clock.monitor_records  # written in time that nobody wants
        timer_replay(m, slice_timer(m, p))
        # prev's registers are saved.
        pv.switch_at_ns = now_ns
        (<Scheduler>policy).context_saved(prev, now_ns)
        if pv.pause_flags & PAUSE_MIGRATING:
            clock.executing_pcpu = p
            self.finish_migration(prev)

    cdef bint serve_schedule(self) noexcept nogil:
        """Run every pass that was asked for: rounds of ascending pCPUs, each until it has none pending.

        False if it had to stop: a decision has to come from outside (`awaiting_pcpu`), or a policy failed. Called again, it
        goes on where it was.
        """
        cdef Clock* clock = self.m.clock
        cdef PyObject* policy
        cdef int p
        clock.awaiting_pcpu = -1
        while not clock.halted:
            p = mask_next(clock.pending, clock.scan_pcpu - 1, self.m.num_words)
            if p >= 0:
                clock.scan_pcpu = p
                policy = policy_at(self, p)
                if (<Scheduler>policy).is_external and not (<Scheduler>policy).has_answer(p):
                    clock.awaiting_pcpu = p
                    return False
                mask_clear(clock.pending, p)
                self.schedule(p)
            elif clock.scan_pcpu > 0:
                clock.scan_pcpu = 0
            else:
                clock.any_pending = 0
                return True
        return False

    cdef void fire_completion(self, int p) noexcept nogil:
        cdef Machine* m = &self.m
        cdef int v = m.pcpu[p].curr
        m.vcpu[v].work_left_ns = 0
        m.vcpu[v].work_at_ns = m.clock.now_ns
        m.clock.executing_pcpu = p
        if m.vcpu[v].in_kernel:
            self.finish_balloon(v)
            return
        (<GuestKind>self.kind_table[self.guest_kind_of[v]]).completed(v, m.clock.now_ns)

    cdef void fire_guest_timer(self, int v) noexcept nogil:
        cdef Machine* m = &self.m
        if not m.vcpu[v].has_started:
            self.bring_up(v)
        elif m.vcpu[v].is_polling:
            self.deliver_event(v)
        else:
            (<GuestKind>self.kind_table[self.guest_kind_of[v]]).timer(v, m.clock.now_ns)

    cdef bint run(self, int64_t until_ns, uint64_t until_key) noexcept nogil:
        """Let time pass up to the instant `until_ns`, before its events whose key is `until_key` or later.

        With `END_OF_INSTANT` all its events happen, and the scheduler passes that they ask for. False if time stopped
        before, because a decision has to come from outside or a policy failed.
        """
        cdef Machine* m = &self.m
        cdef Clock* clock = m.clock
        cdef int slot, n = m.num_pcpus
        cdef int64_t at_ns
        cdef int first_vcpu = guest_timer(m, 0)
        cdef int first_domain = domain_timer(m, 0)
        cdef int first_policy = policy_timer(m, 0, 0)
        cdef int first_balloon = balloon_timer(m, 0)
        cdef int first_device = device_timer(m, 0)
        cdef int d
        # An interrupted round of passes comes before whatever it has caused so far.
        if clock.awaiting_pcpu >= 0 and not self.serve_schedule():
            return False
        while True:
            slot = m.winner[1]
            at_ns = m.timer[slot].at_ns
            if at_ns > clock.now_ns:
                if clock.any_pending:
                    # The passes of an instant come after all its events, the operator's included.
                    if clock.now_ns == until_ns and until_key != END_OF_INSTANT:
                        break
                    if not self.serve_schedule():
                        return False
                    continue
                if at_ns > until_ns:
                    break
                clock.now_ns = at_ns
            if at_ns == until_ns and m.timer[slot].key >= until_key:
                break
            clock.events += 1
            m.timer[slot].at_ns = INT64_MAX
            if slot < 2 * n:
                if slot & 1:
                    self.fire_completion(slot >> 1)
                else:
                    raise_schedule(m, slot >> 1)
            elif slot < 3 * n:
                clock.executing_pcpu = slot - 2 * n
                (<Scheduler>policy_at(self, slot - 2 * n)).tick(slot - 2 * n, at_ns)
            elif slot < first_vcpu:
                (<Scheduler>self.policy[slot - 3 * n + 1]).pool_timer_fired(at_ns)
            elif slot < first_domain:
                self.fire_guest_timer(slot - first_vcpu)
            elif slot >= first_device:
                (<GuestKind>self.devices).device_timer(slot - first_device, at_ns)
            elif slot >= first_balloon:
                self.run_balloon(slot - first_balloon)
            elif slot >= first_policy:
                d = (slot - first_policy) >> 1
                (<Scheduler>self.policy[m.domain[d].pool + 1]).domain_timer_fired(d, (slot - first_policy) & 1, at_ns)
            else:
                d = slot - first_domain
                (<GuestKind>self.kind_table[self.guest_kind_of[m.domain[d].first_vcpu]]).domain_timer(d, at_ns)
            if m.timer[slot].at_ns == INT64_MAX:
                timer_replay(m, slot)
        clock.now_ns = until_ns
        return True
