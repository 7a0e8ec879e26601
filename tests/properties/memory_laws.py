"""The laws of a host's memory on a host at rest between two calls: every page frame has one owner or none."""

NEVER = 2**63 - 1


class MemoryLaws:
    """One look at a host; each public method is a law."""

    def __init__(self, host):
        sections = host.sections
        self.host_memory = sections["host_memory"][0]
        self.memory = sections["memory"]
        self.domains = sections["domain"]
        self.vcpus = sections["vcpu"]
        self.slots = [int(d) for d in self.domains["in_use"].nonzero()[0]]
        max_vcpus = len(sections["guest_kind"])
        # Timers of the balloons come after those of pCPUs, pools, vCPUs and domains (`machine/state`).
        first = 3 * host.num_pcpus + len(sections["pool"]) + max_vcpus + 3 * len(self.domains)
        self.timers_ns = sections["timer"]["at_ns"][first : first + len(self.domains)]

    def frames_are_conserved(self):
        assert self.memory["pages"].sum() + self.host_memory["free_pages"] == self.host_memory["pages"]
        assert self.host_memory["free_pages"] >= self.host_memory["lent_pages"] >= 0
        assert self.memory["lent_pages"].sum() == self.host_memory["lent_pages"]

    def nobody_has_more_than_its_maximum_or_less_than_its_floor(self):
        for d in self.slots:
            memory = self.memory[d]
            own = memory["pages"] + memory["lent_pages"]
            assert memory["floor_pages"] <= own <= memory["max_pages"], f"domain slot {d}: {own} pages"
            assert memory["pages"] >= 0 <= memory["lent_pages"]

    def what_balloons_moved_is_what_domains_have(self):
        for d in self.slots:
            memory = self.memory[d]
            moved = int(memory["deflated_pages"]) - int(memory["inflated_pages"])
            assert memory["pages"] + memory["lent_pages"] == memory["initial_pages"] + moved, f"domain slot {d}"

    def an_empty_slot_has_no_memory(self):
        for d in set(range(len(self.domains))) - set(self.slots):
            assert not any(self.memory[d].tobytes()), f"domain slot {d} is not empty"

    def a_working_set_is_in_memory_on_the_disk_or_untouched(self):
        for d in self.slots:
            memory = self.memory[d]
            room = max(0, int(memory["pages"]) - int(memory["floor_pages"]))
            assert 0 <= memory["resident_pages"] <= room, f"domain slot {d}: more is resident than there is room"
            assert memory["swapped_pages"] >= 0
            if memory["wanted_pages"]:
                there = memory["resident_pages"] + memory["swapped_pages"] + memory["floor_pages"]
                assert there <= memory["wanted_pages"], f"domain slot {d}: a page is in two places"

    def a_balloon_that_is_not_at_its_target_works_or_waits(self):
        for d in self.slots:
            memory, first = self.memory[d], int(self.domains["first_vcpu"][d])
            works = bool(self.vcpus["in_kernel"][first])
            waits = bool(memory["is_retrying"])
            assert works == (memory["batch_pages"] != 0), f"domain slot {d}"
            assert waits == (self.timers_ns[d] != NEVER), f"domain slot {d}"
            assert not (works and waits)
            others = self.vcpus["in_kernel"][first + 1 : first + int(self.domains["num_vcpus"][d])]
            assert not others.any(), "a balloon driver runs on another than the first vCPU"
            there = memory["pages"] + memory["lent_pages"] == memory["target_pages"]
            assert there or works or waits or not self.vcpus["has_started"][first], f"domain slot {d}: stands still"

    def __iter__(self):
        return (getattr(self, name) for name in vars(MemoryLaws) if not name.startswith("_"))
