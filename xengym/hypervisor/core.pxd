"""The core of the hypervisor and the interface of guest programs (`core.pyx`)."""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.machine.state cimport Machine
from xengym.policies.schedulers.api cimport Hypervisor, Scheduler

cdef enum:
    MAX_GUEST_KINDS = 16

cdef class GuestKind:
    """A type of program that vCPUs run; one object serves all vCPUs of a host that run it."""
    cdef HostCore host
    cdef Machine* m
    cdef readonly int number

    # The vCPU is brought up for the first time; give it work.
    cdef void started(self, int v, int64_t now_ns) noexcept nogil
    # The work it was given is done; give it more, block it, or let it yield.
    cdef void completed(self, int v, int64_t now_ns) noexcept nogil
    # Its own timer expired.
    cdef void timer(self, int v, int64_t now_ns) noexcept nogil
    # The timer of a domain whose vCPUs run this program expired.
    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil
    # The balloon has changed how many pages a domain whose vCPUs run this program has.
    cdef void memory_changed(self, int d, int64_t now_ns) noexcept nogil
    # Only of the kind that drives the machine's devices: timer `number` of its `num_device_timers` expired.
    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil
    # Likewise: a domain's network traffic was stopped or let pass again (`m.io[d].traffic_stopped`).
    cdef void traffic_changed(self, int d, int64_t now_ns) noexcept nogil

cdef class HostCore(Hypervisor):
    cdef Scheduler scheduler_policy    # of cpupool 0
    cdef PyObject* policy[17]          # scheduler of cpupool n at n + 1; at 0 the one of pCPUs in no pool
    cdef int32_t* guest_kind_of   # number of the kind that each vCPU runs
    cdef PyObject* kind_table[16]
    cdef PyObject* devices             # the kind that drives the machine's devices, or NULL

    # Services for guests and control.
    cdef void set_work(self, int v, int64_t work_ns) noexcept nogil
    cdef void block(self, int v) noexcept nogil
    cdef void poll(self, int v, int64_t timeout_ns) noexcept nogil
    cdef void yield_cpu(self, int v) noexcept nogil
    cdef void deliver_event(self, int v) noexcept nogil
    cdef void arm_guest_timer(self, int v, int64_t at_ns) noexcept nogil
    cdef void arm_domain_timer(self, int d, int64_t at_ns) noexcept nogil
    cdef void job_submitted(self, int d, int64_t work_ns) noexcept nogil
    cdef void job_done(self, int d, int v, int64_t response_ns) noexcept nogil
    cdef void segment_done(self, int v) noexcept nogil
    cdef void entered_hypervisor(self, int v, int64_t hypercalls, int64_t entries) noexcept nogil

    # The core of the hypervisor.
    cdef void run_balloon(self, int d) noexcept nogil
    cdef void finish_balloon(self, int v) noexcept nogil
    cdef void set_traffic(self, int d, bint allowed) noexcept nogil
    cdef bint run(self, int64_t until_ns, uint64_t until_key) noexcept nogil
    cdef void wake_vcpu(self, int v) noexcept nogil
    cdef void sleep_vcpu(self, int v) noexcept nogil
    cdef void bring_up(self, int v) noexcept nogil
    cdef void start_migration(self, int v) noexcept nogil
    cdef void finish_migration(self, int v) noexcept nogil
    cdef void schedule(self, int p) noexcept nogil
    cdef bint serve_schedule(self) noexcept nogil
    cdef void fire_completion(self, int p) noexcept nogil
    cdef void fire_guest_timer(self, int v) noexcept nogil
