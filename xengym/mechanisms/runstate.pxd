"""The only writer of runstates and of the time spent in them (Xen: the runstate change of the core scheduler)."""
from libc.stdint cimport int64_t
from xengym.machine.state cimport Machine, Vcpu
from xengym.sim.trace cimport TRACE_RUNSTATE, trace

cdef inline void set_runstate(Machine* m, int v, int runstate, int64_t now_ns) noexcept nogil:
    cdef Vcpu* vc = &m.vcpu[v]
    cdef int64_t spent_ns
    if vc.runstate == runstate:
        return
    spent_ns = now_ns - vc.runstate_at_ns
    if spent_ns > 0:
        vc.runstate_ns[vc.runstate] += spent_ns
        vc.runstate_at_ns = now_ns
    trace(m, TRACE_RUNSTATE, vc.pcpu, v, vc.runstate, runstate)
    vc.runstate = runstate
