"""The control interface that Dom0's tools use: domains and vCPUs come, go, and have their parameters set.

Only a privileged domain may call it; everything an agent does to a host goes through here or through the same checks.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.mask cimport mask_cycle, mask_test
from xengym.machine.state cimport (
    MASK_WORDS, MAX_PCPUS, NO_VCPU, OFFLINE, PAUSE_DOWN, PAUSE_MIGRATING, Domain, DomainIo, Machine, Vcpu, balloon_timer, domain_timer, guest_timer,
    is_current,
)
from xengym.machine.memory_state cimport DomainMemory
from xengym.mechanisms.balloon cimport decrease_reservation, increase_reservation, spare_pages
from xengym.policies.schedulers.api cimport Scheduler
from xengym.sim.timers cimport timer_disarm
from xengym.sim.trace cimport TRACE_ADJUST, TRACE_DOMAIN_ADD, TRACE_DOMAIN_REMOVE, trace
from libc.string cimport memset

import numpy as np

from xengym.machine.memory_costs import FLOOR_PAGES, MAX_PAGES

MAX_TIME_NS = 1 << 62
MAX_DOMID = 32751  # the ids above are Xen's own (idle, I/O and the like)


class PrivilegeError(PermissionError):
    """A domain without privilege called the control interface."""


cdef class Domctl:
    """Control operations on one host on behalf of a calling domain.

    Args:
        host: the machine.
        caller: id of the calling domain; 0 (Dom0) may call before any domain exists, as at boot.

    Every operation raises ``PrivilegeError`` if the caller is not privileged and ``ValueError`` for impossible
    arguments; nothing is changed then.
    """

    def __init__(self, Host host, caller=0):
        self.host = host
        self.caller = caller

    # -- who may ask, and about whom -----------------------------------------------------------------------------

    def authorise(self):
        """Raise ``PrivilegeError`` unless the caller may use the control interface."""
        cdef Machine* m = &self.host.m
        cdef int d
        if self.caller == 0:
            return
        for d in range(m.max_domains):
            if m.domain[d].in_use and m.domain[d].domid == self.caller:
                if m.domain[d].is_privileged:
                    return
                raise PrivilegeError(f"domain {self.caller} is not privileged and may not use the control interface")
        raise PrivilegeError(f"domain {self.caller} does not exist and may not use the control interface")

    cdef int _slot(self, int domid) except -1:
        cdef Machine* m = &self.host.m
        cdef int d
        for d in range(m.max_domains):
            if m.domain[d].in_use and m.domain[d].domid == domid:
                return d
        raise ValueError(f"no domain {domid} on this host")

    cdef int _vcpu(self, int domid, int vcpu_in_domain) except -1:
        cdef int d = self._slot(domid)
        if not 0 <= vcpu_in_domain < self.host.m.domain[d].num_vcpus:
            raise ValueError(
                f"domain {domid} has vCPUs 0..{self.host.m.domain[d].num_vcpus - 1}, found {vcpu_in_domain}"
            )
        return self.host.m.domain[d].first_vcpu + vcpu_in_domain

    def slot(self, domid):
        """Number of the domain's slot in the state arrays."""
        return self._slot(domid)

    def vcpu_number(self, domid, vcpu_in_domain=0):
        """Number of a vCPU in the state arrays."""
        return self._vcpu(domid, vcpu_in_domain)

    # -- life of a domain ----------------------------------------------------------------------------------------

    def create_domain(self, domid, program, *, num_vcpus=1, name=None, params=None, is_privileged=None, start_ns=0,
                      pool=0, pcpus=None, hard_affinity=None, soft_affinity=None, latency_target_ns=0, agreed_pcpus=0.0,
                      bint is_hvm=False, memory_pages=None, max_memory_pages=None, min_memory_pages=FLOOR_PAGES):
        """Create a domain; its vCPUs start at ``start_ns`` (or now, if that is past).

        Args:
            domid: 0..32751, not in use.
            program: what its vCPUs run: a ``ProgramSpec``, or one for each vCPU.
            num_vcpus: vCPUs; further ones cannot be added, but they can be taken offline and brought back.
            name: for tables; default ``dom<id>``.
            params: scheduler parameters.
            is_privileged: may use the control interface; default: domain 0 only.
            start_ns: absolute simulated time, one value or one for each vCPU.
            pool: number of the cpupool it runs in.
            pcpus: initial pCPU of each vCPU; default Xen's placement.
            hard_affinity: pCPUs on which it may run; default all.
            soft_affinity: pCPUs it prefers; default all.
            latency_target_ns: agreed response time of its jobs; 0: none.
            agreed_pcpus: CPU agreed on, in pCPUs; 0: none.
            is_hvm: fully virtualised with the processor's help (VT-x) instead of paravirtualised.
            memory_pages: page frames that it is created with; None: what its program says; 0: its memory does not count.
            max_memory_pages: that its balloon may take it to; default those it is created with. More: it starts with a part
                of its memory in the balloon.
            min_memory_pages: that its kernel needs and its balloon leaves it, if it has as many.

        Returns:
            The domain's slot in the state arrays.
        """
        self.authorise()
        cdef Host host = self.host
        cdef Machine* m = &host.m
        cdef int d, v, i, first, p
        cdef Domain* dom
        cdef Vcpu* vc
        where = f"domain {domid}"
        if not isinstance(domid, (int, np.integer)) or not 0 <= domid <= MAX_DOMID:
            raise ValueError(f"domain id must be an integer 0..{MAX_DOMID}, found {domid!r}")
        for d in range(m.max_domains):
            if m.domain[d].in_use and m.domain[d].domid == domid:
                raise ValueError(f"{where} exists already")
        if not isinstance(num_vcpus, (int, np.integer)) or num_vcpus < 1:
            raise ValueError(f"{where}: num_vcpus must be a positive integer, found {num_vcpus!r}")
        programs = list(program) if isinstance(program, (list, tuple)) else [program] * num_vcpus
        if len(programs) != num_vcpus:
            raise ValueError(f"{where}: {num_vcpus} vCPUs but {len(programs)} programs")
        kinds = {kind.name: kind for kind in host.guest_kinds}
        starts = list(start_ns) if isinstance(start_ns, (list, tuple)) else [start_ns] * num_vcpus
        for what, entries in (("start_ns", starts), ("pcpus", pcpus)):
            if entries is not None and len(entries) != num_vcpus:
                raise ValueError(f"{where}: {num_vcpus} vCPUs but {len(entries)} entries in {what}")
        for start in starts:
            _integer(where, "start_ns", start, MAX_TIME_NS)
        _integer(where, "latency_target_ns", latency_target_ns, MAX_TIME_NS)
        if not 0 <= agreed_pcpus <= MAX_PCPUS:
            raise ValueError(f"{where}: agreed_pcpus must be 0..{MAX_PCPUS}, found {agreed_pcpus}")
        params = params or {}
        if not isinstance(pool, (int, np.integer)) or pool not in host.schedulers:
            raise ValueError(f"{where}: no cpupool {pool!r} on this host; there are {sorted(host.schedulers)}")
        cdef Scheduler scheduler = host.pool_schedulers[pool]
        scheduler.check_domain_params(f"{where}, scheduler {scheduler.name} {scheduler.version}", num_vcpus, params)
        for spec in programs:
            if spec.kind not in kinds:
                raise ValueError(f"{where}: unknown program {spec.kind!r}; this host knows {', '.join(kinds)}")
            kinds[spec.kind].check(where, programs)
        if memory_pages is None:
            memory_pages = kinds[programs[0].kind].memory_pages(programs[0])
        memory = self._memory(where, memory_pages, max_memory_pages, min_memory_pages)
        hard = self._mask(where, "hard_affinity", hard_affinity)
        soft = self._mask(where, "soft_affinity", soft_affinity)
        allowed = self._within_pool(where, hard, pool)
        for given in pcpus or ():
            if not 0 <= given < m.num_pcpus or not allowed >> given & 1:
                raise ValueError(f"{where}: initial pCPU {given} is not among pCPUs 0..{m.num_pcpus - 1} of its affinity")
        for d in range(m.max_domains):
            if not m.domain[d].in_use:
                break
        else:
            raise ValueError(f"{where}: the host holds its maximum of {m.max_domains} domains")
        first = self._free_vcpus(num_vcpus)
        if first < 0:
            raise ValueError(
                f"{where}: no room for {num_vcpus} vCPUs; {m.clock.num_vcpus} of at most {m.max_vcpus} are in use"
            )
        dom = &m.domain[d]
        memset(dom, 0, sizeof(Domain))
        dom.domid = domid
        dom.first_vcpu = first
        dom.num_vcpus = num_vcpus
        dom.is_privileged = (domid == 0) if is_privileged is None else bool(is_privileged)
        dom.in_use = 1
        dom.is_hvm = is_hvm
        dom.pool = pool
        dom.latency_target_ns = latency_target_ns
        dom.agreed_pcpus = agreed_pcpus
        dom.created_at_ns = m.clock.now_ns
        memset(&m.io[d], 0, sizeof(DomainIo))
        m.io[d].last_tx_at_ns = -1
        m.io[d].prev_tx_at_ns = -1
        memset(&m.memory[d], 0, sizeof(DomainMemory))
        m.memory[d].max_pages, m.memory[d].floor_pages = memory
        m.memory[d].initial_pages = increase_reservation(m, d, memory_pages)
        m.memory[d].target_pages = m.memory[d].initial_pages
        m.clock.num_domains += 1
        m.clock.num_vcpus += num_vcpus
        host.domain_names[d] = name if name is not None else f"dom{domid}"
        for i in range(num_vcpus):
            v = first + i
            vc = &m.vcpu[v]
            memset(vc, 0, sizeof(Vcpu))
            vc.in_use = 1
            vc.domain = d
            vc.vcpu_in_domain = i
            vc.runstate = OFFLINE
            vc.runstate_at_ns = m.clock.now_ns
            vc.pause_flags = PAUSE_DOWN
            vc.dispatched_pcpu = -1
            vc.wake_at_ns = -1
            self._set_masks(v, hard, soft)
            host.guest_kind_of[v] = kinds[programs[i].kind].number
        for i in range(num_vcpus):
            kinds[programs[i].kind].configure(d, first + i, programs[i])
            host.arm_guest_timer(first + i, max(starts[i], m.clock.now_ns))
        self._enter_scheduler(d, pcpus, params)
        trace(m, TRACE_DOMAIN_ADD, 0, NO_VCPU, d, domid)
        return d

    def destroy_domain(self, domid):
        """Take the domain off its pCPUs and forget it."""
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int d = self._slot(domid)
        cdef int v
        m.domain[d].pause_count += 1
        self._leave_scheduler(d)
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            timer_disarm(m, guest_timer(m, v))
        timer_disarm(m, domain_timer(m, d))
        timer_disarm(m, balloon_timer(m, d))
        for kind in self.host.guest_kinds:
            kind.destroyed(d)
        decrease_reservation(m, d, m.memory[d].pages)
        trace(m, TRACE_DOMAIN_REMOVE, 0, NO_VCPU, d, domid)
        self._forget(d)

    def pause_domain(self, domid):
        """Stop the domain's vCPUs until ``unpause_domain``; calls nest."""
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int d = self._slot(domid)
        cdef int v
        m.domain[d].pause_count += 1
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            self.host.sleep_vcpu(v)

    def unpause_domain(self, domid):
        """Undo one ``pause_domain``."""
        self.authorise()
        cdef Machine* m = &self.host.m
        cdef int d = self._slot(domid)
        cdef int v
        if m.domain[d].pause_count == 0:
            raise ValueError(f"domain {domid} is not paused")
        m.domain[d].pause_count -= 1
        if m.domain[d].pause_count:
            return
        m.clock.executing_pcpu = 0
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            self.host.wake_vcpu(v)

    # -- vCPUs ---------------------------------------------------------------------------------------------------

    def set_vcpu_online(self, domid, vcpu_in_domain, bint online):
        """Hot-plug: bring a vCPU online or take it offline; its program goes on where it was."""
        self.authorise()
        cdef int v = self._vcpu(domid, vcpu_in_domain)
        cdef Vcpu* vc = &self.host.m.vcpu[v]
        if online and vc.pause_flags & PAUSE_DOWN:
            if not vc.has_started:
                timer_disarm(&self.host.m, guest_timer(&self.host.m, v))
            self.host.bring_up(v)
        elif not online and not vc.pause_flags & PAUSE_DOWN:
            vc.pause_flags |= PAUSE_DOWN
            self.host.sleep_vcpu(v)

    def set_affinity(self, domid, vcpu_in_domain, *, hard=None, soft=None):
        """Set where a vCPU may run (``hard``) and prefers to run (``soft``); None leaves one as it is.

        The vCPU is placed anew even if its present pCPU stays legal, as Xen does.
        """
        self.authorise()
        cdef int v = self._vcpu(domid, vcpu_in_domain)
        cdef Vcpu* vc = &self.host.m.vcpu[v]
        where = f"domain {domid} vCPU {vcpu_in_domain}"
        hard_mask = self._mask(where, "hard_affinity", hard) if hard is not None else _mask_value(vc.hard_affinity)
        soft_mask = self._mask(where, "soft_affinity", soft) if soft is not None else _mask_value(vc.soft_affinity)
        self._within_pool(where, hard_mask, self.host.m.domain[vc.domain].pool)
        self._set_masks(v, hard_mask, soft_mask)
        self._scheduler(vc.domain).affinity_changed(v)
        self.host.start_migration(v)

    def affinity(self, domid, vcpu_in_domain):
        """``(hard, soft)`` affinity as lists of pCPUs."""
        cdef int v = self._vcpu(domid, vcpu_in_domain)
        masks = _mask_value(self.host.m.vcpu[v].hard_affinity), _mask_value(self.host.m.vcpu[v].soft_affinity)
        return tuple([p for p in range(self.host.m.num_pcpus) if mask >> p & 1] for mask in masks)

    # -- parameters ----------------------------------------------------------------------------------------------

    def adjust_domain(self, domid, **params):
        """Set scheduler parameters of a domain, as ``xl sched-credit -d`` does."""
        self.authorise()
        cdef int d = self._slot(domid)
        self._scheduler(d).adjust_domain(d, params)
        trace(&self.host.m, TRACE_ADJUST, 0, NO_VCPU, d, 0)

    def adjust_vcpu(self, domid, vcpu_in_domain, **params):
        """Set scheduler parameters of one vCPU, as ``xl sched-rtds -v`` does, where the scheduler has such."""
        self.authorise()
        cdef int v = self._vcpu(domid, vcpu_in_domain)
        self._scheduler(self.host.m.vcpu[v].domain).adjust_vcpu(v, params)
        trace(&self.host.m, TRACE_ADJUST, 0, v, self.host.m.vcpu[v].domain, 0)

    def domain_params(self, domid):
        """Scheduler parameters of a domain."""
        cdef int d = self._slot(domid)
        return self._scheduler(d).domain_params(d)

    def adjust_scheduler(self, *, pool=0, **params):
        """Set parameters of the whole scheduler of a cpupool, as ``xl sched-credit -s`` does."""
        self.authorise()
        if pool not in self.host.schedulers:
            raise ValueError(f"no cpupool {pool!r} on this host; there are {sorted(self.host.schedulers)}")
        self.host.schedulers[pool].adjust(params)
        trace(&self.host.m, TRACE_ADJUST, 0, NO_VCPU, -1, 0)

    # -- memory --------------------------------------------------------------------------------------------------

    def set_memory_target(self, domid, pages):
        """Tell a domain's balloon driver how many pages to aim at, as ``xl mem-set`` does.

        It begins at once and gets there in its own time: in batches, with its own CPU time, and upwards only as far as the
        host has free pages.

        Args:
            domid: of a domain whose memory counts.
            pages: between what its kernel needs and its maximum.
        """
        self.authorise()
        cdef int d = self._slot(domid)
        cdef DomainMemory* memory = &self.host.m.memory[d]
        if memory.max_pages == 0:
            raise ValueError(f"domain {domid} was created without memory that counts, so it has no balloon")
        if isinstance(pages, bool) or not isinstance(pages, (int, np.integer)) or not memory.floor_pages <= pages <= memory.max_pages:
            raise ValueError(
                f"domain {domid}: memory target must be {memory.floor_pages}..{memory.max_pages} pages, found {pages!r}"
            )
        self.host.set_memory_target_pages(d, pages)

    def memory(self, domid):
        """What a domain has of memory: the fields of ``machine.memory_state.DomainMemory`` by name."""
        record = self.host.sections["memory"][self._slot(domid)]
        return {name: int(record[name]) for name in record.dtype.names if name != "reserved"}

    def _memory(self, where, pages, most, least):
        """``(max_pages, floor_pages)`` of a domain that is to have ``pages``."""
        _integer(where, "memory_pages", pages, MAX_PAGES)
        _integer(where, "min_memory_pages", least, MAX_PAGES)
        most = pages if most is None else most
        _integer(where, "max_memory_pages", most, MAX_PAGES)
        if most < pages or (pages == 0 and most > 0):
            raise ValueError(f"{where}: max_memory_pages must be at least memory_pages {pages}, and 0 with 0, found {most}")
        spare = spare_pages(&self.host.m)
        if pages > spare:
            raise ValueError(f"{where}: needs {pages} pages, but {spare} are free")
        return most, min(least, pages)

    # -- details -------------------------------------------------------------------------------------------------

    cdef Scheduler _scheduler(self, int d):
        """The scheduler of a domain's cpupool."""
        return self.host.pool_schedulers[self.host.m.domain[d].pool]

    cdef _enter_scheduler(self, int d, pcpus, params):
        """Make a domain, whose vCPUs do not run, known to the scheduler of its cpupool.

        ``pcpus`` says where its vCPUs are; None: where Xen's placement and the scheduler want them.
        """
        cdef Machine* m = &self.host.m
        cdef Scheduler scheduler = self._scheduler(d)
        cdef int i, v
        scheduler.insert_domain(d)
        for i in range(m.domain[d].num_vcpus):
            v = m.domain[d].first_vcpu + i
            m.vcpu[v].pcpu = pcpus[i] if pcpus else self._initial_pcpu(v)
            if not pcpus:
                m.vcpu[v].pcpu = scheduler.pick_pcpu(v)
            scheduler.insert_vcpu(v, m.clock.now_ns)
        if params:  # after creation, as the tools do: some schedulers apply them from the next period on
            scheduler.adjust_domain(d, params)

    cdef _leave_scheduler(self, int d):
        """Take a paused domain off its pCPUs and out of its scheduler."""
        cdef Machine* m = &self.host.m
        cdef Scheduler scheduler = self._scheduler(d)
        cdef int v, first = m.domain[d].first_vcpu, n = m.domain[d].num_vcpus
        # All are taken off their queues before any pCPU looks for the next to run.
        for v in range(first, first + n):
            self.host.sleep_vcpu(v)
        for v in range(first, first + n):
            self._deschedule(v)
            scheduler.remove_vcpu(v, m.clock.now_ns)
        scheduler.remove_domain(d)

    cdef _deschedule(self, int v):
        """Run passes on v's pCPU until v is off it, as the hypervisor waits for a vCPU that it tears down."""
        cdef Machine* m = &self.host.m
        cdef int p = m.vcpu[v].pcpu
        if is_current(m, v):
            m.clock.pending[p >> 6] &= ~(<uint64_t>1 << (p & 63))
            m.vcpu[v].pause_flags &= ~<unsigned int>PAUSE_MIGRATING
            self.host.schedule(p)

    def _forget(self, int d):
        cdef Machine* m = &self.host.m
        m.clock.num_domains -= 1
        m.clock.num_vcpus -= m.domain[d].num_vcpus
        for v in range(m.domain[d].first_vcpu, m.domain[d].first_vcpu + m.domain[d].num_vcpus):
            self._forget_vcpu(v)
        memset(&m.domain[d], 0, sizeof(Domain))
        memset(&m.memory[d], 0, sizeof(DomainMemory))
        self.host.domain_names.pop(d, None)

    def _forget_vcpu(self, int v):
        cdef Machine* m = &self.host.m
        cdef int p
        for p in range(m.num_pcpus):
            if m.pcpu[p].last_guest == v:
                m.pcpu[p].last_guest = NO_VCPU
        m.clock.num_soft -= m.vcpu[v].soft_is_effective
        memset(&m.vcpu[v], 0, sizeof(Vcpu))

    def _free_vcpus(self, int wanted):
        """First of ``wanted`` consecutive free vCPU numbers, or -1."""
        cdef Machine* m = &self.host.m
        cdef int v, run = 0
        for v in range(m.max_vcpus):
            run = 0 if m.vcpu[v].in_use else run + 1
            if run == wanted:
                return v - wanted + 1
        return -1

    def _initial_pcpu(self, int v):
        """vCPU 0: the allowed pCPU with the fewest vCPUs, lowest number first; the others follow cyclically."""
        cdef Machine* m = &self.host.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef int other
        if vc.vcpu_in_domain > 0:
            return mask_cycle(vc.allowed, m.vcpu[v - 1].pcpu, m.num_words)
        load = [0] * m.num_pcpus
        for other in range(m.max_vcpus):
            if m.vcpu[other].in_use and other != v and not m.vcpu[other].domain == vc.domain:
                load[m.vcpu[other].pcpu] += 1
        allowed = [p for p in range(m.num_pcpus) if mask_test(vc.allowed, p)]
        return min(allowed, key=lambda p: (load[p], p))

    def _mask(self, where, what, pcpus):
        num_pcpus = int(self.host.m.num_pcpus)
        everywhere = (1 << num_pcpus) - 1
        if pcpus is None:
            return everywhere
        mask = 0
        for p in pcpus:
            if not isinstance(p, (int, np.integer)) or not 0 <= p < num_pcpus:
                raise ValueError(f"{where}: {what} names pCPU {p!r}; this host has pCPUs 0..{num_pcpus - 1}")
            mask |= 1 << int(p)
        if not mask:
            raise ValueError(f"{where}: {what} must name at least one of pCPUs 0..{num_pcpus - 1}, found none")
        return mask

    def _within_pool(self, where, mask, int pool):
        """The part of an affinity mask that lies in a cpupool; ValueError if there is none."""
        allowed = mask & _mask_value(self.host.m.pool[pool].pcpus)
        if not allowed:
            raise ValueError(f"{where}: its hard affinity names no pCPU of cpupool {pool}")
        return allowed

    cdef _set_masks(self, int v, hard, soft):
        cdef Vcpu* vc = &self.host.m.vcpu[v]
        cdef int w
        for w in range(MASK_WORDS):
            vc.hard_affinity[w] = (hard >> (64 * w)) & 0xFFFFFFFFFFFFFFFF
            vc.soft_affinity[w] = (soft >> (64 * w)) & 0xFFFFFFFFFFFFFFFF
        self.host.update_affinity(v)


def _integer(where, name, value, high):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= high:
        raise ValueError(f"{where}: {name} must be an integer 0..{high}, found {value!r}")


cdef object _mask_value(uint64_t* words):
    value = 0
    for w in range(MASK_WORDS):
        value |= int(words[w]) << (64 * w)
    return value
