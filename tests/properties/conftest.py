"""The laws of a host, callable from any property test through the fixture ``assert_laws``.

They read the live state only and hold whenever the host is at rest between two calls, also where control operations
of this instant have asked for scheduler passes that are still to come (``pending``).
"""

from collections.abc import Callable

import numpy as np
import pytest

from xengym.hypervisor.host import Host
from xengym.policies.schedulers.credit_rules import CREDIT_RELEASES, CapRule

RUNNING, RUNNABLE, BLOCKED, OFFLINE = range(4)
PAUSE_BLOCKED = 1
NEVER = FOREVER = 2**63 - 1
NONE = -1
PARKED = -65


def rows(host, name):
    """A section as a list of dicts."""
    section = host.sections[name]
    return [dict(zip(section.dtype.names, values, strict=True)) for values in section.tolist()]


def bits(words):
    return {64 * word + bit for word, value in enumerate(words) for bit in range(64) if int(value) >> bit & 1}


class Laws:
    """One look at a host; each method is a law."""

    def __init__(self, host, gone_running_ns):
        self.host = host
        self.gone_running_ns = gone_running_ns
        self.clock = rows(host, "clock")[0]
        self.pcpus = rows(host, "pcpu")
        self.vcpus = rows(host, "vcpu")
        self.domains = rows(host, "domain")
        self.pool = rows(host, "credit")[0]
        self.credit_pcpus = rows(host, "credit_pcpu")
        self.credit_vcpus = rows(host, "credit_vcpu")
        self.credit_domains = rows(host, "credit_domain")
        self.rules = CREDIT_RELEASES[host.scheduler.version]
        self.num_guests = len(self.vcpus) - host.num_pcpus
        self.guests = [v for v in range(self.num_guests) if self.vcpus[v]["in_use"]]
        self.pending = bits(self.clock["pending"])
        self.current = [pcpu["curr"] for pcpu in self.pcpus]

    def may_run(self, v):
        vcpu = self.vcpus[v]
        return not (vcpu["pause_flags"] or vcpu["pause_count"] or self.domains[vcpu["domain"]]["pause_count"])

    def queue(self, p):
        """The vCPUs of a run queue in order, its links checked."""
        seen, before, v = [], NONE, self.credit_pcpus[p]["head"]
        while v != NONE:
            assert v not in seen, f"run queue of pCPU {p} runs in a circle at vCPU {v}"
            assert self.credit_vcpus[v]["prev"] == before, f"vCPU {v} in the queue of pCPU {p}: wrong link back"
            assert self.credit_vcpus[v]["is_queued"], f"vCPU {v} is in a queue and not marked so"
            assert self.vcpus[v]["pcpu"] == p, f"vCPU {v} is in the queue of pCPU {p} but assigned elsewhere"
            seen.append(v)
            before, v = v, self.credit_vcpus[v]["next"]
        assert self.credit_pcpus[p]["tail"] == before, f"run queue of pCPU {p}: wrong tail"
        return seen

    def time_is_conserved(self):
        now_ns = self.clock["now_ns"]
        running_ns = self.gone_running_ns
        for v in [*self.guests, *range(self.num_guests, len(self.vcpus))]:
            times = self.host.runstate_ns(v)
            since_ns = 0 if v >= self.num_guests else self.domains[self.vcpus[v]["domain"]]["created_at_ns"]
            assert min(times.values()) >= 0
            assert sum(times.values()) == now_ns - since_ns, f"vCPU {v}: runstate times do not sum to its age"
            running_ns += times["running"]
        assert running_ns == now_ns * self.host.num_pcpus, "CPU handed out and idle time are not all the pCPUs' time"

    def each_pcpu_runs_one_vcpu_of_its_own(self):
        assert len(set(self.current)) == len(self.current), "a vCPU runs on two pCPUs"
        for p, v in enumerate(self.current):
            vcpu = self.vcpus[v]
            assert vcpu["in_use"], f"pCPU {p} runs vCPU {v}, which does not exist"
            assert vcpu["pcpu"] == p, f"pCPU {p} runs vCPU {v}, which believes to be elsewhere"
            assert vcpu["is_idle"] == (v >= self.num_guests)
            assert not vcpu["is_idle"] or v == self.num_guests + p, f"pCPU {p} runs the idle vCPU of another"

    def runstates_follow_from_the_reasons_to_wait(self):
        for v in [*self.guests, *range(self.num_guests, len(self.vcpus))]:
            vcpu = self.vcpus[v]
            if v in self.current:
                expected = RUNNING
            elif vcpu["is_idle"] or self.may_run(v):
                expected = RUNNABLE
            else:
                expected = BLOCKED if vcpu["pause_flags"] & PAUSE_BLOCKED else OFFLINE
            assert vcpu["runstate"] == expected, f"vCPU {v}: runstate {vcpu['runstate']}, expected {expected}"

    def whoever_waits_is_in_exactly_one_queue(self):
        queued = []
        for p in range(self.host.num_pcpus):
            queue = self.queue(p)
            idle = self.num_guests + p
            assert (idle in queue) == (self.current[p] != idle), f"idle of pCPU {p}: running or else queued"
            guests = [v for v in queue if v != idle]
            runs_guest = self.current[p] != idle
            assert self.credit_pcpus[p]["num_runnable"] == len(guests) + runs_guest, f"pCPU {p}: wrong count"
            queued += guests
        waiting = [v for v in self.guests if self.vcpus[v]["runstate"] == RUNNABLE]
        assert sorted(queued) == waiting, f"in queues: {sorted(queued)}, runnable and not running: {waiting}"
        for v in self.guests:
            assert self.credit_vcpus[v]["is_queued"] == (v in queued)

    def active_lists_and_weights_agree(self):
        weight, active, before, d = 0, [], NONE, self.pool["first_domain"]
        seen_domains = []
        while d != NONE:
            domain = self.credit_domains[d]
            assert d not in seen_domains
            assert (domain["is_active"], domain["prev"]) == (1, before)
            seen_domains.append(d)
            members, last, v = [], NONE, domain["first_active"]
            while v != NONE:
                assert v not in members
                assert self.credit_vcpus[v]["prev_active"] == last
                assert self.vcpus[v]["domain"] == d
                members.append(v)
                last, v = v, self.credit_vcpus[v]["next_active"]
            assert domain["last_active"] == last
            assert domain["num_active"] == len(members) > 0
            weight += domain["weight"] * (len(members) if self.rules.weight_per_vcpu else 1)
            active += members
            before, d = d, domain["next"]
        assert self.pool["last_domain"] == before
        assert self.pool["weight"] == weight, "the active weight is not the sum over the active lists"
        assert sorted(active) == [v for v in self.guests if self.credit_vcpus[v]["is_active"]]

    def what_is_derived_from_affinity_is_current(self):
        for v in self.guests:
            hard, soft = bits(self.vcpus[v]["hard_affinity"]), bits(self.vcpus[v]["soft_affinity"])
            everywhere = set(range(self.host.num_pcpus))
            is_effective = not hard <= soft and bool(hard & soft) and not everywhere <= soft
            assert self.vcpus[v]["soft_is_effective"] == is_effective
            assert self.vcpus[v]["is_pinned"] == (len(hard) == 1)
        assert self.clock["num_soft"] == sum(self.vcpus[v]["soft_is_effective"] for v in self.guests)

    def only_a_cap_parks(self):
        for v in self.guests:
            vcpu, credit = self.vcpus[v], self.credit_vcpus[v]
            assert vcpu["pause_count"] == credit["is_parked"], f"vCPU {v}: paused and not parked, or the reverse"
            assert self.rules.cap_rule == CapRule.PAUSE or not credit["is_parked"]

    def affinity_is_kept(self):
        for v in self.guests:
            vcpu = self.vcpus[v]
            is_moving = v in self.current and vcpu["pcpu"] in self.pending
            assert is_moving or vcpu["pcpu"] in bits(vcpu["hard_affinity"]), f"vCPU {v} is where it may not be"

    def nobody_idles_beside_its_own_queue(self):
        # What Credit guarantees: not that a pCPU idles only if no allowed vCPU waits anywhere (a tickle may go to
        # another one, a search may be too soon), but that it takes what waits in its own queue. Not so under 3.0.3: a
        # vCPU over its cap is below idle, and one that has paid its debt waits for a sort and the end of idle's slice.
        if self.rules.cap_rule == CapRule.PRIORITY:
            return
        for p in set(range(self.host.num_pcpus)) - self.pending:
            if self.current[p] >= self.num_guests:
                waiting = [v for v in self.queue(p) if self.credit_vcpus[v]["priority"] != PARKED]
                assert waiting == [], f"pCPU {p} idles beside its own queue {waiting}"

    def the_idle_mask_names_idle_pcpus(self):
        idle = bits(self.pool["idle"])
        runs_idle = {p for p, v in enumerate(self.current) if v >= self.num_guests}
        assert idle <= runs_idle
        assert runs_idle - self.pending <= idle

    def the_next_event_is_the_earliest(self):
        timers = self.host.sections["timer"]
        order = np.lexsort((timers["key"], timers["at_ns"]))
        root = self.host.sections["winner"][1]
        assert timers["at_ns"][root] == timers["at_ns"][order[0]]
        if timers["at_ns"][root] != NEVER:
            assert root == order[0], "the winner of the tree is not the earliest timer"
        assert timers["at_ns"].min() >= self.clock["now_ns"], "a timer was left behind in the past"

    def who_runs_has_work_and_a_slice(self):
        n = self.host.num_pcpus
        at_ns = self.host.sections["timer"]["at_ns"].tolist()
        for p in set(range(n)) - self.pending:
            vcpu = self.vcpus[self.current[p]]
            has_end = not vcpu["is_idle"] and vcpu["work_left_ns"] != FOREVER
            assert (at_ns[2 * p + 1] != NEVER) == has_end, f"pCPU {p}: completion timer and work do not agree"
            assert vcpu["is_idle"] or at_ns[2 * p] != NEVER, f"pCPU {p} runs a guest without end"

    def counters_agree(self):
        assert self.clock["context_switches"] == sum(pcpu["context_switches"] for pcpu in self.pcpus)
        assert self.clock["passes"] == sum(pcpu["invocations"] for pcpu in self.pcpus)
        assert self.clock["num_domains"] == sum(domain["in_use"] for domain in self.domains)
        assert self.clock["num_vcpus"] == len(self.guests)
        assert bool(self.clock["any_pending"]) >= bool(self.pending)

    def no_job_is_lost_or_answered_twice(self):
        for d, domain in enumerate(self.domains):
            if not domain["in_use"]:
                assert not any(self.host.sections["domain"][d].tobytes()), f"domain slot {d} is not empty"
                continue
            first, count = domain["first_vcpu"], domain["num_vcpus"]
            open_jobs = domain["jobs_submitted"] - domain["jobs_done"] - domain["jobs_dropped"]
            kinds = {self.host.guest_kinds[k].name for k in self.host.sections["guest_kind"][first : first + count]}
            if kinds <= {"server", "replay"}:
                (kind,) = kinds
                queue = self.host.sections[f"{kind}_queue"][d]
                serving = self.host.sections[f"{kind}_serving"][first : first + count]
                assert open_jobs == queue["tail"] - queue["head"] + (serving >= 0).sum()
            else:
                assert 0 <= open_jobs <= count, "a closed loop has at most one job a vCPU"
            assert sum(domain["response_bins"]) == domain["jobs_done"] >= domain["jobs_in_time"]

    def __iter__(self):
        laws = [name for name in vars(Laws) if not name.startswith("_") and name not in ("may_run", "queue")]
        return (getattr(self, name) for name in laws)


@pytest.fixture(scope="session")
def assert_laws() -> Callable[[Host, int], None]:
    """``assert_laws(host, gone_running_ns)``: every law holds.

    ``gone_running_ns`` is the CPU time that vCPUs had which have been destroyed since.
    """

    def check(host: Host, gone_running_ns: int = 0) -> None:
        for law in Laws(host, gone_running_ns):
            law()

    return check
