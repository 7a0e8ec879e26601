"""Defaults of the scheduler interface: what a missing operation means, in one place (see `api.pxd`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.mask cimport mask_cycle, mask_test
from xengym.machine.state cimport Machine

from xengym.machine.state import Arena
from xengym.policies.schedulers.tunables import Share


cdef class Hypervisor:
    cdef void pause_vcpu(self, int v) noexcept nogil:
        pass

    cdef void unpause_vcpu(self, int v) noexcept nogil:
        pass

    cdef void set_traffic(self, int d, bint allowed) noexcept nogil:
        pass


cdef class Scheduler:
    """Base of all scheduling policies.

    A policy states its state as arena sections (`sections`), receives views of them (`bind`), and then answers the
    operations listed in `api.pxd`. The parameters are set from Python through `adjust_domain` and `adjust`.

    A subclass takes ``(version="current", *, its boot options)``, sets ``name`` and ``version``, lists the releases it
    knows in the class attribute ``versions`` (oldest first, the last is "current"), raises ValueError for what it does
    not know, and returns from ``__reduce__`` how to make it anew. The methods below are called with the interpreter
    lock, from the host's constructor, ``Domctl`` and reports; everything has a default, in which there are no
    parameters.
    """

    #: What it promises to reservations, for admission: "none"; "partitioned", shares of each pCPU by itself; "global", of all.
    promise = "none"

    def sections(self, num_pcpus, max_vcpus, max_domains):
        """Arena sections the policy needs: a list of ``(name, dtype, count)``; idle vCPUs follow the guests'."""
        return []

    def attach(self, Hypervisor hall, int cpupool):
        """Serve a cpupool of a machine from now on: the state is zeroed, sized for the machine, and bound."""
        self.hall = hall
        self.m = &hall.m
        self.cpupool = cpupool
        self.pool_pcpus = hall.m.pool[cpupool].pcpus
        if self.arena is None:
            self.arena = Arena(self.sections(self.m.num_pcpus, self.m.max_vcpus, self.m.max_domains))
        self.arena.block[:] = 0
        self.bind(self.arena.sections)

    def is_like(self, other):
        """Whether ``other`` is the same scheduler with the same version and boot options, so that states fit."""
        return self is other or (type(self) is type(other) and self.__reduce__() == other.__reduce__())

    def bind(self, views):
        """Take hold of the state, all zeros; ``views`` maps each section's name to its array."""

    def extra_state(self):
        """What decides how the policy goes on and is not in its sections, as bytes; None if nothing is."""
        return None

    def set_extra_state(self, state):
        """Take back what ``extra_state`` returned (and may return again)."""

    def raise_error(self):
        """Raise what went wrong in the policy while time ran, if anything did (policies written in Python)."""

    def queued(self):
        """Guest vCPUs that wait in the policy's queues, in their order, as a list of numbers; for tests and reports."""
        return []

    def counters(self):
        """What the policy has counted, by name; for reports and conformance."""
        return {}

    def tunables(self):
        """What an agent may set on each domain: a list of `Tunable`, in the order of `set_tunables`."""
        return []

    def check_domain_params(self, where, num_vcpus, params):
        """Raise ValueError, naming ``where``, for parameters that a domain of so many vCPUs cannot have."""
        if params:
            raise ValueError(f"{where}: there are no domain parameters; found {', '.join(sorted(params))}")

    def adjust_domain(self, int d, params):
        """Set parameters of domain slot ``d`` from a mapping; unknown names or impossible values raise ValueError."""
        self.check_domain_params(f"scheduler {self.name}", self.m.domain[d].num_vcpus, params)

    def adjust_vcpu(self, int v, params):
        """Set parameters of one vCPU, where the policy has such; ValueError otherwise."""
        raise ValueError(f"scheduler {self.name!r} has no parameters of single vCPUs; found {', '.join(sorted(params))}")

    def share(self, int d):
        """What domain slot ``d`` is given, in terms that other schedulers understand: a `Share`."""
        return Share()

    def reserved_ppm(self, int v):
        """Part of a pCPU that is promised to vCPU number ``v``, parts per million, rounded up; 0: none."""
        return 0

    def wanted_ppm(self, params):
        """What a domain created with ``params`` would be promised for each of its vCPUs, likewise."""
        return 0

    def params_from(self, share, num_vcpus):
        """Domain parameters that come closest to ``share``: ``(params, lost)``.

        ``lost`` names the fields of ``share`` that have no counterpart here.
        """
        return {}, share.stated()

    def domain_params(self, int d):
        """Parameters of domain slot ``d`` as a dict."""
        return {}

    def adjust(self, params):
        """Set parameters of the whole scheduler from a mapping."""
        if params:
            raise ValueError(f"scheduler {self.name!r} has no parameters; found {', '.join(sorted(params))}")

    def params(self):
        """Parameters of the whole scheduler as a dict."""
        return {}

    cdef void start(self, int64_t now_ns) noexcept nogil:
        pass

    cdef void insert_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        pass

    cdef void remove_pcpu(self, int p, int64_t now_ns) noexcept nogil:
        pass

    cdef void insert_domain(self, int d) noexcept nogil:
        pass

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void remove_domain(self, int d) noexcept nogil:
        pass

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef void yield_cpu(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Decision decision
        decision.slice_ns = -1
        decision.next_vcpu = self.m.max_vcpus + p
        return decision

    cdef bint has_answer(self, int p) noexcept nogil:
        return True

    cdef void context_saved(self, int v, int64_t now_ns) noexcept nogil:
        pass

    cdef int pick_pcpu(self, int v) noexcept nogil:
        cdef Machine* m = self.m
        if mask_test(m.vcpu[v].allowed, m.vcpu[v].pcpu):
            return m.vcpu[v].pcpu
        return mask_cycle(m.vcpu[v].allowed, m.vcpu[v].pcpu, m.num_words)

    cdef void migrate(self, int v, int p) noexcept nogil:
        self.m.vcpu[v].pcpu = p

    cdef void affinity_changed(self, int v) noexcept nogil:
        pass

    cdef void tick(self, int p, int64_t now_ns) noexcept nogil:
        pass

    cdef void pool_timer_fired(self, int64_t now_ns) noexcept nogil:
        pass

    cdef void domain_timer_fired(self, int d, int which, int64_t now_ns) noexcept nogil:
        pass

    cdef void set_tunables(self, int d, const int64_t* values, int64_t now_ns) noexcept nogil:
        pass

    cdef void get_tunables(self, int d, int64_t* values) noexcept nogil:
        pass
