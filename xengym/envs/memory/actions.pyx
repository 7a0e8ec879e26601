"""Actions of `Memory-v0`: a balloon target for each domain.

-1 is what the domain's kernel needs (its floor), 0 the memory it was created with, 1 its maximum; between them linear, in
whole pages. So the zero vector is no ballooning at all: the static split that the scenario begins with.
"""
from libc.stdint cimport int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.memory_state cimport DomainMemory

import numpy as np


cdef int64_t decode_target(const DomainMemory* memory, double action) noexcept nogil:
    """Target in pages of an entry in [-1, 1]."""
    cdef int64_t range_pages
    if action < 0.0:
        range_pages = memory.initial_pages - memory.floor_pages
        return memory.initial_pages - <int64_t>(-action * range_pages + 0.5)
    return memory.initial_pages + <int64_t>(action * (memory.max_pages - memory.initial_pages) + 0.5)


cdef double encode_pages(const DomainMemory* memory, int64_t pages) noexcept nogil:
    """The entry that stands for so many pages; beyond the ends of the scale, its ends."""
    cdef int64_t range_pages
    cdef double entry = 0.0
    if pages < memory.initial_pages:
        range_pages = memory.initial_pages - memory.floor_pages
        entry = <double>(pages - memory.initial_pages) / range_pages if range_pages > 0 else 0.0
    elif pages > memory.initial_pages:
        range_pages = memory.max_pages - memory.initial_pages
        entry = <double>(pages - memory.initial_pages) / range_pages if range_pages > 0 else 0.0
    return max(-1.0, min(1.0, entry))


cdef double encode_target(const DomainMemory* memory) noexcept nogil:
    """The entry that leaves the present target as it is."""
    return encode_pages(memory, memory.target_pages)


cdef class TargetDecoder:
    """Decodes, checks and applies the balloon targets of one host's domains.

    Args:
        host: the machine.
        num_domains: domain slots the action covers, present or not.
    """

    def __init__(self, Host host, int num_domains):
        self.host = host
        self.num_domains = num_domains
        self.size = num_domains

    cdef int apply(self, const float* action) noexcept nogil:
        """Set the targets; returns how many entries were no numbers, whose domains keep theirs."""
        cdef DomainMemory* memory
        cdef double entry
        cdef int d, refused = 0
        for d in range(self.num_domains):
            memory = &self.host.m.memory[d]
            if not self.host.m.domain[d].in_use or memory.max_pages == 0:
                continue
            entry = action[d]
            if entry != entry:
                refused += 1
                continue
            self.host.set_memory_target_pages(d, decode_target(memory, max(-1.0, min(1.0, entry))))
        return refused

    def encode(self):
        """The action that leaves every target as it is: ``float32``, shape ``(size,)``."""
        action = np.zeros(self.size, dtype=np.float32)
        for d in range(self.num_domains):
            action[d] = encode_target(&self.host.m.memory[d])
        return action

    def encode_pages(self, pages):
        """The action that stands for targets in pages.

        Args:
            pages: ``int64``, shape ``(num_domains,)``; of domains without memory that counts it does not matter.

        Returns:
            ``float32``, shape ``(size,)``.
        """
        action = np.zeros(self.size, dtype=np.float32)
        for d in range(self.num_domains):
            action[d] = encode_pages(&self.host.m.memory[d], pages[d])
        return action
