"""Balloon drivers at work: batches, what they cost whom, what is refused, and that nothing is lost."""

import pickle

import pytest

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.process import ProcessKind
from xengym.guests.programs import Hog, Process, WorkList
from xengym.hypervisor.domctl import Domctl, PrivilegeError
from xengym.hypervisor.host import Host
from xengym.machine.memory_costs import FLOOR_PAGES, HOST_PAGES, MemoryCosts
from xengym.machine.privilege import OPERATIONS, Platform, PrivilegeCosts, price
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
BATCH = 2048
#: A batch of 2048 pages takes 2048 us and 2 us for its hypercall.
COSTS = MemoryCosts(hypercall_ns=2 * US, page_ns=US, retry_ns=50 * MS)
FULL_NS = 2050 * US


def make_host(num_pcpus=1, memory_pages=20_000, costs=COSTS):
    kinds = [HogKind(), ListKind(), ProcessKind()]
    host = Host(
        Topology.flat(num_pcpus), CreditScheduler("3.2"), kinds, memory_pages=memory_pages, memory_costs=costs
    )  # fmt: skip
    host.start_trace()
    return host, Domctl(host)


def free(host):
    return int(host.sections["host_memory"]["free_pages"][0])


def batches(host):
    """``(at_us, vcpu, pages)`` of each that ended."""
    return [
        (at_ns / US, vcpu, value)
        for at_ns, value, vcpu, _, kind, _ in host.trace_records().tolist()
        if kind == TraceKind.BALLOON
    ]


class TestCreation:
    def test_a_domain_has_what_it_is_given_and_may_have_more(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=8000, max_memory_pages=12_000)
        memory = control.memory(1)
        assert (memory["pages"], memory["max_pages"], memory["target_pages"]) == (8000, 12_000, 8000)
        assert memory["floor_pages"] == FLOOR_PAGES
        assert free(host) == 12_000
        control.destroy_domain(1)
        assert free(host) == 20_000

    def test_memory_that_is_not_stated_does_not_count(self):
        host, control = make_host()
        control.create_domain(1, Hog())
        assert control.memory(1)["max_pages"] == 0
        assert free(host) == 20_000
        with pytest.raises(ValueError, match="domain 1 was created without memory that counts"):
            control.set_memory_target(1, 100)

    def test_a_small_domain_is_all_kernel(self):
        _, control = make_host()
        control.create_domain(1, Hog(), memory_pages=100)
        assert control.memory(1)["floor_pages"] == 100

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"memory_pages": 20_001}, "domain 2: needs 20001 pages, but 20000 are free"),
            ({"memory_pages": 100, "max_memory_pages": 99}, "max_memory_pages must be at least memory_pages 100"),
            ({"max_memory_pages": 99}, "and 0 with 0, found 99"),
            ({"memory_pages": -1}, "memory_pages must be an integer 0"),
            ({"memory_pages": 1.5}, "memory_pages must be an integer"),
            ({"memory_pages": 10, "min_memory_pages": -1}, "min_memory_pages must be an integer"),
        ],
    )
    def test_the_impossible_is_refused_and_changes_nothing(self, arguments, message):
        host, control = make_host()
        before = host.digest()
        with pytest.raises(ValueError, match=message):
            control.create_domain(2, Hog(), **arguments)
        assert host.digest() == before

    def test_a_host_has_4_gib_unless_it_is_said(self):
        host = Host(Topology.flat(1), CreditScheduler("3.2"), [HogKind()])
        assert free(host) == HOST_PAGES == 4 * 2**30 // 4096

    @pytest.mark.parametrize("pages", [0, True, 1.0, 2**32 + 1])
    def test_a_host_needs_memory(self, pages):
        with pytest.raises(ValueError, match="memory_pages must be an integer"):
            Host(Topology.flat(1), CreditScheduler("3.2"), [HogKind()], memory_pages=pages)

    @pytest.mark.parametrize("costs", [{"page_ns": -1}, {"retry_ns": 0}, {"swap_in_ns": 1.5}])
    def test_costs_are_checked(self, costs):
        with pytest.raises(ValueError, match="must be an integer"):
            MemoryCosts(**costs)


class TestTargets:
    def test_a_busy_domain_gives_pages_back_in_batches_with_its_own_time(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 10_000 - 5000)
        host.run_until(20 * MS)
        rest_ns = 2 * US + (5000 - 2 * BATCH) * US
        expected_us = [1000 + FULL_NS / US, 1000 + 2 * FULL_NS / US, 1000 + (2 * FULL_NS + rest_ns) / US]
        assert batches(host) == [
            (at_us, 0, pages) for at_us, pages in zip(expected_us, (-BATCH, -BATCH, -(5000 - 2 * BATCH)), strict=True)
        ]
        memory = control.memory(1)
        assert (memory["pages"], memory["inflated_pages"], memory["hypercalls"]) == (5000, 5000, 3)
        assert memory["balloon_ns"] == 2 * FULL_NS + rest_ns == host.sections["vcpu"]["overhead_ns"][0]
        assert host.sections["vcpu"]["hypercalls"][0] == 3
        assert free(host) == 15_000

    def test_pages_change_hands_at_a_batchs_end(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 9000)
        host.run_until(MS + 1002 * US - 1, inclusive=True)
        assert free(host) == 10_000
        host.run_until(MS + 1002 * US, inclusive=True)
        assert free(host) == 11_000

    def test_the_program_goes_on_where_it_was(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((10 * MS, 10 * MS),)), memory_pages=10_000)
        host.run_until(4 * MS)
        control.set_memory_target(1, 10_000 - BATCH)
        host.run_until(30 * MS)
        ends = [at_ns for at_ns, *_, kind, _ in host.trace_records().tolist() if kind == TraceKind.SEGMENT]
        assert ends == [10 * MS + FULL_NS]

    def test_a_domain_that_sleeps_is_woken_and_sleeps_on(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((MS, 100 * MS),)), memory_pages=10_000)
        host.run_until(20 * MS)
        control.set_memory_target(1, 10_000 - BATCH)
        host.run_until(90 * MS)
        times = host.runstate_ns(0)
        assert times["running"] == MS + FULL_NS
        assert batches(host) == [(20_000 + FULL_NS / US, 0, -BATCH)]
        host.run_until(110 * MS)  # its own timer comes when it would have come
        assert host.runstate_ns(0)["running"] == 2 * MS + FULL_NS

    def test_work_that_arrives_meanwhile_comes_after_the_kernels(self):
        host, control = make_host()
        control.create_domain(1, WorkList(((MS, 19 * MS),)), memory_pages=10_000)
        host.run_until(19_500 * US)  # half a millisecond before its timer
        control.set_memory_target(1, 10_000 - BATCH)
        host.run_until(30 * MS)
        ends = [at_ns for at_ns, *_, kind, _ in host.trace_records().tolist() if kind == TraceKind.SEGMENT]
        assert ends == [MS, 19_500 * US + FULL_NS + MS]

    def test_a_busy_pcpu_makes_the_balloon_wait(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=5000)
        control.create_domain(2, Hog(), memory_pages=5000)
        host.run_until(5 * MS)
        waiting = 2 if host.sections["pcpu"]["curr"][0] == 0 else 1
        control.set_memory_target(waiting, 4000)
        host.run_until(29 * MS)
        assert batches(host) == []
        host.run_until(70 * MS)
        ((at_us, _, pages),) = batches(host)
        assert pages == -1000
        assert at_us > 30_000

    def test_who_asks_gets_what_is_free_and_the_rest_when_there_is_some(self):
        host, control = make_host(num_pcpus=2)
        control.create_domain(1, Hog(), memory_pages=10_000, max_memory_pages=15_000)
        control.create_domain(2, Hog(), memory_pages=9000)
        host.run_until(MS)
        control.set_memory_target(1, 14_000)
        host.run_until(30 * MS)
        assert control.memory(1)["pages"] == 11_000
        assert free(host) == 0
        assert control.memory(1)["refused"] == 1
        control.set_memory_target(2, 5000)
        host.run_until(50 * MS)
        assert (control.memory(1)["pages"], free(host)) == (11_000, 4000)  # it does not hear of that
        host.run_until(120 * MS)  # but it asks again
        assert (control.memory(1)["pages"], free(host)) == (14_000, 1000)
        assert control.memory(1)["refused"] == 1

    def test_it_asks_again_and_again(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000, max_memory_pages=30_000)
        control.create_domain(2, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 20_000)
        host.run_until(MS + 175 * MS)
        assert control.memory(1)["refused"] == 4
        control.set_memory_target(1, 10_000)  # it gives up
        host.run_until(SECOND)
        assert control.memory(1)["refused"] == 4

    def test_a_new_target_counts_at_once(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 2048)
        host.run_until(2 * MS)
        control.set_memory_target(1, 10_000)
        host.run_until(20 * MS)
        # The batch under way ends, and is taken back.
        assert [pages for *_, pages in batches(host)] == [-BATCH, BATCH]

    def test_a_domain_that_has_not_started_does_it_when_it_starts(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000, start_ns=10 * MS)
        control.set_memory_target(1, 9000)
        host.run_until(9 * MS)
        assert free(host) == 10_000
        host.run_until(20 * MS)
        assert free(host) == 11_000

    @pytest.mark.parametrize("pages", [FLOOR_PAGES - 1, 12_001, -5, 3000.0, True])
    def test_targets_lie_between_floor_and_maximum(self, pages):
        _, control = make_host()
        control.create_domain(1, Hog(), memory_pages=8000, max_memory_pages=12_000)
        with pytest.raises(ValueError, match=r"domain 1: memory target must be 2048..12000 pages, found"):
            control.set_memory_target(1, pages)

    def test_only_the_privileged_may_ask(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=8000)
        with pytest.raises(PrivilegeError, match="domain 1 is not privileged"):
            Domctl(host, 1).set_memory_target(1, 4000)

    def test_a_domain_that_goes_in_the_middle_leaves_nothing_behind(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 4000)
        host.run_until(4 * MS)
        control.destroy_domain(1)
        assert free(host) == 20_000
        control.create_domain(2, Hog(), memory_pages=10_000)
        host.run_until(100 * MS)
        assert control.memory(2)["pages"] == 10_000

    def test_a_snapshot_in_the_middle_goes_on_identically(self):
        host, control = make_host()
        control.create_domain(1, Hog(), memory_pages=10_000)
        host.run_until(MS)
        control.set_memory_target(1, 4000)
        host.run_until(4 * MS)
        copy = pickle.loads(pickle.dumps(host))
        assert copy == host
        for one in (host, copy):
            one.run_until(50 * MS)
        assert copy.digest() == host.digest()
        assert free(copy) == 16_000


class TestProcesses:
    def test_a_forks_tables_are_released_at_its_end_and_its_updates_counted(self):
        host = make_host()[0]
        Domctl(host).create_domain(1, Process((("fork", 1.0),), ops_per_s=100, burst_ops=4), memory_pages=5000)
        host.run_until(500 * US)
        memory = Domctl(host).memory(1)
        assert (memory["table_pages"], memory["table_pins"]) == (4, 0)
        host.run_until(10 * MS)
        memory = Domctl(host).memory(1)
        # 100 updates in batches and 40 page faults; four tables pinned and released: `machine.privilege`.
        assert (memory["table_pages"], memory["table_pins"], memory["table_updates"]) == (0, 4 * 8, 4 * 140)

    def test_a_fully_virtualised_guest_has_no_typed_frames(self):
        host = make_host()[0]
        Domctl(host).create_domain(1, Process((("fork", 1.0),)), memory_pages=5000, is_hvm=True)
        host.run_until(10 * MS)
        memory = Domctl(host).memory(1)
        assert (memory["table_pages"], memory["table_pins"], memory["table_updates"]) == (0, 0, 0)


def test_the_default_costs_are_those_of_the_paper():
    costs = MemoryCosts()
    assert costs.hypercall_ns == 1970 - 770
    assert abs(costs.page_ns - (2730 - 1420) / 2) < 10
    # The same fault, as `machine.privilege` has it: an entry, and an entry with a validated update.
    units = PrivilegeCosts()
    extra_ns = price(OPERATIONS["page_fault"], Platform.PV).time_ns - OPERATIONS["page_fault"].native_ns
    assert extra_ns == 2 * units.entry_ns + units.validate_ns == 1310
