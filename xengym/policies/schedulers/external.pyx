"""Decisions from outside: an agent says which vCPU runs next, and for how long.

Where there is a choice (somebody waits who may run on this pCPU, or the vCPU that runs could go on), time stops before
the pass; `Host.awaiting_pcpu` names the pCPU, `Host.decide` gives the answer, and time goes on. What is legal, what
happens to an illegal answer, and whom a wake-up asks stands in `shared_queue.pyx`.

Unless it is *connected*, nobody answers, and every decision is the default: round-robin with a fixed slice.
"""
from libc.stdint cimport int64_t
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.shared_queue cimport SharedQueueScheduler
from xengym.machine.state cimport NO_VCPU

from contextlib import contextmanager

import numpy as np

cdef Answer _answer


cdef class ExternalScheduler(SharedQueueScheduler):
    """A scheduler whose decisions come from outside.

    Args:
        version: only "current".
        connected: somebody answers; otherwise every decision is the default.
        slice_us: slice where the answer names none, 100..1000000.
        wake_asks: which busy pCPUs a wake-up asks when no idle one will do: "own" or "all".
    """

    def __init__(self, version="current", *, connected=False, slice_us=30_000, wake_asks="own"):
        self.name = "external"
        SharedQueueScheduler.__init__(self, version, slice_us=slice_us, wake_asks=wake_asks)
        self.is_external = bool(connected)
        self.options["connected"] = self.is_external

    @contextmanager
    def disconnected(self):
        """For a while, every decision is the default."""
        was_external, self.is_external = self.is_external, False
        try:
            yield
        finally:
            self.is_external = was_external

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            *SharedQueueScheduler.sections(self, num_pcpus, max_vcpus, max_domains),
            ("external_answer", np.asarray(<Answer[:1]>&_answer).dtype, 1),
        ]

    def bind(self, views):
        SharedQueueScheduler.bind(self, views)
        cdef Answer[::1] answer = views["external_answer"]
        self.answer = &answer[0]
        self.answer.pcpu = -1

    cdef void give(self, int p, int v, int64_t slice_ns) noexcept nogil:
        """Say who runs next on p; `slice_ns` <= 0: the default."""
        self.answer.pcpu = p
        self.answer.vcpu = v
        self.answer.slice_ns = slice_ns

    cdef bint has_answer(self, int p) noexcept nogil:
        cdef int cur = self.m.pcpu[p].curr
        if self.answer.pcpu == p:
            return True
        # Without a choice nobody needs to be asked.
        return self.first_waiting(p) == NO_VCPU and (self.m.vcpu[cur].is_idle or not self.may_choose(p, cur))

    cdef Decision choose(self, int p, int64_t now_ns) noexcept nogil:
        cdef Decision decision
        if self.answer.pcpu != p:
            return self.default_choice(p)
        self.answer.pcpu = -1
        decision.next_vcpu = self.answer.vcpu
        decision.slice_ns = self.answer.slice_ns if self.answer.slice_ns > 0 else self.pool.default_slice_ns
        return decision
