"""Guest programs with open arrivals: work comes whatever the domain's state and queues up, first come first served.

A domain's vCPUs share one queue. An arriving job goes to a vCPU that waits for work, if there is one, as an interrupt
would be bound to it; otherwise it queues, and the next vCPU that finishes takes it. A full queue drops it.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from xengym.guests.cpu cimport set_distribution
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.machine.state cimport NO_VCPU, PAUSE_BLOCKED, Domain, Vcpu
from xengym.sim.random cimport (
    DIST_CONSTANT, DIST_LOGNORMAL, STREAM_ARRIVAL, STREAM_SERVICE, Distribution, draw_bits, draw_ns, stream_key,
)
from xengym.sim.trace cimport TRACE_JOB_DROP, trace

import numpy as np

cdef JobQueue _queue
cdef Job _job
cdef ServerState _server
cdef ReplayState _replay

cdef int64_t PPM = 1_000_000


cdef class QueueKind(GuestKind):
    """Common part: the queue of a domain and the vCPUs that serve it.

    Args:
        queue_slots: jobs a domain's queue holds.
    """

    def __init__(self, queue_slots=64):
        if queue_slots < 1:
            raise ValueError(f"{self.name}: queue_slots must be >= 1, found {queue_slots}")
        self.queue_slots = queue_slots

    def __reduce__(self):
        return type(self), (self.queue_slots,)

    def sections(self, max_vcpus, max_domains):
        return [
            (f"{self.name}_queue", np.asarray(<JobQueue[:1]>&_queue).dtype, max_domains),
            (f"{self.name}_jobs", np.asarray(<Job[:1]>&_job).dtype, max_domains * self.queue_slots),
            (f"{self.name}_serving", np.dtype(np.int64), max_vcpus),
        ]

    def bind(self, HostCore host, int number, views):
        GuestKind.bind(self, host, number, views)
        cdef JobQueue[::1] queue = views[f"{self.name}_queue"]
        cdef Job[::1] jobs = views[f"{self.name}_jobs"]
        cdef int64_t[::1] serving = views[f"{self.name}_serving"]
        self.queue = &queue[0]
        self.jobs = &jobs[0]
        self.serving = &serving[0]

    def portable(self):
        return [
            (f"{self.name}_queue", 1, 0, ()),
            (f"{self.name}_jobs", self.queue_slots, 0, ()),
            (f"{self.name}_serving", 0, 1, ()),
        ]

    def check(self, where, programs):
        if any(program is not programs[0] for program in programs):
            raise ValueError(f"{where}: a {self.name} belongs to a whole domain; all its vCPUs must run the same program object")

    def configure(self, int d, int v, spec):
        self.serving[v] = -1
        self.queue[d].head = 0
        self.queue[d].tail = 0

    cdef void open_domain(self, int d, int64_t now_ns) noexcept nogil:
        """The domain begins; arm its timer."""

    cdef void begin_job(self, int v, int64_t work_ns, int64_t now_ns) noexcept nogil:
        self.host.set_work(v, work_ns)

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        # Its first run finds no job and blocks.
        self.host.set_work(v, 0)
        if self.m.vcpu[v].vcpu_in_domain == 0:
            self.open_domain(self.m.vcpu[v].domain, now_ns)

    cdef void submit(self, int d, int64_t work_ns, int64_t now_ns) noexcept nogil:
        cdef Domain* dom = &self.m.domain[d]
        cdef JobQueue* queue = &self.queue[d]
        cdef Job* job
        cdef int v
        self.host.job_submitted(d, work_ns)
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            if self.m.vcpu[v].pause_flags == PAUSE_BLOCKED and self.serving[v] < 0:
                self.serving[v] = now_ns
                self.begin_job(v, work_ns, now_ns)
                self.host.deliver_event(v)
                return
        if queue.tail - queue.head == self.queue_slots:
            dom.jobs_dropped += 1
            trace(self.m, TRACE_JOB_DROP, 0, NO_VCPU, d, work_ns)
            return
        job = &self.jobs[d * self.queue_slots + queue.tail % self.queue_slots]
        job.arrived_at_ns = now_ns
        job.work_ns = work_ns
        queue.tail += 1

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef JobQueue* queue = &self.queue[d]
        cdef Job* job
        if self.serving[v] >= 0:
            self.host.segment_done(v)
            self.host.job_done(d, v, now_ns - self.serving[v])
        if queue.head == queue.tail:
            self.serving[v] = -1
            self.host.block(v)
            return
        job = &self.jobs[d * self.queue_slots + queue.head % self.queue_slots]
        queue.head += 1
        self.serving[v] = job.arrived_at_ns
        self.begin_job(v, job.work_ns, now_ns)


cdef class ServerKind(QueueKind):
    """Servers: requests arrive one by one after random times."""

    name = "server"

    def sections(self, max_vcpus, max_domains):
        return [
            *QueueKind.sections(self, max_vcpus, max_domains),
            ("server", np.asarray(<ServerState[:1]>&_server).dtype, max_domains),
        ]

    def portable(self):
        return [*QueueKind.portable(self), ("server", 1, 0, ())]

    def bind(self, HostCore host, int number, views):
        QueueKind.bind(self, host, number, views)
        cdef ServerState[::1] state = views["server"]
        self.state = &state[0]

    def configure(self, int d, int v, spec):
        QueueKind.configure(self, d, v, spec)
        cdef ServerState* s = &self.state[d]
        cdef uint64_t domid = self.m.domain[d].domid
        set_distribution(&s.arrival, spec.arrival)
        set_distribution(&s.service, spec.service)
        s.arrival_key = stream_key(self.m.clock.seed, STREAM_ARRIVAL, domid)
        s.service_key = stream_key(self.m.clock.seed, STREAM_SERVICE, domid)
        s.arrival_counter = 0
        s.service_counter = 0

    cdef void open_domain(self, int d, int64_t now_ns) noexcept nogil:
        cdef ServerState* s = &self.state[d]
        self.host.arm_domain_timer(d, now_ns + draw_ns(&s.arrival, s.arrival_key, &s.arrival_counter))

    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil:
        cdef ServerState* s = &self.state[d]
        self.open_domain(d, now_ns)
        self.submit(d, draw_ns(&s.service, s.service_key, &s.service_counter), now_ns)


cdef class ReplayKind(QueueKind):
    """Replayed traces: work arrives in step with a utilisation series."""

    name = "replay"

    def sections(self, max_vcpus, max_domains):
        return [
            *QueueKind.sections(self, max_vcpus, max_domains),
            ("replay", np.asarray(<ReplayState[:1]>&_replay).dtype, max_domains),
        ]

    def portable(self):
        return [*QueueKind.portable(self), ("replay", 1, 0, ("first", "count"))]

    def bind(self, HostCore host, int number, views):
        QueueKind.bind(self, host, number, views)
        cdef ReplayState[::1] state = views["replay"]
        self.state = &state[0]
        self.set_programs(np.zeros(1, dtype=np.uint8))

    def programs(self):
        return self.pool

    def set_programs(self, programs):
        cdef const uint8_t[::1] samples = programs
        self.pool = programs
        self.samples = &samples[0]

    def configure(self, int d, int v, spec):
        QueueKind.configure(self, d, v, spec)
        cdef ReplayState* s = &self.state[d]
        if self.m.vcpu[v].vcpu_in_domain > 0:
            return
        s.first = len(self.pool)
        s.count = len(spec.cpu_pct)
        self.set_programs(np.concatenate([self.pool, np.asarray(spec.cpu_pct, dtype=np.uint8)]))
        s.first_sample = spec.first_sample
        s.sample_ns = spec.sample_ns
        s.job_period_ns = spec.job_period_ns
        s.factor.kind = DIST_LOGNORMAL if spec.spread > 0 else DIST_CONSTANT
        s.factor.mean_ns = PPM
        s.factor.spread = spec.spread
        s.key = stream_key(self.m.clock.seed, STREAM_SERVICE, self.m.domain[d].domid)
        s.counter = 0

    cdef void open_domain(self, int d, int64_t now_ns) noexcept nogil:
        cdef ReplayState* s = &self.state[d]
        s.started_at_ns = now_ns
        # Domains do not submit in step: each starts at a random point of its period.
        self.host.arm_domain_timer(d, now_ns + 1 + <int64_t>(draw_bits(s.key, &s.counter) % <uint64_t>s.job_period_ns))

    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil:
        cdef ReplayState* s = &self.state[d]
        cdef int64_t sample = (s.first_sample + (now_ns - s.started_at_ns) // s.sample_ns) % s.count
        cdef int64_t share_ns = self.samples[s.first + sample] * s.job_period_ns // 100
        cdef int64_t work_ns
        cdef int i
        self.host.arm_domain_timer(d, now_ns + s.job_period_ns)
        for i in range(self.m.domain[d].num_vcpus):
            work_ns = share_ns
            if s.factor.kind != DIST_CONSTANT:
                work_ns = <int64_t>(<double>share_ns * draw_ns(&s.factor, s.key, &s.counter) / <double>PPM)
            if work_ns > 0:
                self.submit(d, work_ns, now_ns)
