"""Programs that work on memory: what misses, what it costs, and that a guest without enough of it slows down."""

import pickle

import numpy as np
import pytest

from xengym.guests.cpu import HogKind
from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.guests.programs import Hog, Memory, hot_and_cold
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.memory_costs import MemoryCosts, swap_in_ns, swap_out_ns, transfer_ns
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.privilege import OPERATIONS, Platform, price
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
FLOOR = 2048
FAULT_NS = price(OPERATIONS["page_fault"], Platform.PV).time_ns
#: A read takes 4 ms, a page beside it 100 us, a write 200 us.
COSTS = MemoryCosts(swap_in_ns=4 * MS, swap_ahead_ns=100 * US, swap_out_ns=200 * US)
EVEN = MemoryModel((Region(1000, 1.0),))


def constant(ms):
    return DistributionSpec("constant", ms * MS)


def exponential(ms):
    return DistributionSpec("exponential", ms * MS)


#: A request of 10 ms every 100 ms.
EVERY, LONG = constant(100), constant(10)


def program(*phases, arrival=EVERY, service=LONG, model=EVEN, **others):
    return Memory(arrival, service, phases, model, **others)


def make_host(spec, *, pages, num_pcpus=1, memory_pages=100_000, seed=0, costs=COSTS, **arguments):
    kinds = [HogKind(), MemoryWorkerKind()]
    host = Host(
        Topology.flat(num_pcpus),
        CreditScheduler("4.5"),
        kinds,
        memory_pages=memory_pages,
        memory_costs=costs,
        seed=seed,
    )
    Domctl(host).create_domain(1, spec, memory_pages=FLOOR + pages, **arguments)
    return host


def memory(host, slot=0):
    return Domctl(host).memory(int(host.sections["domain"]["domid"][slot]))


def mean_response_ms(host, slot=0):
    domain = host.sections["domain"][slot]
    return domain["response_ns"] / domain["jobs_done"] / MS


class TestWithEnough:
    def test_it_is_a_server(self):
        host = make_host(program((SECOND, 1000)), pages=1000)
        host.run_until(SECOND, inclusive=True)
        domain = host.sections["domain"][0]
        assert (domain["jobs_submitted"], domain["jobs_done"]) == (10, 9)
        assert domain["response_ns"] == 9 * 10 * MS
        assert memory(host)["major_faults"] == memory(host)["minor_faults"] == 0
        assert memory(host)["wanted_pages"] == FLOOR + 1000
        assert memory(host)["table_pages"] == 2

    def test_it_is_given_the_most_that_it_wants_unless_it_is_said(self):
        host = Host(Topology.flat(1), CreditScheduler("4.5"), [MemoryWorkerKind()])
        Domctl(host).create_domain(1, program((SECOND, 1000), (SECOND, 3000)))
        assert memory(host)["pages"] == FLOOR + 3000

    def test_growth_costs_first_touches_and_no_disk(self):
        host = make_host(program((150 * MS, 1000), (SECOND, 2000), touches=100), pages=2000)
        host.run_until(205 * MS)
        # Half of the 100 pages that it touches are new.
        assert memory(host)["minor_faults"] == pytest.approx(50, abs=1)
        assert memory(host)["major_faults"] == 0
        assert host.sections["host_memory"]["swap_busy_ns"][0] == 0
        host.run_until(250 * MS)
        faults = memory(host)["minor_faults"]
        assert host.sections["domain"]["response_ns"][0] == 20 * MS + faults * FAULT_NS
        assert host.sections["vcpu"]["hypervisor_entries"][0] == 2 * faults


class TestWithTooLittle:
    def shrunk(self, **others):
        """A working set of 1000 pages of which 500 have been put out before the first request."""
        host = make_host(program((100 * SECOND, 1000), **others), pages=1000)
        host.run_until(MS)
        Domctl(host).set_memory_target(1, FLOOR + 500)
        host.run_until(50 * MS)
        return host

    def test_what_the_balloon_takes_goes_to_the_swap_disk_as_far_as_it_was_written_to(self):
        host = self.shrunk(write_frac=0.25)
        now = memory(host)
        assert (now["resident_pages"], now["swapped_pages"], now["evicted_pages"]) == (500, 500, 500)
        assert now["written_pages"] == pytest.approx(125, abs=1)
        assert host.sections["host_memory"]["swap_busy_ns"][0] == now["written_pages"] * 200 * US

    def test_a_request_waits_for_what_it_misses(self):
        # 8 touches, half of the pages resident: 4 faults, read in one wait between two halves of its CPU time.
        host = self.shrunk(touches=8, write_frac=0.0)
        host.run_until(105 * MS)
        assert (memory(host)["major_faults"], memory(host)["swap_wait_ns"]) == (4, 0)
        host.run_until(122 * MS)
        assert memory(host)["swap_wait_ns"] == 4 * 4 * MS
        host.run_until(150 * MS)
        assert host.sections["domain"]["response_ns"][0] == 10 * MS + 4 * FAULT_NS + 4 * 4 * MS
        # Where there is no room, what comes in puts another page out.
        assert memory(host)["resident_pages"] == 500
        assert memory(host)["evicted_pages"] == 504
        assert host.runstate_ns(0)["blocked"] > 16 * MS

    def test_reads_go_to_the_disk_eight_at_a_time(self):
        host = self.shrunk(touches=40, write_frac=0.0)
        host.run_until(199 * MS)
        # Twenty faults: three waits, four pieces of CPU time.
        assert host.sections["vcpu"]["segments"][0] >= 4
        response_ns = 10 * MS + 20 * FAULT_NS + 20 * 4 * MS
        assert host.sections["domain"]["response_ns"][0] == response_ns

    def test_when_there_is_room_again_neighbours_are_read_along(self):
        host = self.shrunk(touches=8, write_frac=0.0)
        Domctl(host).set_memory_target(1, FLOOR + 1000)
        host.run_until(150 * MS)
        now = memory(host)
        assert now["major_faults"] == 4
        assert now["ahead_pages"] == 4 * 7
        assert now["resident_pages"] == 500 + 4 + 28
        assert now["swap_wait_ns"] == 4 * 4 * MS + 28 * 100 * US

    def test_the_disk_serves_one_after_the_other(self):
        spec = program((100 * SECOND, 1000), touches=8, write_frac=0.0)
        host = Host(Topology.flat(2), CreditScheduler("4.5"), [MemoryWorkerKind()], memory_costs=COSTS)
        for domid in (1, 2):
            Domctl(host).create_domain(domid, spec, memory_pages=FLOOR + 1000)
        host.run_until(MS)
        for domid in (1, 2):
            Domctl(host).set_memory_target(domid, FLOOR + 500)
        host.run_until(200 * MS - 1)
        waits_ns = sorted(memory(host, slot)["swap_wait_ns"] for slot in (0, 1))
        assert waits_ns == [16 * MS, 32 * MS]

    def test_hot_pages_stay(self):
        # 200 hot pages have 80 % of the touches: with 600 of 1000 resident a half of the cold ones' 20 % misses.
        host = make_host(program((100 * SECOND, 1000), model=hot_and_cold(1000, 0.2, 0.8), touches=1000), pages=1000)
        host.run_until(MS)
        Domctl(host).set_memory_target(1, FLOOR + 600)
        host.run_until(105 * MS)
        assert memory(host)["major_faults"] == pytest.approx(100, abs=1)

    def test_without_any_room_everything_misses(self):
        host = make_host(program((100 * SECOND, 1000), touches=8, write_frac=0.0), pages=0)
        host.run_until(SECOND)
        now = memory(host)
        assert now["resident_pages"] == 0
        # At first they are touched for the first time, then they come from the disk.
        assert now["minor_faults"] > 0
        assert now["minor_faults"] + now["major_faults"] == 8 * host.sections["domain"]["jobs_done"][0] + 8 * (
            host.sections["memory_serving"][0] >= 0
        )

    def test_the_less_it_has_the_slower_it_is(self):
        load = {"arrival": exponential(50), "service": exponential(5), "touches": 60}
        responses, done = [], []
        for pages in (4000, 3000, 2500, 1500, 500):
            spec = program((100 * SECOND, 4000), model=hot_and_cold(4000, 0.25, 0.9), **load)
            host = make_host(spec, pages=pages, costs=MemoryCosts())
            host.run_until(60 * SECOND)
            responses.append(mean_response_ms(host))
            done.append(int(host.sections["domain"]["jobs_done"][0]))
        assert responses == sorted(responses)
        assert responses[-2] > 5 * responses[0]
        assert done[-1] < done[0]


class TestDemand:
    def test_phases_follow_each_other_round_and_round(self):
        host = make_host(program((100 * MS, 500), (200 * MS, 900)), pages=1000)
        wanted = []
        for at_ms in (50, 150, 290, 350, 450):
            host.run_until(at_ms * MS)
            wanted.append(memory(host)["wanted_pages"] - FLOOR)
        assert wanted == [500, 900, 900, 500, 900]

    def test_a_shrinking_working_set_frees_what_was_swapped_too(self):
        host = make_host(program((60 * MS, 1000), (SECOND, 400), write_frac=0.0), pages=1000)
        host.run_until(MS)
        Domctl(host).set_memory_target(1, FLOOR + 500)
        host.run_until(70 * MS)
        now = memory(host)
        assert now["swapped_pages"] == 200
        assert now["resident_pages"] == 200

    def test_lengths_vary_with_the_seed_and_repeat_with_it(self):
        def wanted(seed):
            spec = program((100 * MS, 500), (100 * MS, 900), spread=0.5, starts_anywhere=True)
            host = make_host(spec, pages=1000, seed=seed)
            values = []
            for at_ms in range(10, 1000, 10):
                host.run_until(at_ms * MS)
                values.append(memory(host)["wanted_pages"])
            return values

        assert wanted(1) == wanted(1) != wanted(2)
        shares = [np.mean(np.array(wanted(seed)) == FLOOR + 500) for seed in range(20)]
        assert 0.4 < np.mean(shares) < 0.6

    def test_demand_is_the_same_whatever_memory_it_has(self):
        def wanted(pages):
            spec = program((100 * MS, 500), (100 * MS, 900), spread=0.5, starts_anywhere=True, touches=40)
            host = make_host(spec, pages=pages, seed=4)
            values = []
            for at_ms in range(10, 2000, 10):
                host.run_until(at_ms * MS)
                values.append(memory(host)["wanted_pages"])
            return values, int(host.sections["domain"]["jobs_submitted"][0])

        assert wanted(1000) == wanted(300)

    def test_several_vcpus_share_the_queue(self):
        spec = program((100 * SECOND, 1000), arrival=constant(6))
        host = make_host(spec, pages=1000, num_pcpus=2, num_vcpus=2)
        host.run_until(SECOND)
        assert host.sections["domain"]["jobs_done"][0] > 150

    def test_a_hog_beside_it_does_not_get_its_waits(self):
        """While it waits for the disk the CPU is another's: the vCPU is blocked, not busy."""
        host = make_host(program((100 * SECOND, 1000), touches=80, write_frac=0.0), pages=500)
        Domctl(host).create_domain(2, Hog())
        host.run_until(5 * SECOND)
        assert host.runstate_ns(0)["blocked"] > 2 * SECOND
        assert host.runstate_ns(1)["running"] > 4 * SECOND

    def test_a_copy_in_the_middle_of_a_wait_goes_on_identically(self):
        host = make_host(program((100 * SECOND, 1000), touches=80), pages=500)
        host.run_until(SECOND + 123 * US)
        copy = pickle.loads(pickle.dumps(host))
        for one in (host, copy):
            one.run_until(3 * SECOND)
        assert copy.digest() == host.digest()


class TestSpecs:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"phases": ()}, "phases must be 1..16, found 0"),
            ({"phases": ((0, 5),)}, "phase 0 must be longer than 0 ns"),
            ({"phases": ((5, 0),)}, "phase 0 must have 1"),
            ({"touches": 0}, "touches must be 1"),
            ({"spread": 1.5}, "spread must be 0..1, found 1.5"),
            ({"write_frac": -0.1}, "write_frac must be 0..1"),
            ({"model": MemoryModel((Region(5),))}, "model must have a region that is touched"),
            ({"service": constant(0)}, "service must have a mean of at least 1 ns"),
        ],
    )
    def test_impossible_ones_are_refused(self, changes, message):
        given = {"arrival": constant(1), "service": constant(1), "phases": ((1, 1),), "model": EVEN, **changes}
        with pytest.raises(ValueError, match=message):
            Memory(**given)

    def test_its_vcpus_run_one_program(self):
        host = Host(Topology.flat(1), CreditScheduler("4.5"), [MemoryWorkerKind()])
        specs = [program((SECOND, 10)), program((SECOND, 10))]
        with pytest.raises(ValueError, match="a memory belongs to a whole domain"):
            Domctl(host).create_domain(1, specs, num_vcpus=2)


def test_the_swap_disk_is_the_disk_of_the_machine():
    # Command 0.1 ms, seek 0.5 + 7.9 * 8/15 * sqrt(0.06) = 1.53 ms, half a turn 3 ms, transfer 0.07 ms.
    assert swap_in_ns() == pytest.approx(4.7 * MS, rel=0.01)
    assert transfer_ns() == pytest.approx(4096 / 60e6 * 1e9, rel=0.001)
    assert transfer_ns() < swap_out_ns() < swap_in_ns() / 10
