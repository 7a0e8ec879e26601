"""The laws of a host, callable from any property test through the fixture ``assert_laws``.

They read the live state only and hold whenever the host is at rest between two calls, also where control operations
of this instant have asked for scheduler passes that are still to come (``pending``).
"""

from collections.abc import Callable

import numpy as np
import pytest

from tests.properties.credit_laws import CreditLaws
from tests.properties.memory_laws import MemoryLaws
from xengym.hypervisor.host import Host

RUNNING, RUNNABLE, BLOCKED, OFFLINE = range(4)
PAUSE_BLOCKED = 1
NEVER = FOREVER = 2**63 - 1
NO_POOL = -1
#: Schedulers without a queue of those that wait: a vCPU's place is fixed, or the table decides.
WITHOUT_QUEUE = ("null", "arinc653")
#: Laws of one scheduler's own state, by its name.
OWN_LAWS = {"credit": CreditLaws}


def rows(sections, name):
    """A section as a list of dicts."""
    section = sections[name]
    return [dict(zip(section.dtype.names, values, strict=True)) for values in section.tolist()]


def bits(words):
    return {64 * word + bit for word, value in enumerate(words) for bit in range(64) if int(value) >> bit & 1}


class Laws:
    """One look at a host; each method is a law."""

    def __init__(self, host, gone_running_ns):
        self.host = host
        self.gone_running_ns = gone_running_ns
        sections = host.sections
        self.clock = rows(sections, "clock")[0]
        self.pcpus = rows(sections, "pcpu")
        self.vcpus = rows(sections, "vcpu")
        self.domains = rows(sections, "domain")
        self.pools = rows(sections, "pool")
        self.num_guests = len(self.vcpus) - host.num_pcpus
        self.guests = [v for v in range(self.num_guests) if self.vcpus[v]["in_use"]]
        self.pending = bits(self.clock["pending"])
        self.current = [pcpu["curr"] for pcpu in self.pcpus]

    def pool_of(self, v):
        return self.domains[self.vcpus[v]["domain"]]["pool"]

    def has_crashed(self, d):
        """It is down: paused until it is started again."""
        sections = self.host.sections
        return bool("os_domain" in sections and sections["os_domain"]["has_crashed"][d])

    def may_run(self, v):
        vcpu = self.vcpus[v]
        return not (vcpu["pause_flags"] or vcpu["pause_count"] or self.domains[vcpu["domain"]]["pause_count"])

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
            if not vcpu["is_idle"]:
                assert self.pool_of(v) == self.pcpus[p]["pool"], f"pCPU {p} runs vCPU {v} of another cpupool"

    def each_pcpu_is_in_one_pool_or_none(self):
        for number, pool in enumerate(self.pools):
            members = {p for p, pcpu in enumerate(self.pcpus) if pcpu["pool"] == number}
            assert bits(pool["pcpus"]) == members
            assert pool["num_pcpus"] == len(members)
            assert pool["in_use"] == (number in self.host.schedulers)
            assert pool["in_use"] or not members
            inhabited = any(domain["in_use"] and domain["pool"] == number for domain in self.domains)
            assert members or not inhabited, f"cpupool {number} has domains and no pCPU"

    def whoever_waits_is_in_exactly_one_queue(self):
        for number, scheduler in self.host.schedulers.items():
            queued = scheduler.queued()
            waiting = [v for v in self.guests if self.vcpus[v]["runstate"] == RUNNABLE and self.pool_of(v) == number]
            assert len(set(queued)) == len(queued), f"a vCPU is queued twice: {queued}"
            if scheduler.name in WITHOUT_QUEUE:
                assert set(queued) <= {v for v in self.guests if self.pool_of(v) == number}
            else:
                assert sorted(queued) == waiting, f"in queues: {sorted(queued)}, runnable and not running: {waiting}"

    def each_scheduler_keeps_its_own_laws(self):
        for number, scheduler in self.host.schedulers.items():
            if scheduler.name in OWN_LAWS:
                for law in OWN_LAWS[scheduler.name](self, number, scheduler):
                    law()

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

    def what_is_derived_from_affinity_is_current(self):
        for v in self.guests:
            hard, soft = bits(self.vcpus[v]["hard_affinity"]), bits(self.vcpus[v]["soft_affinity"])
            pool = bits(self.pools[self.pool_of(v)]["pcpus"])
            assert bits(self.vcpus[v]["allowed"]) == hard & pool != set()
            is_effective = not hard <= soft and bool(hard & pool & soft) and not pool <= soft
            assert self.vcpus[v]["soft_is_effective"] == is_effective
            assert self.vcpus[v]["is_pinned"] == (len(hard & pool) == 1)
        assert self.clock["num_soft"] == sum(self.vcpus[v]["soft_is_effective"] for v in self.guests)

    def affinity_is_kept(self):
        for v in self.guests:
            vcpu = self.vcpus[v]
            is_moving = v in self.current and vcpu["pcpu"] in self.pending
            assert is_moving or vcpu["pcpu"] in bits(vcpu["allowed"]), f"vCPU {v} is where it may not be"

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
            scheduler = self.host.schedulers.get(self.pcpus[p]["pool"])
            has_slices = scheduler is not None and scheduler.name != "null"
            assert vcpu["is_idle"] or not has_slices or at_ns[2 * p] != NEVER, f"pCPU {p} runs a guest without end"

    def memory_keeps_its_laws(self):
        for law in MemoryLaws(self.host):
            law()

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
            if kinds == {"os"}:
                pass  # its jobs are requests and loops: `io_laws`
            elif kinds <= {"server", "replay", "memory"}:
                (kind,) = kinds
                queue = self.host.sections[f"{kind}_queue"][d]
                serving = self.host.sections[f"{kind}_serving"][first : first + count]
                assert open_jobs == queue["tail"] - queue["head"] + (serving >= 0).sum()
            else:
                assert 0 <= open_jobs <= count, "a closed loop has at most one job a vCPU"
            assert sum(domain["response_bins"]) == domain["jobs_done"] >= domain["jobs_in_time"]

    def __iter__(self):
        laws = [
            name
            for name in vars(Laws)
            if not name.startswith("_") and name not in ("may_run", "pool_of", "has_crashed")
        ]
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
