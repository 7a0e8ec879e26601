"""cpupools: sets of pCPUs, each under a scheduler of its own; pCPUs and domains move between them while they run.

Cpupool 0 holds every pCPU at boot and always exists. A pCPU is in one pool or in none (then it runs idle); a domain is in
one pool and runs there only. Nothing is lost in a move: no vCPU, no CPU time, no work under way. A domain's parameters
carry over to another scheduler as far as they have a counterpart there, and the caller is told which had none.

Beyond Xen, which wants a pool emptied first, a pool can be given another scheduler while its domains run.

Source: Xen's cpupools, as its tools show them (``xl cpupool-create``, ``-cpu-add``, ``-cpu-remove``, ``-migrate``).
"""
from xengym.machine.mask cimport mask_clear, mask_cycle, mask_is_empty, mask_next, mask_set, mask_test
from xengym.machine.state cimport (
    MASK_WORDS, NO_POOL, Machine, Pool, Vcpu, completion_timer, is_current, pool_timer, slice_timer, tick_timer,
)
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Scheduler
from xengym.sim.timers cimport timer_disarm
from libc.string cimport memset

from typing import NamedTuple


class Carried(NamedTuple):
    """How a domain's parameters came over to another scheduler.

    Attributes:
        params: what was set there, in that scheduler's words.
        lost: terms of the old ones (fields of ``tunables.Share``) that have no counterpart there.
    """

    params: dict
    lost: list


cdef class Poolctl(Domctl):
    """The control interface with the operations on cpupools; see `Domctl` for who may call it."""

    # -- pools ---------------------------------------------------------------------------------------------------

    def pools(self):
        """PCPUs of each cpupool by number of the pool: a dict of lists, ascending."""
        cdef Machine* m = &self.host.m
        return {pool: [p for p in range(m.num_pcpus) if m.pcpu[p].pool == pool] for pool in self.host.schedulers}

    def pool_of(self, domid):
        """Number of the cpupool that a domain runs in."""
        return self.host.m.domain[self._slot(domid)].pool

    def create_pool(self, Scheduler scheduler not None):
        """Make a new cpupool without pCPUs.

        Args:
            scheduler: a scheduling policy object, not in use elsewhere.

        Returns:
            The pool's number.

        Raises:
            ValueError: there are as many pools as there can be, or the scheduler serves another pool.
        """
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int pool
        self._check_free(scheduler)
        for pool in range(m.max_pools):
            if not m.pool[pool].in_use:
                break
        else:
            raise ValueError(f"create_pool: the host holds its maximum of {m.max_pools} cpupools")
        memset(&m.pool[pool], 0, sizeof(Pool))
        m.pool[pool].in_use = 1
        self.host.set_pool_scheduler(pool, scheduler)
        scheduler.attach(self.host, pool)
        scheduler.start(m.clock.now_ns)
        return pool

    def destroy_pool(self, int pool):
        """Dissolve a cpupool that no domain runs in; its pCPUs are in no pool then.

        Raises:
            ValueError: no such pool, pool 0, or domains run in it.
        """
        self.authorise()
        cdef Machine* m = &self.host.m
        self._check_pool(pool)
        if pool == 0:
            raise ValueError("destroy_pool: cpupool 0 always exists")
        if self._domains_of(pool):
            raise ValueError(f"destroy_pool: domains {self._domids_of(pool)} run in cpupool {pool}; move them first")
        for p in self.pools()[pool]:
            self._detach_pcpu(p)
        timer_disarm(m, pool_timer(m, pool))
        m.pool[pool].in_use = 0
        self.host.set_pool_scheduler(pool, None)

    # -- pCPUs ---------------------------------------------------------------------------------------------------

    def add_pcpu(self, int pool, int p):
        """Give a pCPU that is in no cpupool to one.

        Raises:
            ValueError: no such pool or pCPU, or the pCPU is in a pool.
        """
        self.authorise()
        self._check_pool(pool)
        self._check_pcpu(p)
        if self.host.m.pcpu[p].pool != NO_POOL:
            raise ValueError(f"add_pcpu: pCPU {p} is in cpupool {self.host.m.pcpu[p].pool}; remove it there first")
        self._attach_pcpu(pool, p)
        self._refresh_affinity(pool)

    def remove_pcpu(self, int p):
        """Take a pCPU out of its cpupool; whoever is there moves to the pool's other pCPUs.

        Returns:
            ``(domid, vcpu_in_domain)`` of the vCPUs that were bound to this pCPU alone: they may run anywhere now.

        Raises:
            ValueError: it is in no pool, or the last pCPU of a pool in which domains run.
        """
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int pool, v
        self._check_pcpu(p)
        pool = m.pcpu[p].pool
        if pool == NO_POOL:
            raise ValueError(f"remove_pcpu: pCPU {p} is in no cpupool")
        if m.pool[pool].num_pcpus == 1 and self._domains_of(pool):
            raise ValueError(
                f"remove_pcpu: pCPU {p} is the last of cpupool {pool}, in which domains {self._domids_of(pool)} run"
            )
        mask_clear(m.pool[pool].pcpus, p)
        broken = self._refresh_affinity(pool)
        for d in self._domains_of(pool):
            for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
                if m.vcpu[v].pcpu == p and m.pcpu[p].curr != v:
                    self.host.start_migration(v)
        if not m.vcpu[m.pcpu[p].curr].is_idle:
            self.host.start_migration(m.pcpu[p].curr)
        self._go_idle(p)
        self._detach_pcpu(p)
        return broken

    # -- domains -------------------------------------------------------------------------------------------------

    def move_domain(self, domid, int pool):
        """Let a domain run in another cpupool, on all of its pCPUs (affinities are forgotten, as Xen does).

        Returns:
            ``Carried``: the parameters it has there, and what was lost.

        Raises:
            ValueError: no such domain or pool, or the pool has no pCPU; nothing is changed then.
        """
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int d = self._slot(domid)
        cdef int v
        self._check_pool(pool)
        if m.pool[pool].num_pcpus == 0:
            raise ValueError(f"move_domain: cpupool {pool} has no pCPU on which domain {domid} could run")
        carried = self._carry(d, self.host.pool_schedulers[pool])
        m.domain[d].pause_count += 1
        self._leave_scheduler(d)
        m.domain[d].pool = pool
        everywhere = self._mask("", "", None)
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            self._set_masks(v, everywhere, everywhere)
        self._enter_scheduler(d, None, carried.params)
        self._wake_domain(d)
        return carried

    # -- the scheduler -------------------------------------------------------------------------------------------

    def change_scheduler(self, Scheduler scheduler not None, *, int pool=0):
        """Put a cpupool under another scheduler while its domains run.

        Every vCPU stays on its pCPU (unless it was about to leave it for another affinity) and keeps its affinity, its
        work and its runstate but for an instant in which all are off their pCPUs.

        Args:
            scheduler: a scheduling policy object, not in use elsewhere.
            pool: number of the cpupool.

        Returns:
            ``Carried`` by domain id.

        Raises:
            ValueError: no such pool, or the scheduler serves another pool; nothing is changed then.
        """
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int d, v
        self._check_pool(pool)
        self._check_free(scheduler)
        domains = self._domains_of(pool)
        pcpus = self.pools()[pool]
        carried = {d: self._carry(d, scheduler) for d in domains}
        # All are off their queues before any pCPU looks for the next to run.
        for d in domains:
            m.domain[d].pause_count += 1
            for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
                self.host.sleep_vcpu(v)
        for d in domains:
            self._leave_scheduler(d)
        for p in pcpus:
            self._detach_pcpu(p)
        timer_disarm(m, pool_timer(m, pool))
        self.host.set_pool_scheduler(pool, scheduler)
        scheduler.attach(self.host, pool)
        scheduler.start(m.clock.now_ns)
        for p in pcpus:
            self._attach_pcpu(pool, p)
        self._refresh_affinity(pool)
        for d in domains:
            first = m.domain[d].first_vcpu
            vcpus = range(first, first + m.domain[d].num_vcpus)
            self._enter_scheduler(d, [self._place_within_affinity(v) for v in vcpus], carried[d].params)
        for d in domains:
            self._wake_domain(d)
        return {int(m.domain[d].domid): carried[d] for d in domains}

    # -- details -------------------------------------------------------------------------------------------------

    def _check_pool(self, pool):
        if pool not in self.host.schedulers:
            raise ValueError(f"no cpupool {pool} on this host; there are {sorted(self.host.schedulers)}")

    def _check_pcpu(self, p):
        if not 0 <= p < self.host.m.num_pcpus:
            raise ValueError(f"no pCPU {p} on this host; there are pCPUs 0..{self.host.m.num_pcpus - 1}")

    def _check_free(self, scheduler):
        for pool, other in self.host.schedulers.items():
            if scheduler is other:
                raise ValueError(f"the scheduler object serves cpupool {pool} already; make another one")

    def _domains_of(self, pool):
        cdef Machine* m = &self.host.m
        return [d for d in range(m.max_domains) if m.domain[d].in_use and m.domain[d].pool == pool]

    def _domids_of(self, pool):
        return [self.host.m.domain[d].domid for d in self._domains_of(pool)]

    def _carry(self, int d, scheduler):
        """What a domain's parameters become under another scheduler; ValueError if it cannot have them."""
        cdef Machine* m = &self.host.m
        num_vcpus = m.domain[d].num_vcpus
        params, lost = scheduler.params_from(self._scheduler(d).share(d), num_vcpus)
        scheduler.check_domain_params(
            f"domain {m.domain[d].domid}, scheduler {scheduler.name} {scheduler.version}", num_vcpus, params
        )
        return Carried(params, lost)

    cdef _refresh_affinity(self, int pool):
        """After a change of a pool's pCPUs: where its vCPUs may run. Returns those whose affinity had to be given up."""
        cdef Machine* m = &self.host.m
        cdef Scheduler scheduler = self.host.pool_schedulers[pool]
        cdef int d, v
        broken = []
        for d in self._domains_of(pool):
            for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
                self.host.update_affinity(v)
                if mask_is_empty(m.vcpu[v].allowed, m.num_words) and m.pool[pool].num_pcpus:
                    everywhere = self._mask("", "", None)
                    self._set_masks(v, everywhere, everywhere)
                    broken.append((int(m.domain[d].domid), int(m.vcpu[v].vcpu_in_domain)))
                scheduler.affinity_changed(v)
        return broken

    def _place_within_affinity(self, int v):
        """Its pCPU; or, if its affinity has just changed and it was still to move, the next one that is allowed."""
        cdef Machine* m = &self.host.m
        if mask_test(m.vcpu[v].allowed, m.vcpu[v].pcpu):
            return m.vcpu[v].pcpu
        return mask_cycle(m.vcpu[v].allowed, m.vcpu[v].pcpu, m.num_words)

    cdef _go_idle(self, int p):
        """Run a pass on a pCPU that nobody may use any more."""
        cdef Machine* m = &self.host.m
        mask_clear(m.clock.pending, p)
        if not m.vcpu[m.pcpu[p].curr].is_idle:
            self.host.schedule(p)
        if not m.vcpu[m.pcpu[p].curr].is_idle:
            scheduler = self.host.pool_schedulers[m.pcpu[p].pool]
            raise RuntimeError(f"scheduler {scheduler.name!r} still runs vCPU {m.pcpu[p].curr} on pCPU {p}, which left it")

    cdef _attach_pcpu(self, int pool, int p):
        cdef Machine* m = &self.host.m
        m.pcpu[p].pool = pool
        m.pool[pool].num_pcpus += 1
        mask_set(m.pool[pool].pcpus, p)
        (<Scheduler>self.host.pool_schedulers[pool]).insert_pcpu(p, m.clock.now_ns)
        raise_schedule(m, p)

    cdef _detach_pcpu(self, int p):
        """Take an idle pCPU out of its pool."""
        cdef Machine* m = &self.host.m
        cdef int pool = m.pcpu[p].pool
        mask_clear(m.pool[pool].pcpus, p)
        m.pool[pool].num_pcpus -= 1
        m.pcpu[p].pool = NO_POOL
        (<Scheduler>self.host.pool_schedulers[pool]).remove_pcpu(p, m.clock.now_ns)
        for slot in (slice_timer(m, p), completion_timer(m, p), tick_timer(m, p)):
            timer_disarm(m, slot)
        mask_clear(m.clock.pending, p)

    cdef _wake_domain(self, int d):
        """Undo the pause of a move."""
        cdef Machine* m = &self.host.m
        cdef int v
        m.domain[d].pause_count -= 1
        m.clock.executing_pcpu = mask_next(m.pool[m.domain[d].pool].pcpus, -1, m.num_words)
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            self.host.wake_vcpu(v)
