"""The boundary between the hypervisor and a scheduling policy: read this first.

A scheduler is a `cdef class` deriving from `Scheduler`. Its methods are the entries of Xen's `struct scheduler`, in
lifecycle order. The hypervisor calls them at decision points and enacts the answers; a scheduler reads the machine
(`self.m`), writes only its own sections and the `pcpu` of a vCPU that it places or steals, and asks for everything
else through `raise_schedule`, timers, and the services of `Hypervisor`.

One scheduler object serves one cpupool of one host. It is concerned only with the pCPUs in `pool_pcpus` and with the
domains that are inserted into it; a vCPU may run on the pCPUs in its `allowed` mask (hard affinity within the pool).
Arrays are indexed by the machine's numbers of pCPUs, vCPUs and domains all the same.

Each operation below says when it is called. All but the Python methods run without the interpreter lock and must not
raise. What a missing one means stands in `api.pyx`.
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
    # Take a vCPU off the CPU until it is unpaused (nesting), as cap parking does.
    cdef void pause_vcpu(self, int v) noexcept nogil
    cdef void unpause_vcpu(self, int v) noexcept nogil

cdef class Scheduler:
    cdef Hypervisor hall
    cdef Machine* m
    cdef const uint64_t* pool_pcpus   # the pCPUs of its cpupool, live
    cdef readonly int cpupool         # number of its cpupool
    cdef readonly object arena        # its state; see `sections`
    cdef readonly str name
    cdef readonly str version
    # Decisions come from outside: time stops before a pass for which `has_answer` says no.
    cdef readonly bint is_external

    # -- lifecycle -----------------------------------------------------------------------------------------------
    # The cpupool comes into being and has no pCPUs yet; arm the timer of the whole pool here.
    cdef void start(self, int64_t now_ns) noexcept nogil
    # pCPU p, which runs idle, joins the pool (it is in `pool_pcpus` already); arm its tick here. A pass follows.
    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil
    # It leaves (it is not in `pool_pcpus` any more): it runs idle and nobody is queued there. Disarm its tick.
    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil
    # A domain or vCPU appears; it is offline. Choose its pCPU here if the policy does so.
    cdef void insert_domain(self, int d) noexcept nogil
    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil
    # It disappears. It is not running, not queued and not runnable any more; its own timers are disarmed here.
    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil
    cdef void remove_domain(self, int d) noexcept nogil

    # -- run queue -----------------------------------------------------------------------------------------------
    # Runnable now. Also called for the running vCPU and for one that is queued: to be ignored then.
    cdef void wake(self, int v, int64_t now_ns) noexcept nogil
    # Not runnable any more (paused, migrating); not called for an ordinary block.
    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil
    cdef void yield_cpu(self, int v, int64_t now_ns) noexcept nogil
    # The decision: which vCPU runs on pCPU p next, and for how long.
    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil
    # Only where `is_external`: the next decision for p is known.
    cdef bint has_answer(self, int p) noexcept nogil
    # v was switched out and its registers are saved.
    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil

    # -- placement -----------------------------------------------------------------------------------------------
    # Where v should be, among its `allowed`: at creation, and at the end of a migration.
    cdef int pick_pcpu(self, int v) noexcept nogil
    cdef void migrate(self, int v, int p) noexcept nogil
    cdef void affinity_changed(self, int v) noexcept nogil

    # -- time ----------------------------------------------------------------------------------------------------
    # tick_timer(m, p) expired. It is one-shot, as all timers: arm it again with timer_arm_hypervisor.
    cdef void tick(self, int p, int64_t now_ns) noexcept nogil
    # pool_timer(m, self.cpupool) expired: accounting, replenishment.
    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil
    # policy_timer(m, d, which) expired (which: 0 or 1).
    cdef void domain_timer_fired(self, int d, int which, int64_t now_ns) noexcept nogil

    # -- parameters ----------------------------------------------------------------------------------------------
    # What an agent may set on a domain (at most MAX_TUNABLES numbers), without the interpreter; `tunables` names them.
    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil
    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil
