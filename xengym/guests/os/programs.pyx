"""Programs above the operating system: services that answer requests, loops that compute and use the disk.

A *service* has so many processes. A request takes one (or waits for one, up to 128 do), computes, reads or writes the
disk or asks another domain's service, as its description says, computes again, and answers with so many bytes. That is a
web server with static files (sizes in classes) and dynamic pages, an application server, a database: a multi-tier
application is a row of them. A *loop* is one process that computes, uses the disk and sleeps, without end: dd, a database
under load, a domain that swaps. *Background* work computes whenever nothing else is to be done.

The domain's vCPUs take what is to be done first come first served, each piece to its end. That is coarse beside a real
scheduler of processes, but pieces are short; background work goes last, as interactive processes get preferred.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset
from xengym.guests.cpu cimport set_distribution
from xengym.guests.os.block cimport OsBlock
from xengym.guests.os.core cimport MODE_IDLE, MODE_PROGRAM, OsVcpu
from xengym.guests.os.program_state cimport (
    ACCEPT_SLOTS, JOB_SLOTS, SIZE_CLASSES, Loop, Programs, Request, Service,
)
from xengym.guests.os.transport cimport SIDE_CLIENT, SIDE_SERVER
from xengym.hypervisor.core cimport HostCore
from xengym.machine.io_state cimport BLOCK_SECTOR, FLOW_BULK, FLOW_FREE, NO_DEVICE, Flow, Packet
from xengym.machine.state cimport FOREVER, NO_VCPU, PAUSE_DOWN, Domain, device_timer
from xengym.sim.random cimport STREAM_GUEST, STREAM_SERVICE, draw_bits, draw_ns, stream_key
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_JOB_DROP, TRACE_PROGRAM, trace

import numpy as np

from xengym.guests.os.program_state import LOOP_DTYPE, PROGRAMS_DTYPE, REQUEST_DTYPE, SERVICE_DTYPE

cdef int LOOP_COOKIE = 1 << 20     # cookies of disk requests: those of loops from here on
cdef int CALL_WINDOW = 32
cdef int64_t IDLE_TURN_NS = 10_000_000


cdef class OsPrograms(OsBlock):
    """Services, loops and background work.

    Args:
        max_requests: requests that all services may work on at once.
        max_loops: loops that there may be.
    """

    def __init__(self, costs, int max_domains, int max_vcpus, *, int max_requests=512, int max_loops=16, **limits):
        OsBlock.__init__(self, costs, max_domains, max_vcpus, **limits)
        self.max_requests = max_requests
        self.max_loops = max_loops
        self.first_loop_timer = OsBlock.num_device_timers(self)

    def num_device_timers(self):
        return OsBlock.num_device_timers(self) + self.max_loops

    def sections(self, max_vcpus, max_domains):
        return [
            *OsBlock.sections(self, max_vcpus, max_domains),
            ("programs", PROGRAMS_DTYPE, max_domains),
            ("service", SERVICE_DTYPE, max_domains),
            ("request", REQUEST_DTYPE, self.max_requests),
            ("loop", LOOP_DTYPE, self.max_loops),
            ("job", np.dtype(np.int32), max_domains * JOB_SLOTS),
            ("accepting", np.dtype(np.int32), max_domains * ACCEPT_SLOTS),
            ("free_request", np.dtype(np.int32), 1),
        ]

    def bind(self, HostCore host, int number, views):
        OsBlock.bind(self, host, number, views)
        cdef Programs[::1] programs = views["programs"]
        cdef Service[::1] service = views["service"]
        cdef Request[::1] request = views["request"]
        cdef Loop[::1] loop = views["loop"]
        cdef int32_t[::1] jobs = views["job"]
        cdef int32_t[::1] accepting = views["accepting"]
        cdef int32_t[::1] free_request = views["free_request"]
        cdef int i
        self.programs_of = &programs[0]
        self.service = &service[0]
        self.request = &request[0]
        self.loop = &loop[0]
        self.jobs = &jobs[0]
        self.accepting = &accepting[0]
        self.free_request = &free_request[0]
        for i in range(self.max_requests):
            self.request[i].domain = -1
            self.request[i].next_free = i + 1 if i + 1 < self.max_requests else -1
        for i in range(self.max_loops):
            self.loop[i].domain = -1

    def configure(self, int d, int v, spec):
        OsBlock.configure(self, d, v, spec)
        if self.m.vcpu[v].vcpu_in_domain > 0:
            return
        memset(&self.programs_of[d], 0, sizeof(Programs))
        memset(&self.service[d], 0, sizeof(Service))
        self.programs_of[d].has_background = spec.background
        if spec.service is not None:
            self._configure_service(d, spec.service)
        for number, loop in enumerate(spec.loops):
            self._configure_loop(d, number, loop)

    def _configure_service(self, int d, spec):
        cdef Service* service = &self.service[d]
        service.exists = 1
        set_distribution(&service.before, spec.before)
        set_distribution(&service.after, spec.after)
        set_distribution(&service.dynamic, spec.dynamic)
        service.key = stream_key(self.m.clock.seed, STREAM_SERVICE, self.m.domain[d].domid)
        total = sum(weight for weight, _ in spec.sizes_bytes)
        for k in range(SIZE_CLASSES):
            weight, size = spec.sizes_bytes[k] if k < len(spec.sizes_bytes) else (0.0, 1)
            service.size_ppm[k] = round(1e6 * weight / total)
            service.size_bytes[k] = size
        service.dynamic_ppm = round(1e6 * spec.dynamic_frac)
        service.disk_ppm = round(1e6 * spec.disk_frac)
        service.disk_bytes = spec.disk_bytes
        service.is_writing = spec.is_writing
        service.calls = spec.calls
        service.callee = -1
        service.call_bytes = spec.call_bytes
        service.max_requests = spec.processes

    def set_callee(self, int d, int callee):
        """Domain slot ``callee`` is the one that slot ``d``'s service asks."""
        self.service[d].callee = callee

    def _configure_loop(self, int d, int number, spec):
        cdef Loop* loop
        cdef int i = 0
        while self.loop[i].domain >= 0:  # there is room: `check`
            i += 1
        loop = &self.loop[i]
        memset(loop, 0, sizeof(Loop))
        loop.domain = d
        set_distribution(&loop.work, spec.work)
        set_distribution(&loop.think, spec.think)
        loop.key = stream_key(
            self.m.clock.seed, STREAM_GUEST, (<uint64_t>self.m.domain[d].domid << 16) + 256 + <uint64_t>number
        )
        loop.disk_ppm = round(1e6 * spec.disk_frac)
        loop.bytes = spec.disk_bytes
        loop.is_writing = spec.is_writing
        loop.is_barrier = spec.is_barrier
        loop.is_sequential = spec.is_sequential
        loop.first_sector = spec.first_sector
        loop.num_sectors = spec.num_sectors
        loop.wake_at_ns = -1

    def destroyed(self, int d):
        cdef int i
        for i in range(self.max_loops):
            if self.loop[i].domain == d:
                self.loop[i].domain = -1
                timer_disarm(self.m, device_timer(self.m, self.first_loop_timer + i))
        for i in range(self.max_domains):
            if self.service[i].callee == d:
                self.service[i].callee = -1
        self.service[d].exists = 0
        OsBlock.destroyed(self, d)
        for i in range(self.max_requests):
            if self.request[i].domain == d:
                self._free_request(i)

    # -- what is to be done --------------------------------------------------------------------------------------

    cdef void put_job(self, int d, int job) noexcept nogil:
        """A piece of a program's work is ready to run in domain d."""
        cdef Programs* programs = &self.programs_of[d]
        if programs.last_job - programs.first_job == JOB_SLOTS:
            programs.refused += 1
            return
        self.jobs[d * JOB_SLOTS + programs.last_job % JOB_SLOTS] = job
        programs.last_job += 1
        self._kick(d)

    cdef void _drop_job(self, int d) noexcept nogil:
        """A job of domain d has failed."""
        self.m.domain[d].jobs_dropped += 1
        trace(self.m, TRACE_JOB_DROP, 0, NO_VCPU, d, 0)

    cdef void _kick(self, int d) noexcept nogil:
        """Wake a vCPU of d for a piece of work: one that idles, else one that does background work."""
        cdef Domain* dom = &self.m.domain[d]
        cdef int v, background = NO_VCPU
        for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
            if self.m.vcpu[v].pause_flags & PAUSE_DOWN:
                continue
            if self.os[v].mode == MODE_IDLE and self.m.vcpu[v].has_started:
                self.interrupt(v)
                return
            if self.os[v].mode == MODE_PROGRAM and self._left_ns(v) == FOREVER:
                background = v
        if background != NO_VCPU:
            self.interrupt(background)

    cdef int64_t begin_program(self, int v) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef Programs* programs = &self.programs_of[d]
        cdef OsVcpu* os = &self.os[v]
        cdef Service* service = &self.service[d]
        cdef Request* request
        cdef Loop* loop
        cdef int64_t work_ns
        cdef int job
        if programs.first_job == programs.last_job:
            os.program = JOB_NONE
            if not programs.has_background:
                return -1
            os.program = JOB_BACKGROUND << JOB_SHIFT
            return FOREVER
        job = self.jobs[d * JOB_SLOTS + programs.first_job % JOB_SLOTS]
        programs.first_job += 1
        os.program = job
        if job >> JOB_SHIFT == JOB_REQUEST:
            request = &self.request[job & ((1 << JOB_SHIFT) - 1)]
            if request.stage == STAGE_AFTER:
                work_ns = draw_ns(&service.after, service.key, &service.counter)
            elif request.is_dynamic:
                work_ns = draw_ns(&service.dynamic, service.key, &service.counter)
            else:
                work_ns = draw_ns(&service.before, service.key, &service.counter)
            trace(self.m, TRACE_PROGRAM, self.m.vcpu[v].pcpu, v, d, request.number)
        elif job >> JOB_SHIFT == JOB_LOOP:
            loop = &self.loop[job & ((1 << JOB_SHIFT) - 1)]
            work_ns = draw_ns(&loop.work, loop.key, &loop.counter)
        else:
            work_ns = self.stream_work_ns(job)
        self.charge(d, d, work_ns)
        return work_ns

    cdef void finish_program(self, int v) noexcept nogil:
        cdef int job = self.os[v].program
        cdef int number = job & ((1 << JOB_SHIFT) - 1)
        self.os[v].program = JOB_NONE
        if job >> JOB_SHIFT == JOB_REQUEST:
            if self.request[number].domain == self.m.vcpu[v].domain:
                self._next_stage(number)
        elif job >> JOB_SHIFT == JOB_LOOP:
            if self.loop[number].domain == self.m.vcpu[v].domain:
                self._begin_loop(number)
        elif job >> JOB_SHIFT == JOB_STREAM:
            self.stream_worked(job)

    # -- services ------------------------------------------------------------------------------------------------

    cdef void message_arrived(self, int f, int side) noexcept nogil:
        cdef Flow* flow = &self.flow[f]
        cdef Programs* programs
        cdef int d, r
        if side == SIDE_CLIENT:  # of a service that asked another one
            if flow.owner == OWNER_SERVICE:
                r = flow.cookie
                self.close_flow(f)
                if self.request[r].call_flow == f:
                    self.request[r].call_flow = -1
                    self._next_stage(r)
            return
        d = flow.end[SIDE_SERVER]
        programs = &self.programs_of[d]
        if self.service[d].exists and self.service[d].num_requests < self.service[d].max_requests and self.free_request[0] >= 0:
            self._begin_request(f)
        elif self.service[d].exists and programs.last_accept - programs.first_accept < ACCEPT_SLOTS:
            self.accepting[d * ACCEPT_SLOTS + programs.last_accept % ACCEPT_SLOTS] = f
            programs.last_accept += 1
        else:
            programs.refused += 1
            self._give_up(f)

    cdef void _begin_request(self, int f) noexcept nogil:
        """A process takes a connection's request."""
        cdef int d = self.flow[f].end[SIDE_SERVER]
        cdef Service* service = &self.service[d]
        cdef int r = self.free_request[0]
        cdef Request* request = &self.request[r]
        self.free_request[0] = request.next_free
        service.num_requests += 1
        request.domain = d
        request.flow = f
        request.call_flow = -1
        request.arrived_at_ns = self.m.clock.now_ns
        request.stage = STAGE_BEFORE
        request.number = self.flow[f].request
        request.calls_left = service.calls if service.callee >= 0 else 0
        request.is_dynamic = happens(service.key, &service.counter, service.dynamic_ppm)
        if self.flow[f].owner < 0:  # a client's own population counts its requests, with the network's part
            self.host.job_submitted(d, 0)
        self.put_job(d, (JOB_REQUEST << JOB_SHIFT) | r)

    cdef void _next_stage(self, int r) noexcept nogil:
        """What a request waited for is there: go on."""
        cdef Request* request = &self.request[r]
        cdef int d = request.domain
        cdef Service* service = &self.service[d]
        if request.flow < 0:  # its connection was given up meanwhile
            self._free_request(r)
            return
        if request.stage == STAGE_BEFORE:
            request.stage = STAGE_DISK
            if happens(service.key, &service.counter, service.disk_ppm):
                request.sector = self._any_sector(d, service)
                if not self.submit_block(d, request.sector, service.disk_bytes, service.is_writing, service.is_writing, r):
                    # There is no such device, or more is asked of it than it keeps: as an error of the disk.
                    self._give_up(request.flow)
                    self._free_request(r)
                return
        if request.stage == STAGE_DISK:
            request.stage = STAGE_CALLS
        if request.stage == STAGE_CALLS:
            if request.calls_left > 0:
                self._call(r)
                return
            request.stage = STAGE_AFTER
            if service.after.mean_ns > 0:
                self.put_job(d, (JOB_REQUEST << JOB_SHIFT) | r)
                return
        self._answer(r)

    cdef int64_t _any_sector(self, int d, Service* service) noexcept nogil:
        """Somewhere on the domain's first block device."""
        cdef int i = self.block_domain[d].vbd
        cdef int64_t places = 1
        if i != NO_DEVICE:
            places = max(places, self.vbd[i].num_sectors - service.disk_bytes // BLOCK_SECTOR)
        return <int64_t>((draw_bits(service.key, &service.counter) >> 1) % <uint64_t>places)

    cdef void _call(self, int r) noexcept nogil:
        """Ask the other domain's service."""
        cdef Request* request = &self.request[r]
        cdef Service* service = &self.service[request.domain]
        cdef int f = -1
        request.calls_left -= 1
        if service.callee >= 0:
            f = self.open_flow(request.domain, service.callee, NO_DEVICE, CALL_WINDOW, OWNER_SERVICE, r)
        if f < 0:
            self._give_up(request.flow)
            return
        request.call_flow = f
        self.flow[f].request = request.number
        self.send_message(f, SIDE_CLIENT, service.call_bytes)

    cdef int64_t _answer_bytes(self, Service* service) noexcept nogil:
        cdef int64_t ppm = <int64_t>(draw_bits(service.key, &service.counter) % <uint64_t>PPM)
        cdef int k
        for k in range(SIZE_CLASSES):
            ppm -= service.size_ppm[k]
            if ppm < 0:
                return service.size_bytes[k]
        return service.size_bytes[0]

    cdef void _answer(self, int r) noexcept nogil:
        cdef Request* request = &self.request[r]
        cdef int d = request.domain
        cdef int f = request.flow
        if self.flow[f].owner < 0:
            self.host.job_done(d, self.m.domain[d].first_vcpu, self.m.clock.now_ns - request.arrived_at_ns)
        request.flow = -1
        self._free_request(r)
        self.send_message(f, SIDE_SERVER, self._answer_bytes(&self.service[d]))

    cdef void _free_request(self, int r) noexcept nogil:
        """The process is free for the next request that waits."""
        cdef Request* request = &self.request[r]
        cdef int d = request.domain
        cdef int f, step
        if request.call_flow >= 0:
            f = request.call_flow
            request.call_flow = -1
            self.flow[f].cookie = -1
            self._give_up(f)  # whoever works for it stops
        self.service[d].num_requests -= 1
        request.domain = -1
        request.next_free = self.free_request[0]
        self.free_request[0] = r
        # Its own domain's first. Another one's can only be waiting for it if no process was left on the whole host.
        for step in range(self.max_domains if request.next_free < 0 else 1):
            if self._accept((d + step) % self.max_domains):
                return

    cdef bint _accept(self, int d) noexcept nogil:
        """Begin with the next request that waits for a process of domain d, if there is one."""
        cdef Programs* programs = &self.programs_of[d]
        cdef int f
        if not self.service[d].exists or self.service[d].num_requests >= self.service[d].max_requests:
            return False
        while programs.first_accept < programs.last_accept:
            f = self.accepting[d * ACCEPT_SLOTS + programs.first_accept % ACCEPT_SLOTS]
            programs.first_accept += 1
            if f >= 0 and self.flow[f].state != FLOW_FREE and self.flow[f].end[SIDE_SERVER] == d:
                self._begin_request(f)
                return True
        return False

    cdef void flow_failed(self, int f) noexcept nogil:
        """Whoever works for a connection that is given up stops."""
        cdef Flow* flow = &self.flow[f]
        cdef int d = flow.end[SIDE_SERVER]
        cdef int r
        cdef int64_t k
        if flow.owner == OWNER_SERVICE and flow.cookie >= 0 and self.request[flow.cookie].call_flow == f:
            r = flow.cookie
            self.request[r].call_flow = -1
            self._give_up(self.request[r].flow)
        if d < 0:
            return
        for r in range(self.max_requests):
            if self.request[r].domain == d and self.request[r].flow == f:
                if flow.owner < 0:
                    self._drop_job(d)
                # What the disk or a vCPU is busy with for it comes to its end first.
                self.request[r].flow = -1
                if self.request[r].stage == STAGE_CALLS:
                    self._free_request(r)
                break
        for k in range(self.programs_of[d].first_accept, self.programs_of[d].last_accept):
            if self.accepting[d * ACCEPT_SLOTS + k % ACCEPT_SLOTS] == f:
                self.accepting[d * ACCEPT_SLOTS + k % ACCEPT_SLOTS] = -1

    # -- loops ---------------------------------------------------------------------------------------------------

    cdef void started(self, int v, int64_t now_ns) noexcept nogil:
        cdef int d = self.m.vcpu[v].domain
        cdef int i
        OsBlock.started(self, v, now_ns)
        if self.m.vcpu[v].vcpu_in_domain > 0:
            return
        for i in range(self.max_loops):
            if self.loop[i].domain == d:
                self.loop[i].began_at_ns = now_ns
                self.host.job_submitted(d, 0)
                self.put_job(d, (JOB_LOOP << JOB_SHIFT) | i)

    cdef void _begin_loop(self, int i) noexcept nogil:
        """A loop has computed: to the disk, or to its end."""
        cdef Loop* loop = &self.loop[i]
        cdef int64_t sectors = max(<int64_t>1, loop.bytes // BLOCK_SECTOR)
        cdef int64_t sector
        if happens(loop.key, &loop.counter, loop.disk_ppm):
            if loop.is_sequential:
                sector = loop.position
                loop.position = (loop.position + sectors) % max(<int64_t>1, loop.num_sectors - sectors)
            else:
                sector = <int64_t>((draw_bits(loop.key, &loop.counter) >> 1) % <uint64_t>max(<int64_t>1, loop.num_sectors - sectors))
            if not self.submit_block(
                    loop.domain, loop.first_sector + sector, loop.bytes, loop.is_writing, loop.is_barrier, LOOP_COOKIE + i):
                self._loop_done(i, True)
            return
        self._loop_done(i, False)

    cdef void _loop_done(self, int i, bint failed) noexcept nogil:
        """A turn of a loop is over: think, then the next."""
        cdef Loop* loop = &self.loop[i]
        cdef int64_t now_ns = self.m.clock.now_ns
        cdef int64_t think_ns = draw_ns(&loop.think, loop.key, &loop.counter)
        if failed:
            self._drop_job(loop.domain)
        else:
            loop.done += 1
            self.host.job_done(loop.domain, self.m.domain[loop.domain].first_vcpu, now_ns - loop.began_at_ns)
        if think_ns == 0 and now_ns == loop.began_at_ns:
            think_ns = IDLE_TURN_NS  # its device refused or is gone at once, and it has nothing else to do
        if think_ns > 0:
            loop.wake_at_ns = now_ns + think_ns
            timer_arm_hypervisor(self.m, device_timer(self.m, self.first_loop_timer + i), loop.wake_at_ns)
            return
        loop.began_at_ns = now_ns
        self.host.job_submitted(loop.domain, 0)
        self.put_job(loop.domain, (JOB_LOOP << JOB_SHIFT) | i)

    cdef void device_timer(self, int number, int64_t now_ns) noexcept nogil:
        cdef Loop* loop
        if number < self.first_loop_timer:
            OsBlock.device_timer(self, number, now_ns)
            return
        loop = &self.loop[number - self.first_loop_timer]
        loop.wake_at_ns = -1
        loop.began_at_ns = now_ns
        self.host.job_submitted(loop.domain, 0)
        self.put_job(loop.domain, (JOB_LOOP << JOB_SHIFT) | (number - self.first_loop_timer))

    # -- the disk ------------------------------------------------------------------------------------------------

    cdef void block_done(self, int d, int cookie, bint failed) noexcept nogil:
        if cookie >= LOOP_COOKIE:
            if self.loop[cookie - LOOP_COOKIE].domain == d:
                self._loop_done(cookie - LOOP_COOKIE, failed)
        elif self.request[cookie].domain == d and self.request[cookie].stage == STAGE_DISK:
            if failed and self.request[cookie].flow >= 0:
                self._give_up(self.request[cookie].flow)
            self._next_stage(cookie)

    # -- streams -------------------------------------------------------------------------------------------------

    cdef int64_t stream_work_ns(self, int job) noexcept nogil:
        return 0

    cdef void stream_worked(self, int job) noexcept nogil:
        pass
