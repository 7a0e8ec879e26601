"""Guest programs whose demand for memory changes, and that slow down when they do not have enough of it.

Requests arrive and queue as at a server; each needs CPU time and touches pages of the domain's working set. The working set
is a few regions, from hot to cold (`machine.memory_model`); its size follows a round of phases. What is not in memory is
either on the swap disk or has never been touched. Pages are counted, never named:

    resident + swapped + untouched = working set,    resident <= the domain's pages - those its kernel needs.

Which pages are resident: the ones touched most often, as if the guest knew (a bound from below on what a real kernel's
replacement does). So the part of touches that miss follows from how many are resident, and the faults of a request are
its touches times that part, rounded up or down by chance so that the mean is kept.

A fault on a page never touched before takes CPU time only; one on a swapped page waits for the swap disk as well, which all
domains of the host share, and the vCPU is blocked meanwhile. Each costs what a page fault costs under the domain's type
(`machine.privilege`: two entries into Xen, or exits from guest mode). A page that comes in where there is no room puts
another one out. Reads go to the disk a few at a time, each time with a piece of the request's CPU time before it, so a
request is a handful of events however many pages it touches.
"""
from libc.stdint cimport int64_t, uint64_t
from xengym.guests.cpu cimport set_distribution
from xengym.hypervisor.core cimport HostCore
from xengym.machine.memory_state cimport DomainMemory
from xengym.mechanisms.swap cimport use_swap_disk
from xengym.guests.server cimport QueueKind
from xengym.sim.random cimport STREAM_ARRIVAL, STREAM_MEMORY, STREAM_SERVICE, draw_ns, draw_unit, stream_key

import numpy as np

from xengym.machine.memory_costs import FLOOR_PAGES
from xengym.machine.privilege import OPERATIONS, Platform, PrivilegeCosts, price

cdef MemoryWork _work
cdef Piece _piece

#: Pages that are read from the swap disk in one wait. Assumed; it bounds the events of a request.
cdef int64_t READ_PAGES = 8

#: Pages that are read beside one that is missing: Linux reads eight that lie together (page-cluster 3).
cdef int64_t AHEAD_PAGES = 7

#: Pages that one page table maps, without extended addresses.
cdef int64_t TABLE_ENTRIES = 1024


cdef class MemoryWorkerKind(QueueKind):
    """Programs that work on memory.

    Args:
        queue_slots: requests that a domain's queue holds.
        costs: unit costs of page faults (``machine.privilege.PrivilegeCosts``).
    """

    name = "memory"

    def __init__(self, queue_slots=64, costs=None):
        QueueKind.__init__(self, queue_slots)
        self.costs = costs if costs is not None else PrivilegeCosts()
        for is_hvm, platform in enumerate((Platform.PV, Platform.HVM)):
            paid = price(OPERATIONS["page_fault"], platform, self.costs)
            self.fault_ns[is_hvm] = paid.time_ns
            self.fault_entries[is_hvm] = paid.entries
            self.fault_hypercalls[is_hvm] = paid.hypercalls

    def __reduce__(self):
        return type(self), (self.queue_slots, self.costs)

    def sections(self, max_vcpus, max_domains):
        return [
            *QueueKind.sections(self, max_vcpus, max_domains),
            ("memory_work", np.asarray(<MemoryWork[:1]>&_work).dtype, max_domains),
            ("memory_piece", np.asarray(<Piece[:1]>&_piece).dtype, max_vcpus),
        ]

    def portable(self):
        return [*QueueKind.portable(self), ("memory_work", 1, 0, ()), ("memory_piece", 0, 1, ())]

    def bind(self, HostCore host, int number, views):
        QueueKind.bind(self, host, number, views)
        cdef MemoryWork[::1] work = views["memory_work"]
        cdef Piece[::1] piece = views["memory_piece"]
        self.work = &work[0]
        self.piece = &piece[0]

    def memory_pages(self, spec):
        return FLOOR_PAGES + max(pages for _, pages in spec.phases)

    def configure(self, int d, int v, spec):
        QueueKind.configure(self, d, v, spec)
        cdef MemoryWork* s = &self.work[d]
        cdef uint64_t domid = self.m.domain[d].domid
        cdef int i
        self.piece[v].work_ns = 0
        self.piece[v].faults = 0
        self.piece[v].ahead = 0
        self.piece[v].disk_at_ns = 0
        if self.m.vcpu[v].vcpu_in_domain > 0:
            return
        set_distribution(&s.arrival, spec.arrival)
        set_distribution(&s.service, spec.service)
        s.arrival_key = stream_key(self.m.clock.seed, STREAM_ARRIVAL, domid)
        s.service_key = stream_key(self.m.clock.seed, STREAM_SERVICE, domid)
        s.demand_key = stream_key(self.m.clock.seed, STREAM_MEMORY, 2 * domid)
        s.fault_key = stream_key(self.m.clock.seed, STREAM_MEMORY, 2 * domid + 1)
        s.arrival_counter = s.service_counter = s.demand_counter = s.fault_counter = 0
        s.num_phases = len(spec.phases)
        for i, (length_ns, pages) in enumerate(spec.phases):
            s.phase_ns[i] = length_ns
            s.phase_pages[i] = pages
        s.spread = spec.spread
        s.starts_anywhere = spec.starts_anywhere
        s.touches = spec.touches
        s.write_frac = spec.write_frac
        regions = sorted(spec.model.regions, key=lambda region: -region.writes_per_s / region.pages)
        pages = sum(region.pages for region in regions)
        touches = sum(region.writes_per_s for region in regions)
        s.num_regions = len(regions)
        for i, region in enumerate(regions):
            s.region_pages[i] = region.pages / pages
            s.region_touches[i] = region.writes_per_s / touches
        s.phase = 0
        s.phase_end_ns = 0
        s.next_arrival_ns = 0
        s.working_pages = s.phase_pages[0]
        self._begin_with(d)

    cdef void _begin_with(self, int d) noexcept nogil:
        """What it works on lies in memory, as far as there is room; the rest it has not touched yet."""
        cdef DomainMemory* memory = &self.m.memory[d]
        memory.resident_pages = min(self.work[d].working_pages, self._room(d))
        memory.swapped_pages = 0
        memory.wanted_pages = self.work[d].working_pages + memory.floor_pages

    # -- the working set -----------------------------------------------------------------------------------------

    cdef int64_t _room(self, int d) noexcept nogil:
        """Pages that the working set may have."""
        return max(<int64_t>0, self.m.memory[d].pages - self.m.memory[d].floor_pages)

    cdef int64_t _rounded(self, int d, double pages) noexcept nogil:
        """To an integer, by chance up or down so that the mean is kept."""
        return <int64_t>(pages + draw_unit(self.work[d].fault_key, &self.work[d].fault_counter))

    cdef void _evict(self, int d, int64_t pages) noexcept nogil:
        """So many resident pages go to the swap disk; those that are unchanged there are not written again."""
        cdef DomainMemory* memory = &self.m.memory[d]
        cdef int64_t written
        if pages <= 0:
            return
        written = min(pages, self._rounded(d, pages * self.work[d].write_frac))
        memory.resident_pages -= pages
        memory.swapped_pages += pages
        memory.evicted_pages += pages
        memory.written_pages += written
        use_swap_disk(self.m, 0, 0, written)

    cdef void _set_working_set(self, int d, int64_t pages) noexcept nogil:
        """The program's demand changes: swapped pages go in proportion, what it takes on it has not touched yet."""
        cdef DomainMemory* memory = &self.m.memory[d]
        cdef MemoryWork* s = &self.work[d]
        if pages < s.working_pages:
            memory.swapped_pages = memory.swapped_pages * pages // s.working_pages
            memory.resident_pages = min(memory.resident_pages, pages - memory.swapped_pages)
        s.working_pages = pages
        memory.wanted_pages = pages + memory.floor_pages
        memory.table_pages = 1 + (pages + TABLE_ENTRIES - 1) // TABLE_ENTRIES

    cdef void memory_changed(self, int d, int64_t now_ns) noexcept nogil:
        self._evict(d, self.m.memory[d].resident_pages - self._room(d))

    cdef double _missing_part(self, int d) noexcept nogil:
        """Part of touches that go to pages which are not resident."""
        cdef MemoryWork* s = &self.work[d]
        cdef double left = <double>self.m.memory[d].resident_pages
        cdef double pages, hit = 0.0
        cdef int i
        for i in range(s.num_regions):
            pages = s.region_pages[i] * <double>s.working_pages
            if left >= pages:
                hit += s.region_touches[i]
                left -= pages
            else:
                hit += s.region_touches[i] * left / pages
                break
        return 1.0 - hit if hit < 1.0 else 0.0

    cdef void _enter_phase(self, int d, int phase, int64_t now_ns) noexcept nogil:
        cdef MemoryWork* s = &self.work[d]
        cdef double part = 1.0 + s.spread * (2.0 * draw_unit(s.demand_key, &s.demand_counter) - 1.0)
        s.phase = phase
        s.phase_end_ns = now_ns + 1 + <int64_t>(s.phase_ns[phase] * part)
        self._set_working_set(d, s.phase_pages[phase])

    # -- requests ------------------------------------------------------------------------------------------------

    cdef void open_domain(self, int d, int64_t now_ns) noexcept nogil:
        cdef MemoryWork* s = &self.work[d]
        cdef int phase = 0
        if s.starts_anywhere:
            phase = <int>(s.num_phases * draw_unit(s.demand_key, &s.demand_counter))
        self._enter_phase(d, phase, now_ns)
        if s.starts_anywhere:  # and anywhere within it
            s.phase_end_ns = now_ns + 1 + <int64_t>(
                (s.phase_end_ns - now_ns) * draw_unit(s.demand_key, &s.demand_counter)
            )
            self._begin_with(d)
        s.next_arrival_ns = now_ns + draw_ns(&s.arrival, s.arrival_key, &s.arrival_counter)
        self._arm(d)

    cdef void _arm(self, int d) noexcept nogil:
        self.host.arm_domain_timer(d, min(self.work[d].next_arrival_ns, self.work[d].phase_end_ns))

    cdef void domain_timer(self, int d, int64_t now_ns) noexcept nogil:
        cdef MemoryWork* s = &self.work[d]
        if now_ns >= s.phase_end_ns:
            self._enter_phase(d, (s.phase + 1) % s.num_phases, now_ns)
        if now_ns >= s.next_arrival_ns:
            s.next_arrival_ns = now_ns + draw_ns(&s.arrival, s.arrival_key, &s.arrival_counter)
            self.submit(d, draw_ns(&s.service, s.service_key, &s.service_counter), now_ns)
        self._arm(d)

    cdef void begin_job(self, int v, int64_t work_ns, int64_t now_ns) noexcept nogil:
        """Find out what the request misses, bring it in, and divide its CPU time among the waits."""
        cdef int d = self.m.vcpu[v].domain
        cdef int is_hvm = self.m.domain[d].is_hvm
        cdef MemoryWork* s = &self.work[d]
        cdef Piece* piece = &self.piece[v]
        cdef DomainMemory* memory = &self.m.memory[d]
        cdef int64_t missing = s.working_pages - memory.resident_pages
        cdef int64_t room = self._room(d)
        cdef int64_t faults, major, pieces, over
        piece.faults = 0
        piece.ahead = 0
        piece.disk_at_ns = 0
        if missing > 0:
            faults = min(missing, self._rounded(d, <double>s.touches * self._missing_part(d)))
            major = min(faults, memory.swapped_pages)
            if faults > 0 and major > 0:
                major = min(major, self._rounded(d, <double>faults * memory.swapped_pages / missing))
            major = max(major, faults - (missing - memory.swapped_pages))  # no more first touches than there are
            if faults > 0:
                work_ns += faults * self.fault_ns[is_hvm]
                memory.major_faults += major
                memory.minor_faults += faults - major
                memory.table_updates += faults
                self.host.entered_hypervisor(v, faults * self.fault_hypercalls[is_hvm], faults * self.fault_entries[is_hvm])
                memory.swapped_pages -= major
                memory.resident_pages += faults
                over = memory.resident_pages - room
                self._evict(d, min(over, memory.resident_pages))
                piece.faults = major
                # What lies next to it on the disk is read with it, as long as there is room.
                piece.ahead = max(<int64_t>0, min(room - memory.resident_pages, memory.swapped_pages, major * AHEAD_PAGES))
                memory.ahead_pages += piece.ahead
                memory.swapped_pages -= piece.ahead
                memory.resident_pages += piece.ahead
        pieces = 1 + (piece.faults + READ_PAGES - 1) // READ_PAGES
        piece.work_ns = work_ns // pieces
        self.host.set_work(v, work_ns - (pieces - 1) * piece.work_ns)

    cdef void completed(self, int v, int64_t now_ns) noexcept nogil:
        cdef Piece* piece = &self.piece[v]
        cdef int64_t pages
        if self.serving[v] >= 0 and piece.disk_at_ns > 0:  # woken by a stray event while it waits for the disk
            self.host.block(v)
            return
        if self.serving[v] >= 0 and piece.faults > 0:
            pages = min(piece.faults, READ_PAGES)
            piece.faults -= pages
            piece.waited_from_ns = now_ns
            piece.disk_at_ns = use_swap_disk(self.m, pages, piece.ahead, 0)
            piece.ahead = 0
            self.host.segment_done(v)
            self.host.arm_guest_timer(v, piece.disk_at_ns)
            self.host.block(v)
            return
        QueueKind.completed(self, v, now_ns)

    cdef void timer(self, int v, int64_t now_ns) noexcept nogil:
        cdef Piece* piece = &self.piece[v]
        self.m.memory[self.m.vcpu[v].domain].swap_wait_ns += now_ns - piece.waited_from_ns
        piece.disk_at_ns = 0
        self.host.set_work(v, piece.work_ns)
        self.host.deliver_event(v)
