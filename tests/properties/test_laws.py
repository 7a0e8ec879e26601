"""Laws of a host under random operations and any scheduler: conservation of time and jobs, soundness of queues and
timers.

Each random history is lived by three hosts: one is traced, one is not and is run in many small steps, and the third
comes anew out of a snapshot or a pickle now and then. They must agree to the last bit.
"""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.properties.subjects import SUBJECTS
from tests.properties.three_hosts import MS, US, ThreeHosts, lengths_ns
from xengym.guests.cpu import HogKind, ListKind, OnOffKind, PeriodicKind
from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.guests.process import ProcessKind
from xengym.guests.programs import (
    Hog,
    Memory,
    OnOff,
    Periodic,
    Process,
    Replay,
    Server,
    WorkList,
    Xenbaked,
    hot_and_cold,
)
from xengym.guests.server import ReplayKind, ServerKind
from xengym.guests.xenbaked import XenbakedKind
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.costs import Costs
from xengym.machine.memory_costs import MemoryCosts
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.topology import Topology
from xengym.sim.random import DistributionSpec

MAX_DOMAINS = 5
MAX_VCPUS = 12
#: Page frames of the host: too few for the largest domains together.
HOST_PAGES = 12_000
PAUSE_BLOCKED = 1

topologies = st.sampled_from(
    [
        Topology.flat(1),
        Topology.flat(2),
        Topology.flat(3),
        Topology.flat(6),
        Topology(threads_per_core=2),
        Topology(cores_per_socket=2, threads_per_core=2),
        Topology(sockets=2, cores_per_socket=2),
        Topology(sockets=3, cores_per_socket=1, threads_per_core=2),
    ]
)
# Lengths that collide with each other, with ticks and with slices, and some that do not.
# Guests work for so long at least: a hypervisor is asked a million times a second by one that yields after each
# microsecond.
SHORTEST = 50 * US
work_ns = st.one_of(st.sampled_from([100 * US, MS, 5 * MS, 10 * MS, 30 * MS]), st.integers(SHORTEST, 40 * MS))
means_ns = st.integers(SHORTEST, 20 * MS)
distributions = st.one_of(
    st.builds(DistributionSpec, st.sampled_from(["constant", "exponential"]), means_ns),
    st.builds(DistributionSpec, st.just("uniform"), means_ns, st.floats(0, 1)),
    st.builds(DistributionSpec, st.just("pareto"), means_ns, st.floats(1.1, 5)),
    st.builds(DistributionSpec, st.just("lognormal"), means_ns, st.floats(0, 2)),
)
pairs = st.tuples(work_ns, st.one_of(st.sampled_from([-1, 0]), lengths_ns))
closed_programs = st.one_of(
    st.just(Hog()),
    st.builds(Periodic, work_ns, work_ns, lengths_ns),
    st.builds(WorkList, st.lists(pairs, min_size=1, max_size=3).map(tuple), st.booleans()),
    st.builds(OnOff, distributions, st.one_of(distributions, st.just(DistributionSpec("constant", 0)))),
    st.builds(
        Process, st.just((("fork", 1.0), ("page_fault", 2.0))), st.sampled_from([0, 200, 5000]), st.integers(50, 500)
    ),
    st.builds(Xenbaked, st.sampled_from([MS, 10 * MS]), st.integers(0, 1000), st.integers(SHORTEST, MS)),
)
open_programs = st.one_of(
    st.builds(
        Memory,
        distributions,
        distributions,
        st.lists(st.tuples(work_ns, st.integers(1, 6000)), min_size=1, max_size=3).map(tuple),
        st.sampled_from([hot_and_cold(1000, 0.2, 0.8), hot_and_cold(1000, 0.5, 0.5), MemoryModel((Region(7, 1.0),))]),
        st.sampled_from([1, 40, 3000]),
        st.sampled_from([0.0, 0.5]),
        st.booleans(),
    ),
    st.builds(Server, distributions, distributions),
    st.builds(
        lambda samples, spread: Replay(np.array(samples, dtype=np.uint8), sample_ns=15 * MS, spread=spread),
        st.lists(st.integers(0, 100), min_size=1, max_size=4),
        st.sampled_from([0.0, 0.7]),
    ),
)


class Histories(ThreeHosts):
    assert_laws = None
    subject_names = tuple(SUBJECTS)

    @initialize(
        data=st.data(),
        topology=topologies,
        costs=st.sampled_from([None, Costs(), Costs(3_000, 20_000), Costs(3_000, 20_000, 0.4, 150)]),
        seed=st.integers(0, 2**64 - 1),
    )
    def build(self, data, topology, costs, seed):
        subject, make_scheduler = self.a_scheduler(data)
        self.subjects = {0: subject}

        def make():
            kinds = [
                HogKind(), PeriodicKind(), ListKind(), OnOffKind(), ServerKind(3), ReplayKind(3), ProcessKind(),
                XenbakedKind(), MemoryWorkerKind(3),
            ]  # fmt: skip
            return Host(
                topology,
                make_scheduler(),
                kinds,
                costs=costs,
                max_domains=MAX_DOMAINS,
                max_vcpus=MAX_VCPUS,
                seed=seed,
                memory_pages=HOST_PAGES,
                memory_costs=MemoryCosts(retry_ns=20 * MS, swap_in_ns=300 * US),
            )

        self.make = make
        self.hosts = [make() for _ in range(3)]
        self.hosts[0].start_trace(ring=64)
        self.gone_running_ns = 0
        self.paused = {}
        self.next_domid = 0
        # Few short histories would come to two domains that compete if each had to be created by a rule.
        for _ in range(data.draw(st.integers(1, 3))):
            self.create_domain(data, start_ns=0)

    def domids(self):
        domains = self.host.sections["domain"]
        return domains["domid"][domains["in_use"] == 1].tolist()

    def on_all(self, operation):
        """Do the same to each host; they must answer alike."""
        return self.answers_of(operation)[0]

    def a_scheduler(self, data):
        """A subject, and a function that makes its scheduler with options drawn once."""
        subject = SUBJECTS[data.draw(st.sampled_from(self.subject_names))]
        options = data.draw(subject.options)
        return subject, lambda: subject.make(**options)

    def subject_of(self, domid):
        return self.subjects[Poolctl(self.host).pool_of(domid)]

    def pcpu_sets(self, data):
        return data.draw(st.sets(st.integers(0, self.host.num_pcpus - 1), min_size=1).map(sorted))

    def a_vcpu(self, data):
        """``(domid, vcpu in the domain, its number)``."""
        domid = data.draw(st.sampled_from(self.domids()))
        slot = Poolctl(self.host).slot(domid)
        vcpu = data.draw(st.integers(0, int(self.host.sections["domain"]["num_vcpus"][slot]) - 1))
        return domid, vcpu, int(self.host.sections["domain"]["first_vcpu"][slot]) + vcpu

    has_domains = precondition(lambda self: len(self.domids()) > 0)

    @rule(data=st.data(), delay_ns=st.one_of(st.just(0), lengths_ns))
    def create(self, data, delay_ns):
        self.create_domain(data, self.host.now_ns + delay_ns)

    def create_domain(self, data, start_ns):
        num_vcpus = data.draw(st.integers(1, 4))
        if data.draw(st.booleans()):
            programs = [data.draw(open_programs)] * num_vcpus
        else:
            programs = data.draw(st.lists(closed_programs, min_size=num_vcpus, max_size=num_vcpus))
        how = data.draw(st.sampled_from(["anywhere", "placed", "hard", "soft"]))
        place = {}
        if how == "placed":
            place = {"pcpus": [data.draw(st.integers(0, self.host.num_pcpus - 1)) for _ in programs]}
        elif how != "anywhere":
            place = {f"{how}_affinity": self.pcpu_sets(data)}
        pool = data.draw(st.sampled_from(sorted(self.subjects)))
        given = data.draw(self.subjects[pool].params)
        is_hvm = data.draw(st.booleans())
        memory = {}
        if data.draw(st.booleans()):
            pages = data.draw(st.integers(1, HOST_PAGES // 2))
            memory = {"memory_pages": pages, "max_memory_pages": data.draw(st.integers(pages, HOST_PAGES))}
            memory["min_memory_pages"] = data.draw(st.integers(0, pages))
        domid = self.next_domid
        self.next_domid += 1
        before = self.host.digest()
        answer = self.on_all(
            lambda host: Poolctl(host).create_domain(
                domid,
                programs,
                num_vcpus=num_vcpus,
                params=given,
                start_ns=start_ns,
                pool=pool,
                is_hvm=is_hvm,
                **place,
                **memory,
            )
        )
        if isinstance(answer, str):
            reasons = (
                "maximum of",
                "no room",
                "its hard affinity names no pCPU",
                "is not among pCPUs",
                ", scheduler ",
                "pages, but",
            )
            assert any(reason in answer for reason in reasons), answer
            assert self.host.digest() == before
        else:
            self.paused[domid] = 0

    @has_domains
    @rule(data=st.data())
    def destroy(self, data):
        domid = data.draw(st.sampled_from(self.domids()))
        slot = Poolctl(self.host).slot(domid)
        first, count = self.host.sections["domain"][["first_vcpu", "num_vcpus"]][slot].tolist()
        self.gone_running_ns += sum(self.host.runstate_ns(v)["running"] for v in range(first, first + count))
        self.on_all(lambda host: Poolctl(host).destroy_domain(domid))
        del self.paused[domid]

    @has_domains
    @rule(data=st.data())
    def pause(self, data):
        domid = data.draw(st.sampled_from(self.domids()))
        self.on_all(lambda host: Poolctl(host).pause_domain(domid))
        self.paused[domid] += 1

    @precondition(lambda self: any(self.paused.values()))
    @rule(data=st.data())
    def unpause(self, data):
        domid = data.draw(st.sampled_from([domid for domid, count in self.paused.items() if count]))
        self.on_all(lambda host: Poolctl(host).unpause_domain(domid))
        self.paused[domid] -= 1

    @has_domains
    @rule(data=st.data(), online=st.booleans())
    def hot_plug(self, data, online):
        domid, vcpu, _ = self.a_vcpu(data)
        self.on_all(lambda host: Poolctl(host).set_vcpu_online(domid, vcpu, online))

    @has_domains
    @rule(data=st.data(), which=st.sampled_from(["hard", "soft"]))
    def move(self, data, which):
        domid, vcpu, _ = self.a_vcpu(data)
        masks = {which: self.pcpu_sets(data)}
        answer = self.on_all(lambda host: Poolctl(host).set_affinity(domid, vcpu, **masks))
        if answer is None:
            assert Poolctl(self.host).affinity(domid, vcpu)[which == "soft"] == masks[which]
        else:
            assert "its hard affinity names no pCPU of cpupool" in answer

    @has_domains
    @rule(data=st.data())
    def adjust(self, data):
        domid = data.draw(st.sampled_from(self.domids()))
        given = data.draw(self.subject_of(domid).params)
        before = Poolctl(self.host).domain_params(domid)
        answer = self.on_all(lambda host: Poolctl(host).adjust_domain(domid, **given))
        if answer is not None:
            assert Poolctl(self.host).domain_params(domid) == before

    @rule(data=st.data())
    def adjust_scheduler(self, data):
        pool = data.draw(st.sampled_from(sorted(self.subjects)))
        given = data.draw(self.subjects[pool].adjust)
        self.on_all(lambda host: Poolctl(host).adjust_scheduler(pool=pool, **given))

    @has_domains
    @rule(data=st.data(), part=st.floats(0, 1), repeats=st.integers(1, 2))
    def balloon(self, data, part, repeats):
        domid = data.draw(st.sampled_from(self.domids()))
        memory = Poolctl(self.host).memory(domid)
        target = memory["floor_pages"] + round(part * (memory["max_pages"] - memory["floor_pages"]))
        for _ in range(repeats):
            answer = self.on_all(lambda host: Poolctl(host).set_memory_target(domid, target))
        assert answer is None or memory["max_pages"] == 0

    # -- cpupools ------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def create_pool(self, data):
        subject, make_scheduler = self.a_scheduler(data)
        answer = self.on_all(lambda host: Poolctl(host).create_pool(make_scheduler()))
        if isinstance(answer, int):
            self.subjects[answer] = subject
        else:
            assert "its maximum of" in answer

    @precondition(lambda self: len(self.subjects) > 1)
    @rule(data=st.data())
    def destroy_pool(self, data):
        pool = data.draw(st.sampled_from(sorted(set(self.subjects) - {0})))
        answer = self.on_all(lambda host: Poolctl(host).destroy_pool(pool))
        if answer is None:
            del self.subjects[pool]
        else:
            assert "move them first" in answer

    @rule(data=st.data())
    def move_pcpu(self, data):
        """Out of the pool that it is in; or into one."""
        pcpu = data.draw(st.integers(0, self.host.num_pcpus - 1))
        if any(pcpu in members for members in Poolctl(self.host).pools().values()):
            answer = self.on_all(lambda host: Poolctl(host).remove_pcpu(pcpu))
            assert isinstance(answer, list) or "is the last of cpupool" in answer
        else:
            pool = data.draw(st.sampled_from(sorted(self.subjects)))
            self.on_all(lambda host: Poolctl(host).add_pcpu(pool, pcpu))

    @has_domains
    @rule(data=st.data())
    def move_domain(self, data):
        domid = data.draw(st.sampled_from(self.domids()))
        pool = data.draw(st.sampled_from(sorted(self.subjects)))
        before = self.times()
        answer = self.on_all(lambda host: Poolctl(host).move_domain(domid, pool))
        assert not isinstance(answer, str) or "has no pCPU on which" in answer
        assert self.times() == before, "a move took time"

    @rule(data=st.data())
    def change_scheduler(self, data):
        pool = data.draw(st.sampled_from(sorted(self.subjects)))
        subject, make_scheduler = self.a_scheduler(data)
        before = self.times()
        carried = self.on_all(lambda host: Poolctl(host).change_scheduler(make_scheduler(), pool=pool))
        assert sorted(carried) == sorted(d for d in self.domids() if Poolctl(self.host).pool_of(d) == pool)
        self.subjects[pool] = subject
        assert self.times() == before, "a change of scheduler took time"

    def times(self):
        """Time in each runstate of every vCPU but of the idle ones."""
        in_use = np.flatnonzero(self.host.sections["vcpu"]["in_use"][:MAX_VCPUS])
        return [self.host.runstate_ns(int(v)) for v in in_use]

    # -- guests --------------------------------------------------------------------------------------------------

    @has_domains
    @rule(data=st.data())
    def send_event(self, data):
        *_, number = self.a_vcpu(data)
        self.on_all(lambda host: host.send_event(number))

    @rule(data=st.data(), timeout_ns=st.one_of(st.none(), st.just(-1), lengths_ns))
    def block(self, data, timeout_ns):
        vcpus = self.host.sections["vcpu"]
        running = [v for v in self.host.sections["pcpu"]["curr"].tolist() if v < MAX_VCPUS]
        running = [v for v in running if not vcpus["pause_flags"][v] & PAUSE_BLOCKED]
        if running:
            number = data.draw(st.sampled_from(running))
            if timeout_ns is None:
                self.on_all(lambda host: host.block_vcpu(number))
            else:
                self.on_all(lambda host: host.poll_vcpu(number, timeout_ns))

    @has_domains
    @rule(data=st.data(), packets=st.integers(0, 50), served_ns=st.integers(0, 20 * MS), is_backend=st.booleans())
    def communicate(self, data, packets, served_ns, is_backend):
        """A domain's record of input and output changes, as devices would change it: schedulers may read it."""
        slot = Poolctl(self.host).slot(data.draw(st.sampled_from(self.domids())))
        kind = data.draw(st.sampled_from(["rx", "tx"]))
        for host in self.hosts:
            io = host.sections["domain_io"]
            io["is_backend"][slot] = is_backend
            io["served_ns"][slot] += served_ns
            io["page_exchanges"][slot] += packets
            io[f"{kind}_packets"][slot] += packets
            io[f"{kind}_pending"][slot] = packets % 7
            if kind == "tx":
                io["prev_tx_at_ns"][slot] = io["last_tx_at_ns"][slot]
                io["last_tx_at_ns"][slot] = host.now_ns

    @rule(length_ns=lengths_ns, cuts=st.integers(1, 9))
    def run(self, length_ns, cuts):
        self.run_for(length_ns, cuts)

    @rule(length_ns=st.integers(100 * MS, 1000 * MS))
    def run_long(self, length_ns):
        self.run_for(length_ns, 2)


def histories(assert_laws, *names):
    """The state machine with the laws to check, over some of the schedulers."""
    machine = Histories()
    machine.assert_laws = assert_laws
    machine.subject_names = names or tuple(SUBJECTS)
    return machine


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_laws_hold_under_every_scheduler(assert_laws, name):
    run_state_machine_as_test(
        lambda: histories(assert_laws, name),
        settings=settings(max_examples=settings.default.max_examples // 3, stateful_step_count=30),
    )


def test_the_laws_hold_when_schedulers_change_into_each_other(assert_laws):
    run_state_machine_as_test(
        lambda: histories(assert_laws),
        settings=settings(max_examples=settings.default.max_examples, stateful_step_count=30),
    )


@pytest.mark.slow
def test_the_laws_hold_in_many_long_histories(assert_laws):
    run_state_machine_as_test(
        lambda: histories(assert_laws),
        settings=settings(max_examples=10 * settings.default.max_examples, stateful_step_count=60),
    )
