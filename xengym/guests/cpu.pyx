"""Guest programs in a closed loop: they ask for CPU time, and what they get decides when they ask again."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.machine.state cimport FOREVER
from xengym.sim.random cimport STREAM_GUEST, Distribution, draw_ns, stream_key

import numpy as np

from xengym.sim.random import DISTRIBUTIONS

cdef PeriodicState _periodic
cdef ListState _list
cdef OnOffState _onoff


cdef class HogKind(GuestKind):
    """Programs that always want to run."""

    name = "hog"

    def portable(self):
        return []

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        self.host.set_work(v, FOREVER)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        self.host.set_work(v, FOREVER)


cdef class PeriodicKind(GuestKind):
    """Programs that run so long, then block until the next multiple of their period."""

    name = "periodic"

    def sections(self, max_vcpus, max_domains):
        return [("periodic", np.asarray(<PeriodicState[:1]>&_periodic).dtype, max_vcpus)]

    def portable(self):
        return [("periodic", 0, 1, ())]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef PeriodicState[::1] state = views["periodic"]
        self.state = &state[0]

    def configure(self, int d, int v, spec):
        self.state[v].run_ns = spec.run_ns
        self.state[v].period_ns = spec.period_ns
        self.state[v].offset_ns = spec.offset_ns

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        self.state[v].released_at_ns = now_ns
        self.host.job_submitted(self.m.vcpu[v].domain, self.state[v].run_ns)
        self.host.set_work(v, self.state[v].run_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef PeriodicState* s = &self.state[v]
        cdef int64_t k = 0
        if s.released_at_ns < 0:  # woken by a stray event: nothing to do
            self.host.block(v)
            return
        self.host.segment_done(v)
        self.host.job_done(self.m.vcpu[v].domain, v, now_ns - s.released_at_ns)
        s.released_at_ns = -1
        if now_ns >= s.offset_ns:
            k = (now_ns - s.offset_ns) // s.period_ns + 1
        self.host.arm_guest_timer(v, s.offset_ns + k * s.period_ns)
        self.host.block(v)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self.started(v, now_ns)
        self.host.deliver_event(v)


cdef class ListKind(GuestKind):
    """Programs that follow a list of [run, block] pairs."""

    name = "list"

    def sections(self, max_vcpus, max_domains):
        return [("list", np.asarray(<ListState[:1]>&_list).dtype, max_vcpus)]

    def portable(self):
        return [("list", 0, 1, ("first", "count"))]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef ListState[::1] state = views["list"]
        self.state = &state[0]
        self.set_programs(np.zeros(2, dtype=np.int64))

    def programs(self):
        return self.pool

    def set_programs(self, programs):
        # Only ever replaced by a longer copy, so what a snapshot refers to stays where it was.
        cdef const int64_t[::1] pairs = programs
        self.pool = programs
        self.pairs = &pairs[0]

    def configure(self, int d, int v, spec):
        self.state[v].first = len(self.pool) // 2
        self.state[v].count = len(spec.pairs_ns)
        self.state[v].loops = spec.loop
        self.state[v].position = 0
        self.set_programs(np.concatenate([self.pool, np.asarray(spec.pairs_ns, dtype=np.int64).ravel()]))

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        self._next(v, now_ns)

    cdef void _next(self, int v, int64_t now_ns) noexcept nogil:
        """Release the segment at the present position."""
        cdef ListState* s = &self.state[v]
        cdef int64_t run_ns = self.pairs[2 * (s.first + s.position)]
        s.released_at_ns = now_ns
        self.host.job_submitted(self.m.vcpu[v].domain, run_ns)
        self.host.set_work(v, run_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef ListState* s = &self.state[v]
        cdef int64_t block_ns
        if s.released_at_ns < 0:  # woken by a stray event: nothing to do
            self.host.block(v)
            return
        block_ns = self.pairs[2 * (s.first + s.position) + 1]
        self.host.segment_done(v)
        self.host.job_done(self.m.vcpu[v].domain, v, now_ns - s.released_at_ns)
        s.released_at_ns = -1
        s.position += 1
        if s.position == s.count:
            if not s.loops:
                self.host.block(v)
                return
            s.position = 0
        if block_ns > 0:
            self.host.arm_guest_timer(v, now_ns + block_ns)
            self.host.block(v)
            return
        if block_ns < 0:
            self.host.yield_cpu(v)
        self._next(v, now_ns)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self._next(v, now_ns)
        self.host.deliver_event(v)


cdef void set_distribution(Distribution* dist, spec):
    dist.kind = DISTRIBUTIONS[spec.kind]
    dist.mean_ns = spec.mean_ns
    dist.spread = spec.spread


cdef class OnOffKind(GuestKind):
    """Programs that alternate random work and random sleep."""

    name = "onoff"

    def sections(self, max_vcpus, max_domains):
        return [("onoff", np.asarray(<OnOffState[:1]>&_onoff).dtype, max_vcpus)]

    def portable(self):
        return [("onoff", 0, 1, ())]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef OnOffState[::1] state = views["onoff"]
        self.state = &state[0]

    def configure(self, int d, int v, spec):
        set_distribution(&self.state[v].on, spec.on)
        set_distribution(&self.state[v].off, spec.off)
        self.state[v].counter = 0
        self.state[v].key = stream_key(
            self.m.clock.seed, STREAM_GUEST, (<uint64_t>self.m.domain[d].domid << 16) + self.m.vcpu[v].vcpu_in_domain
        )

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        self._next(v, now_ns)

    cdef void _next(self, int v, int64_t now_ns) noexcept nogil:
        cdef OnOffState* s = &self.state[v]
        cdef int64_t run_ns = draw_ns(&s.on, s.key, &s.counter)
        s.released_at_ns = now_ns
        self.host.job_submitted(self.m.vcpu[v].domain, run_ns)
        self.host.set_work(v, run_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef OnOffState* s = &self.state[v]
        cdef int64_t off_ns
        if s.released_at_ns < 0:  # woken by a stray event: nothing to do
            self.host.block(v)
            return
        off_ns = draw_ns(&s.off, s.key, &s.counter)
        self.host.segment_done(v)
        self.host.job_done(self.m.vcpu[v].domain, v, now_ns - s.released_at_ns)
        s.released_at_ns = -1
        if off_ns > 0:
            self.host.arm_guest_timer(v, now_ns + off_ns)
            self.host.block(v)
        else:
            self._next(v, now_ns)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        self._next(v, now_ns)
        self.host.deliver_event(v)
