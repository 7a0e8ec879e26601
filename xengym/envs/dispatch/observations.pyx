"""Observations of `Dispatch-v0`: what a hypervisor knows when it has to choose, every number in [0, 1].

The features of vCPU slot 0 come first, then those of slot 1 and so on, then those of the pCPU and the host; an absent vCPU
is all zeros. `VCPU_FEATURES` and `DECISION_FEATURES` name them in order.
"""
from libc.stdint cimport int64_t
from xengym.envs.scaling cimport saturate, unit
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport RUNNABLE, RUNNING, Domain, Machine, Vcpu
from xengym.monitor.interval cimport IntervalMonitor

cdef enum:
    NUM_VCPU_FEATURES = 12
    NUM_DECISION_FEATURES = 4

#: Name and meaning of each vCPU's features.
VCPU_FEATURES = (
    ("present", "1 if the vCPU exists and is online"),
    ("legal", "1 if it may be chosen now"),
    ("current", "1 if it runs on the pCPU that asks"),
    ("elsewhere", "1 if it runs on another pCPU"),
    ("waited", "time since it can run and does not, x / (x + 10 ms)"),
    ("ran", "time since it was switched in, while it runs, x / (x + 10 ms)"),
    ("cpu", "CPU it has had since it appeared, as a fraction of one pCPU"),
    ("warm", "1 if it was the last to run on the pCPU that asks"),
    ("agreed", "CPU agreed on with its domain, for each of its vCPUs, in pCPUs"),
    ("owed", "agreed CPU minus CPU had, over its life: 0.5 is even, x / (|x| + 50 ms) above and below"),
    ("backlog", "jobs of its domain waiting or under way, x / (x + 8)"),
    ("target", "its domain's latency target, x / (x + 10 ms); 1: none"),
)

#: Name and meaning of the features of the decision.
DECISION_FEATURES = (
    ("pcpu", "number of the pCPU that asks, as a fraction of the last one"),
    ("waiting", "vCPUs that may be chosen, x / (x + 8)"),
    ("busy", "pCPUs that run a vCPU, as a fraction of all"),
    ("window", "how far the control interval has got"),
)

cdef double SHORT_NS = 1e7
cdef double DEBT_NS = 5e7
cdef double BACKLOG_SCALE = 8.0


cdef class DecisionEncoder:
    """Encodes the decision that one host awaits.

    Args:
        host: the machine; an `ExternalScheduler` serves its cpupool 0.
        monitor: its interval monitor.
    """

    def __init__(self, Host host, IntervalMonitor monitor):
        self.host = host
        self.scheduler = host.scheduler_policy
        self.monitor = monitor
        self.size = host.m.max_vcpus * NUM_VCPU_FEATURES + NUM_DECISION_FEATURES

    cdef void encode(self, float* out) noexcept nogil:
        cdef Machine* m = &self.host.m
        cdef int64_t now_ns = m.clock.now_ns
        cdef int p = m.clock.awaiting_pcpu
        cdef int v, i, legal, num_legal = 0, busy = 0
        cdef Vcpu* vc
        cdef Domain* dom
        cdef double had_ns, life_ns, owed_ns, agreed
        for v in range(m.max_vcpus):
            vc = &m.vcpu[v]
            if not vc.in_use or not vc.has_started:
                for i in range(NUM_VCPU_FEATURES):
                    out[i] = 0.0
                out += NUM_VCPU_FEATURES
                continue
            dom = &m.domain[vc.domain]
            legal = p >= 0 and self.scheduler.may_choose(p, v)
            num_legal += legal
            had_ns = vc.runstate_ns[RUNNING]
            if vc.runstate == RUNNING:
                had_ns += now_ns - vc.runstate_at_ns
                busy += 1
            life_ns = now_ns - dom.created_at_ns
            agreed = dom.agreed_pcpus / dom.num_vcpus
            owed_ns = agreed * life_ns - had_ns
            out[0] = 1.0
            out[1] = legal
            out[2] = p >= 0 and m.pcpu[p].curr == v
            out[3] = vc.runstate == RUNNING and not out[2]
            out[4] = saturate(now_ns - vc.runstate_at_ns, SHORT_NS) if vc.runstate == RUNNABLE else <float>0.0
            out[5] = saturate(now_ns - vc.switch_at_ns, SHORT_NS) if vc.runstate == RUNNING else <float>0.0
            out[6] = unit(had_ns / life_ns) if life_ns > 0.0 else <float>0.0
            out[7] = p >= 0 and m.pcpu[p].last_guest == v
            out[8] = unit(agreed)
            out[9] = unit(0.5 + 0.5 * owed_ns / ((owed_ns if owed_ns > 0.0 else -owed_ns) + DEBT_NS))
            out[10] = saturate(dom.jobs_submitted - dom.jobs_done - dom.jobs_dropped, BACKLOG_SCALE)
            out[11] = saturate(dom.latency_target_ns, SHORT_NS) if dom.latency_target_ns > 0 else <float>1.0
            out += NUM_VCPU_FEATURES
        out[0] = <double>p / (m.num_pcpus - 1) if p > 0 else <float>0.0
        out[1] = saturate(num_legal, BACKLOG_SCALE)
        out[2] = unit(<double>busy / m.num_pcpus)
        out[3] = unit((now_ns - self.monitor.whole.end_ns) / SHORT_NS)
