"""Laws of Credit's own state: run queues, active lists, parking, the idle mask."""

from xengym.policies.schedulers.credit_rules import CREDIT_RELEASES, CapRule

NONE = -1
PARKED = -65


def rows(sections, name):
    section = sections[name]
    return [dict(zip(section.dtype.names, values, strict=True)) for values in section.tolist()]


def bits(words):
    return {64 * word + bit for word, value in enumerate(words) for bit in range(64) if int(value) >> bit & 1}


class CreditLaws:
    """One look at the Credit scheduler of a cpupool; each method is a law."""

    def __init__(self, host_laws, number, scheduler):
        self.host_laws = host_laws
        self.scheduler = scheduler
        sections = scheduler.arena.sections
        self.pool = rows(sections, "credit")[0]
        self.credit_pcpus = rows(sections, "credit_pcpu")
        self.credit_vcpus = rows(sections, "credit_vcpu")
        self.credit_domains = rows(sections, "credit_domain")
        self.rules = CREDIT_RELEASES[scheduler.version]
        self.members = bits(host_laws.pools[number]["pcpus"])
        self.guests = [v for v in host_laws.guests if host_laws.pool_of(v) == number]

    def queue(self, p):
        """The vCPUs of a run queue in order, its links checked."""
        seen, before, v = [], NONE, self.credit_pcpus[p]["head"]
        while v != NONE:
            assert v not in seen, f"run queue of pCPU {p} runs in a circle at vCPU {v}"
            assert self.credit_vcpus[v]["prev"] == before, f"vCPU {v} in the queue of pCPU {p}: wrong link back"
            assert self.credit_vcpus[v]["is_queued"], f"vCPU {v} is in a queue and not marked so"
            assert self.host_laws.vcpus[v]["pcpu"] == p, f"vCPU {v} is in the queue of pCPU {p} but assigned elsewhere"
            seen.append(v)
            before, v = v, self.credit_vcpus[v]["next"]
        assert self.credit_pcpus[p]["tail"] == before, f"run queue of pCPU {p}: wrong tail"
        return seen

    def queues_are_sound(self):
        queued = []
        for p in self.members:
            queue = self.queue(p)
            idle = self.host_laws.num_guests + p
            assert (idle in queue) == (self.host_laws.current[p] != idle), f"idle of pCPU {p}: running or else queued"
            guests = [v for v in queue if v != idle]
            runs_guest = self.host_laws.current[p] != idle
            assert self.credit_pcpus[p]["num_runnable"] == len(guests) + runs_guest, f"pCPU {p}: wrong count"
            queued += guests
        assert queued == self.scheduler.queued()
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
                assert self.host_laws.vcpus[v]["domain"] == d
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

    def only_a_cap_parks(self):
        for v in self.guests:
            vcpu, credit = self.host_laws.vcpus[v], self.credit_vcpus[v]
            paused = credit["is_parked"] + self.host_laws.has_crashed(vcpu["domain"])
            assert vcpu["pause_count"] == paused, f"vCPU {v}: paused and not parked, or the reverse"
            assert self.rules.cap_rule == CapRule.PAUSE or not credit["is_parked"]

    def nobody_idles_beside_its_own_queue(self):
        # What Credit guarantees: not that a pCPU idles only if no allowed vCPU waits anywhere (a tickle may go to
        # another one, a search may be too soon), but that it takes what waits in its own queue. Not so under 3.0.3: a
        # vCPU over its cap is below idle, and one that has paid its debt waits for a sort and the end of idle's slice.
        if self.rules.cap_rule == CapRule.PRIORITY:
            return
        for p in self.members - self.host_laws.pending:
            if self.host_laws.current[p] >= self.host_laws.num_guests:
                waiting = [v for v in self.queue(p) if self.credit_vcpus[v]["priority"] != PARKED]
                assert waiting == [], f"pCPU {p} idles beside its own queue {waiting}"

    def the_idle_mask_names_idle_pcpus(self):
        idle = bits(self.pool["idle"])
        runs_idle = {p for p in self.members if self.host_laws.current[p] >= self.host_laws.num_guests}
        assert idle <= runs_idle
        assert runs_idle - self.host_laws.pending <= idle

    def the_pool_s_size_is_known(self):
        assert self.pool["num_pcpus"] == len(self.members)
        assert self.pool["master"] == min(self.members, default=0)

    def __iter__(self):
        laws = [name for name in vars(CreditLaws) if not name.startswith("_") and name != "queue"]
        return (getattr(self, name) for name in laws)
