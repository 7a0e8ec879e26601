"""Memory of a host: the balloon drivers of its domains at work.

A domain's balloon driver is a part of its kernel that moves pages between the domain and Xen until the domain has as many as
its target says. It is told its target by Dom0, asks in batches (one hypercall each), and pays for them with the domain's own
CPU time. What it gives back is free for others at the batch's end; what it asks for it gets as far as there is anything: if
there is nothing it asks again after a while, or when it is given another target.
"""
from libc.stdint cimport int64_t
from xengym.hypervisor.core cimport GuestKind, HostCore
from xengym.machine.memory_state cimport DomainMemory
from xengym.machine.state cimport PAUSE_BLOCKED, Machine, Vcpu, balloon_timer, program_left_ns
from xengym.mechanisms.balloon cimport decrease_reservation, grantable_pages, increase_reservation, next_batch
from xengym.sim.timers cimport timer_arm_hypervisor, timer_disarm
from xengym.sim.trace cimport TRACE_BALLOON, trace


cdef class MemoryHost(HostCore):
    """The core of the hypervisor with what concerns memory."""

    cdef void set_memory_target_pages(self, int d, int64_t pages) noexcept nogil:
        """Write a domain's balloon target; its driver hears of it at once, and asks again if it waits to."""
        self.m.memory[d].target_pages = pages
        self.run_balloon(d)

    cdef void run_balloon(self, int d) noexcept nogil:
        """Let a domain's balloon driver begin a batch, if it has anything to do and nothing under way.

        It runs on the domain's first vCPU before anything else there, as the work of an interrupt does; if that one is
        blocked, an event wakes it. Pages change hands at the batch's end.
        """
        cdef Machine* m = &self.m
        cdef DomainMemory* memory = &m.memory[d]
        cdef int v = m.domain[d].first_vcpu
        cdef Vcpu* vc = &m.vcpu[v]
        cdef int64_t batch, cost_ns
        if vc.in_kernel or not vc.has_started:
            return
        batch = next_batch(m, d)
        if batch > 0 and grantable_pages(m, d, batch) == 0:
            # The hypercall is refused; what it costs is nothing beside a batch.
            memory.refused += 1
            memory.is_retrying = 1
            timer_arm_hypervisor(m, balloon_timer(m, d), m.clock.now_ns + m.balloon_retry_ns)
            return
        if memory.is_retrying:
            memory.is_retrying = 0
            timer_disarm(m, balloon_timer(m, d))
        if batch == 0:
            return
        if batch > 0:
            batch = grantable_pages(m, d, batch)
        memory.batch_pages = batch
        cost_ns = m.balloon_hypercall_ns + m.balloon_page_ns * (batch if batch > 0 else -batch)
        memory.balloon_ns += cost_ns
        vc.overhead_ns += cost_ns
        vc.aside_ns = program_left_ns(m, v)
        self.set_work(v, cost_ns)
        vc.in_kernel = 1
        if vc.pause_flags & PAUSE_BLOCKED:
            self.deliver_event(v)

    cdef void finish_balloon(self, int v) noexcept nogil:
        """v has done a batch of the balloon's work."""
        cdef Machine* m = &self.m
        cdef Vcpu* vc = &m.vcpu[v]
        cdef int d = vc.domain
        cdef DomainMemory* memory = &m.memory[d]
        cdef int64_t pages
        vc.in_kernel = 0
        self.entered_hypervisor(v, 1, 1)
        memory.hypercalls += 1
        if memory.batch_pages > 0:
            pages = increase_reservation(m, d, memory.batch_pages)
            memory.deflated_pages += pages
        else:
            pages = decrease_reservation(m, d, -memory.batch_pages)
            memory.inflated_pages += pages
            pages = -pages
        memory.batch_pages = 0
        trace(m, TRACE_BALLOON, vc.pcpu, v, d, pages)
        self.set_work(v, vc.aside_ns)
        if pages != 0:
            (<GuestKind>self.kind_table[self.guest_kind_of[v]]).memory_changed(d, m.clock.now_ns)
        self.run_balloon(d)
