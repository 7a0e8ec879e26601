"""The boundary between the hypervisor and a scheduling policy: read this first.

A scheduler is a `cdef class` deriving from `Scheduler`. Its operations are the entries of Xen's `struct scheduler`, in
lifecycle order. The hypervisor calls them at decision points and enacts the answers. One scheduler object serves one
cpupool of one host: it is concerned only with the pCPUs in `pool_pcpus` and with the domains inserted into it.

**What it may read**: the whole machine, `self.m` (`machine/state.pxd`). Arrays are indexed by the machine's numbers of
pCPUs, vCPUs and domains, also in a pool that has few of them. The idle vCPU of pCPU p is number `m.max_vcpus + p`; what
runs on p is `m.pcpu[p].curr`; a vCPU may run on the pCPUs in its `allowed` mask (hard affinity within the pool).

**What it may write**: its own sections; and `m.vcpu[v].pcpu` of a vCPU that it places, steals or dispatches, which is
not running then. Everything else it asks for:

- a pass on a pCPU: `raise_schedule(m, p)` of `mechanisms/softirq`;
- time: `timer_arm_hypervisor(m, slot, at_ns)` and `timer_disarm(m, slot)` of `sim/timers`, with the slots
  `tick_timer(m, p)`, `pool_timer(m, self.cpupool)` and `policy_timer(m, d, 0 or 1)`. Timers fire once and are armed
  again by hand;
- taking a vCPU off the CPU for a while: `self.hall`;
- a line in the trace: `trace(m, TRACE_..., ...)` of `sim/trace`.

**Where its state lives**: all that decides how it goes on is in the sections it asks for (`sections`, taken hold of in
`bind`, all zeros). They are its part of a host's snapshot; an attribute would not be. Constants and boot options may be
attributes: `__reduce__` makes the same scheduler anew from version and options, for copies and pickles.

The operations below run without the interpreter lock, must not raise, and take no time. None has to be overridden, but
a scheduler that does not override `wake`, `sleep` and `do_schedule` lets every pCPU idle. Each says what a missing one
means (the defaults are in `api.pyx`, with the methods that are called from Python). The shortest complete schedulers to
learn from are `null.pyx` (all by itself) and `shared_queue.pyx` (a base that leaves only the choice open).
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.state cimport Machine

cdef enum:
    MAX_TUNABLES = 4

cdef struct Decision:
    int64_t slice_ns      # run at most so long; negative: until somebody asks for a pass
    int32_t next_vcpu     # an idle vCPU is a legal answer

cdef class Hypervisor:
    """What the hypervisor offers a scheduler beside the machine's state."""
    cdef Machine m
    # Take a vCPU off the CPU until it is unpaused (nesting), as cap parking does. They keep the runstates, and call the
    # scheduler's `sleep` and `wake` before they return. Not from within `do_schedule`.
    cdef void pause_vcpu(self, int v) noexcept nogil
    cdef void unpause_vcpu(self, int v) noexcept nogil
    # Stop a domain's network traffic, or let it pass again. While it is stopped the back end drops what comes for the
    # domain as soon as it knows whom it is for, and leaves what the domain sends where it is.
    cdef void set_traffic(self, int d, bint allowed) noexcept nogil

cdef class Scheduler:
    cdef Hypervisor hall
    cdef Machine* m
    cdef const uint64_t* pool_pcpus   # the pCPUs of its cpupool, live
    cdef readonly int cpupool         # number of its cpupool
    cdef readonly object arena        # its state; see `sections`
    # Set both in __init__: what reports call it, and the release whose rules it follows.
    cdef readonly str name
    cdef readonly str version
    # Decisions come from outside: time stops before a pass for which `has_answer` says no. Only `Host.decide` gives
    # answers, and only to an `ExternalScheduler`: derive from that.
    cdef readonly bint is_external

    # -- lifecycle -----------------------------------------------------------------------------------------------
    # In this order: attach and bind (from Python, see `api.pyx`), start, insert_pcpu for each pCPU ascending; for each
    # domain insert_domain, insert_vcpu for each vCPU ascending, then adjust_domain if it has parameters. Domains, and
    # pCPUs, leave the other way round. A pool that is dissolved or given to another scheduler is simply dropped after
    # its last remove_*; the timer of the pool is disarmed then.

    # The cpupool comes into being and has no pCPUs yet. Arm the timer of the whole pool here, set up lists.
    # Missing: nothing to prepare.
    cdef void start(self, int64_t now_ns) noexcept nogil

    # pCPU p, which runs idle, joins the pool (it is in `pool_pcpus` already). Arm its tick here. A pass on it follows.
    # Missing: pCPUs have no state of their own.
    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil

    # It leaves (it is not in `pool_pcpus` any more). It runs idle, and who lived there has been moved. Its timers are
    # disarmed for you afterwards; do not arm them again. Missing: nothing to forget.
    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil

    # A domain appears: `m.domain[d]` is filled, its vCPUs are not placed yet. Give it its default parameters here; the
    # slot may have been another domain's. Missing: domains have no state of their own.
    cdef void insert_domain(self, int d) noexcept nogil

    # A vCPU appears. It is not runnable, and `m.vcpu[v].pcpu` says where it lives (`pick_pcpu` was asked before, unless
    # the operator said so). Begin its state anew: the number may have been another vCPU's. Missing: vCPUs have no state
    # of their own.
    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil

    # It disappears. It is not running, not runnable, and `sleep` has been called for it. Forget it; nothing may point
    # to it afterwards. Missing: nothing to forget.
    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil

    # The domain disappears; its vCPUs have gone before. Disarm its `policy_timer`s here. Missing: nothing to forget.
    cdef void remove_domain(self, int d) noexcept nogil

    # -- run queue -----------------------------------------------------------------------------------------------

    # v is runnable from now on: an event arrived for a blocked vCPU, it was unpaused, came online, or a migration
    # ended. Queue it, and ask for a pass (`raise_schedule`) on the pCPU that should look at it: nobody else does. Also
    # called for a vCPU that runs (it had not left the CPU yet) or is queued already: ignore it then.
    # `m.clock.executing_pcpu` is the pCPU whose code wakes it. Missing: it never runs.
    cdef void wake(self, int v, int64_t now_ns) noexcept nogil

    # v is not runnable any more: paused, taken offline, destroyed, or about to migrate. Take it off its queue if it is
    # on one; if it runs (`is_current(m, v)`), ask for a pass on its pCPU. It may be neither: a blocked vCPU can be
    # paused. Not called when a running vCPU blocks: the hypervisor asks for the pass, and do_schedule finds it not
    # runnable.
    # Missing: what is queued would be dispatched although it must not run.
    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil

    # v, which runs, lets others go first (SCHEDOP_yield). A pass on its pCPU follows, for which the hypervisor asks.
    # Missing: the pass decides as if nothing had been said.
    cdef void yield_cpu(self, int v, int64_t now_ns) noexcept nogil

    # The decision, made in a pass on pCPU p: who runs there next, and for how long. Passes come when a slice ends and
    # whenever one was asked for, after all events of the instant, on ascending pCPUs.
    # `m.pcpu[p].curr` still runs: it may go on, may have become not runnable (blocked, paused), or must be queued again
    # by you if it is runnable and another one is chosen. The answer is taken as it is, so it must be right: the idle
    # vCPU of p, or a runnable vCPU of the pool that is allowed on p and does not run elsewhere; take it off its queue,
    # and set its `pcpu` to p if it lived elsewhere. When p has just left `pool_pcpus`, nobody is allowed there: idle.
    # Missing: idle, for ever.
    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil

    # Only where `is_external`: the next decision for p is known. Missing: it is.
    cdef bint has_answer(self, int p) noexcept nogil

    # The switch away from v is over. v may be an idle vCPU (ignore it) and may be runnable (preempted); a migration
    # that waited for this moment goes on afterwards. For policies that queue v only now. Missing: nothing left to do.
    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil

    # -- placement -----------------------------------------------------------------------------------------------

    # Where v should live, one of its `allowed`; asked when it is created (before insert_vcpu: `m.vcpu[v].pcpu` is where
    # Xen's placement put it) and at the end of a migration, when it is off the CPU and off the queues. An answer that
    # is not allowed becomes the lowest pCPU that is.
    # Missing: where it is, if allowed, or else the next allowed pCPU in a circle.
    cdef int pick_pcpu(self, int v) noexcept nogil

    # v, which does not run and is not queued, lives on p from now on; `wake` follows if it is runnable. Set
    # `m.vcpu[v].pcpu` if you override it. Missing: that, and nothing more.
    cdef void migrate(self, int v, int p) noexcept nogil

    # v's masks (`allowed`, `soft_affinity`, `soft_is_effective`, `is_pinned`) have just changed, by the operator or
    # because the pool's pCPUs did. It may be running or queued where it may not be any more; it is moved afterwards if
    # need be (sleep, pick_pcpu, migrate, wake). Missing: nothing that was derived from the masks is kept.
    cdef void affinity_changed(self, int v) noexcept nogil

    # -- time ----------------------------------------------------------------------------------------------------
    # Each comes after the timer of that name expired, with `m.clock.executing_pcpu` where it is p. One-shot: arm it
    # again for the next time. Missing: no use is made of it.

    # tick_timer(m, p) expired.
    cdef void tick(self, int p, int64_t now_ns) noexcept nogil
    # pool_timer(m, self.cpupool) expired: accounting, replenishment.
    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil
    # policy_timer(m, d, which) expired (which: 0 or 1).
    cdef void domain_timer_fired(self, int d, int which, int64_t now_ns) noexcept nogil

    # -- parameters ----------------------------------------------------------------------------------------------
    # What an agent may set on a domain (at most MAX_TUNABLES numbers), without the interpreter: between two passes, in
    # the order of the Python method `tunables`, within the limits that stand there. Other parameters go through
    # `adjust_domain`. get after set returns the same numbers; set with the numbers there are changes nothing.
    # Missing: an agent cannot set anything (`tunables` is empty then).
    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil
    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil
