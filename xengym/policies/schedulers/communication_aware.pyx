"""The communication-aware scheduler: SEDF that lets those run first for whom packets wait, within everybody's guarantee.

Design. A packet on its way between guests waits for CPU three times: for the driver domain to take it from the network card
or from a ring, for the guest that it is for, and for the guest that is about to send. SEDF looks at deadlines only. Here
every decision among those whose period has begun and whose slice is not used up prefers

1. a driver domain's vCPU, if packets wait in its network cards or requests in the rings of guests;
2. else the domain for which most packets wait in its receive rings;
3. else, of the domains that are due to send, now >= last + (last - the one before), the one that is expected to send most;
4. else the earliest deadline.

What a domain is expected to send is what it sent between the last two transmissions that the scheduler saw. An expectation
lapses after another such time and a period, so that one who has stopped sending does not go first for ever.

Guarantees. The order changes, slices do not: nobody runs beyond its own, and nobody's deadline is put at risk. v goes before
earlier deadlines for as long as all of these can still be met,

    slack = min over deadlines d before v's of   d - now - sum over the others of what may be due by d ,

where due by d is, of each vCPU on the pCPU, the rest of its slice if its deadline is not after d, and s / p for the time from
its deadline to d; who sleeps counts as if it woke up now. With less than 50 us of slack the earliest deadline runs. So each
gets its slice in each period, as under SEDF, and shares do not change; with more promised than there is there is no slack.

Extra time follows the same preference in UTILISATION, where turns are weighted: v may be ahead of the head of the queue by
two turns at most, 1 ms, that is 1 % of the default period. A turn is charged by the time it took and not whole, or one who
answers a packet in 20 us would soon have used up that lead. PENALTY, which goes first in SEDF, does so here: among those in
it the preferred one comes first. Who used its slice up or lost its rest by a short block has packets waiting but no slice:
only extra time helps it, or the unblock rule "short_resume", which keeps the rest of a slice.

Noticing. A pass is made when a vCPU wakes up that is preferred and could run. Packets for one that is awake already make no
pass: a decision among several is therefore made anew after 500 us (``look_us``); a turn of extra time is that long anyway.

Simplified: a request of any guest counts for any driver domain, since a domain's record does not say who serves it. The
counts cost nothing to read (in the paper they are in pages that Xen and Dom0 share).

Source: Govindan, Nath, Das, Urgaonkar, Sivasubramaniam: Xen and Co. (VEE 2007), as told by Reis and Cerqueira, section 4.3;
the slack, the lapse and the lead in extra time are ours, for the paper's "reordering only among domains with slice left".
"""
from libc.stdint cimport INT64_MAX, int64_t
from xengym.machine.state cimport NO_VCPU, DomainIo, Machine
from xengym.policies.schedulers.api cimport Decision
from xengym.policies.schedulers.sedf cimport SedfScheduler
from xengym.policies.schedulers.sedf_periods cimport EXTRA_QUANTUM_NS, in_proportion
from xengym.policies.schedulers.sedf_state cimport (
    NO_QUEUE, PENALTY, RUNQ, UTILISATION, WAITQ, SedfVcpu, score_of,
)

import numpy as np

from xengym.policies.schedulers.tunables import check_integer

cdef int64_t US_NS = 1_000
cdef int64_t LEAST_SLACK_NS = 50 * US_NS         # assumed: not worth a switch below
cdef int64_t LEAD_TURNS = 2                      # of extra time, ahead of who would be next
cdef Sender _sender


cdef class CommunicationAwareScheduler(SedfScheduler):
    """SEDF of Xen 3.0.2 that prefers, within its guarantees, domains for which packets wait or that are about to send.

    Domain parameters are SEDF's.

    Args:
        version: SEDF's release; there is one.
        unblock: what a wake-up after a block gives, as in SEDF.
        look_us: a decision among several with slice left holds so long at most, 10..100000.
    """

    versions = ("3.0.2", "current")
    scheduler_name = "communication-aware"

    def __init__(self, version="current", *, unblock="extra_support", look_us=500):
        if version == "current":
            version = "3.0.2"
        SedfScheduler.__init__(self, version, unblock=unblock)
        where = f"scheduler {self.name} {self.version}"
        self.look_ns = check_integer(where, "look_us", look_us, 10, 100_000) * US_NS
        self.options = {"unblock": unblock, "look_us": look_us}

    def sections(self, num_pcpus, max_vcpus, max_domains):
        own = ("communication_sender", np.asarray(<Sender[:1]>&_sender).dtype, max_domains)
        return [*SedfScheduler.sections(self, num_pcpus, max_vcpus, max_domains), own]

    def bind(self, views):
        SedfScheduler.bind(self, views)
        cdef Sender[::1] sender = views["communication_sender"]
        self.sender = &sender[0]

    cdef void insert_domain(self, int d) noexcept nogil:
        SedfScheduler.insert_domain(self, d)
        self.sender[d].seen_at_ns = -1
        self.sender[d].seen_packets = 0
        self.sender[d].expected_packets = 0

    # -- who is preferred ----------------------------------------------------------------------------------------

    cdef int64_t _packets_for_backends(self) noexcept nogil:
        cdef Machine* m = self.m
        cdef int64_t total = 0
        cdef int d
        for d in range(m.max_domains):
            if m.domain[d].in_use:
                total += m.io[d].tx_pending
        return total

    cdef int _reason(self, int v, int64_t now_ns, int64_t* packets) noexcept nogil:
        """Why v should run now, and how many packets that is about."""
        cdef int d = self.m.vcpu[v].domain
        cdef DomainIo* io = &self.m.io[d]
        cdef Sender* sender = &self.sender[d]
        cdef int64_t sent, between_ns
        if io.is_backend:
            packets[0] = io.nic_pending + self._packets_for_backends()
            if packets[0] > 0:
                return SERVES
        if io.rx_pending > 0:
            packets[0] = io.rx_pending
            return HAS_RECEIVED
        packets[0] = 0
        if io.last_tx_at_ns < 0:
            return NO_REASON
        if sender.seen_at_ns != io.last_tx_at_ns:
            sent = io.tx_packets + io.tx_pending
            sender.expected_packets = sent - sender.seen_packets
            sender.seen_packets = sent
            sender.seen_at_ns = io.last_tx_at_ns
        if io.prev_tx_at_ns < 0:
            return NO_REASON
        between_ns = io.last_tx_at_ns - io.prev_tx_at_ns
        if now_ns < io.last_tx_at_ns + between_ns:
            return NO_REASON
        if now_ns - io.last_tx_at_ns > 2 * between_ns + self.vcpu[v].period_ns:
            return NO_REASON
        packets[0] = sender.expected_packets
        return WILL_SEND

    cdef int _preferred(self, int p, int queue, int64_t now_ns) noexcept nogil:
        """Who in a queue has the best reason to run, the first of equals; NO_VCPU if nobody has one."""
        cdef int chain = 0 if queue == RUNQ else queue - 1
        cdef int v = self.pcpu[p].head[queue]
        cdef int best = NO_VCPU, best_reason = NO_REASON, reason
        cdef int64_t best_packets = 0, packets = 0
        while v != NO_VCPU:
            if self._may_have_turn(v, p) if queue == UTILISATION else (
                    queue == PENALTY or self.vcpu[v].used_ns < self.vcpu[v].slice_ns):
                reason = self._reason(v, now_ns, &packets)
                if reason > best_reason or (reason == best_reason and reason != NO_REASON and packets > best_packets):
                    best = v
                    best_reason = reason
                    best_packets = packets
            v = self.vcpu[v].next[chain]
        return best

    # -- the decision --------------------------------------------------------------------------------------------

    cdef Decision _among_reserved(self, int p, int64_t now_ns) noexcept nogil:
        cdef int first = self.pcpu[p].head[RUNQ]
        cdef int v = NO_VCPU
        cdef bint is_alone = self.vcpu[first].next[0] == NO_VCPU
        cdef int64_t most_ns = INT64_MAX
        cdef Decision decision
        if not is_alone:
            v = self._preferred(p, RUNQ, now_ns)
            most_ns = self.look_ns
        if v != NO_VCPU and v != first:
            most_ns = min(most_ns, self._slack(v, p, now_ns))
            if most_ns < min(LEAST_SLACK_NS, self.look_ns):
                v = NO_VCPU
                most_ns = self.look_ns
        decision.next_vcpu = first if v == NO_VCPU else v
        decision.slice_ns = self.vcpu[decision.next_vcpu].slice_ns - self.vcpu[decision.next_vcpu].used_ns
        decision.slice_ns = min(decision.slice_ns, most_ns)
        return decision

    cdef int64_t _slack(self, int v, int p, int64_t now_ns) noexcept nogil:
        """How long v may run before those with earlier deadlines."""
        cdef Machine* m = self.m
        cdef SedfVcpu* svc
        cdef int64_t slack_ns = INT64_MAX, by_ns, due_ns
        cdef int u, w
        for u in range(m.max_vcpus):
            svc = &self.vcpu[u]
            if u == v or not svc.is_inserted or m.vcpu[u].pcpu != p or svc.slice_ns <= 0:
                continue
            by_ns = now_ns + svc.period_ns if svc.is_asleep else svc.deadline_ns
            if by_ns >= self.vcpu[v].deadline_ns:
                continue
            due_ns = 0
            for w in range(m.max_vcpus):
                if w != v and self.vcpu[w].is_inserted and m.vcpu[w].pcpu == p and self.vcpu[w].slice_ns > 0:
                    due_ns += self._due_by(w, by_ns, now_ns)
            slack_ns = min(slack_ns, by_ns - now_ns - due_ns)
        return slack_ns

    cdef int64_t _due_by(self, int v, int64_t by_ns, int64_t now_ns) noexcept nogil:
        """What v may have to run by then, at most."""
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int64_t deadline_ns = svc.deadline_ns
        cdef int64_t rest_ns = svc.slice_ns - svc.used_ns
        if svc.is_asleep:
            deadline_ns = now_ns + svc.period_ns
            rest_ns = svc.slice_ns
        if deadline_ns > by_ns:
            return 0
        if deadline_ns < by_ns:
            rest_ns += in_proportion(svc.slice_ns, by_ns - deadline_ns, svc.period_ns) + 1
        return rest_ns

    # -- extra time ----------------------------------------------------------------------------------------------

    cdef int _next_extra(self, int p, int64_t now_ns) noexcept nogil:
        cdef int queue, v
        for queue in range(PENALTY, UTILISATION + 1):
            v = self._preferred(p, queue, now_ns)
            if v != NO_VCPU:
                self.vcpu[v].runs_extra = queue
                return v
            if self.pcpu[p].head[queue] != NO_VCPU:
                break
        return SedfScheduler._next_extra(self, p, now_ns)

    cdef bint _may_have_turn(self, int v, int p) noexcept nogil:
        """Whether v in UTILISATION is not too far ahead of who would be next."""
        cdef int64_t lead = self.vcpu[v].utilisation_score - self.vcpu[self.pcpu[p].head[UTILISATION]].utilisation_score
        return lead <= LEAD_TURNS * SedfScheduler._price_of_turn(self, v, EXTRA_QUANTUM_NS)

    cdef int64_t _price_of_turn(self, int v, int64_t ran_ns) noexcept nogil:
        cdef int64_t whole = SedfScheduler._price_of_turn(self, v, EXTRA_QUANTUM_NS)
        return max(in_proportion(whole, min(ran_ns, EXTRA_QUANTUM_NS), EXTRA_QUANTUM_NS), 1)

    # -- wake-ups ------------------------------------------------------------------------------------------------

    cdef bint _is_better(self, int v, int p) noexcept nogil:
        cdef SedfVcpu* svc = &self.vcpu[v]
        cdef int cur = self.m.pcpu[p].curr
        cdef int64_t packets = 0
        if SedfScheduler._is_better(self, v, p):
            return True
        if svc.queue == WAITQ and (self.vcpu[cur].runs_extra == NO_QUEUE or not (svc.in_extra[0] or svc.in_extra[1])):
            return False  # it could not run now
        return self._reason(v, self.m.clock.now_ns, &packets) != NO_REASON
