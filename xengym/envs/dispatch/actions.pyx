"""Choices of `Dispatch-v0`: which vCPU runs next on the pCPU that asks, and for how long.

Choice v < max_vcpus is vCPU number v, max_vcpus is idle. With a menu of slices the action has a second number, the place
in the menu; without, the slice is the scheduler's default. The mask says what is legal: the vCPU that runs there, if it
can go on; whoever waits and may run there; idle.
"""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport Machine

MAX_SLICES = 16


cdef class ChoiceDecoder:
    """Decodes and gives the answers of one host.

    Args:
        host: the machine; an `ExternalScheduler` serves its cpupool 0.
        slices_ns: menu of slices; empty: the agent does not choose.
    """

    def __init__(self, Host host, slices_ns):
        if len(slices_ns) > MAX_SLICES:
            raise ValueError(f"slices_ms: at most {MAX_SLICES} entries, found {len(slices_ns)}")
        self.host = host
        self.scheduler = host.scheduler_policy
        self.num_choices = host.m.max_vcpus + 1
        self.num_slices = len(slices_ns)
        for i, slice_ns in enumerate(slices_ns):
            self.slices_ns[i] = slice_ns

    cdef void give(self, const int64_t* action) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef int p = m.clock.awaiting_pcpu
        cdef int64_t v = action[0]
        cdef int64_t slice_ns = 0
        if p < 0:
            return
        if v == m.max_vcpus:
            v = m.max_vcpus + p
        elif v < 0 or v > m.max_vcpus:
            v = -1
        if self.num_slices and 0 <= action[1] < self.num_slices:
            slice_ns = self.slices_ns[action[1]]
        self.scheduler.give(p, <int>v, slice_ns)

    cdef void write_masks(self, unsigned char* masks) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef int p = m.clock.awaiting_pcpu
        cdef int v
        for v in range(m.max_vcpus):
            masks[v] = p >= 0 and self.scheduler.may_choose(p, v)
        masks[m.max_vcpus] = 1
        for v in range(self.num_slices):
            masks[m.max_vcpus + 1 + v] = 1
