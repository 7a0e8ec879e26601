"""Laws of input and output under random operations: no request, packet, page or nanosecond is lost uncounted.

As in ``test_laws``, each random history is lived by three hosts that must agree to the last bit: one is traced, one is
run in many small steps, and the third comes anew out of a snapshot or a pickle now and then.
"""

import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.properties.io_laws import IoLaws, Past
from tests.properties.subjects import SUBJECTS
from tests.properties.three_hosts import MS, US, ThreeHosts, lengths_ns
from xengym.guests.cpu import HogKind
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import NOTHING, Clients, Loop, Os, Service
from xengym.guests.programs import Hog
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.costs import Costs
from xengym.machine.io_costs import SPLIT_COSTS
from xengym.machine.topology import Topology
from xengym.sim.random import DistributionSpec

MAX_DOMAINS = 7
MAX_VCPUS = 12
#: Those that read a domain's input and output, and some that do not.
SCHEDULERS = ("credit", "credit2", "sedf", "sedf-dc", "share-guard", "communication-aware", "bvt-3.0.2", "rtds")
LIMITS = {
    "max_nics": 3, "max_vifs": 6, "max_flows": 24, "max_requests": 6, "max_loops": 3, "max_populations": 5,
    "max_clients": 16, "rto_ms": 200, "max_retries": 2,
}  # fmt: skip

times = st.just(NOTHING) | st.builds(
    DistributionSpec, st.sampled_from(["constant", "exponential"]), st.integers(1, 3 * MS), st.just(0.0)
)
gaps = st.builds(
    DistributionSpec, st.sampled_from(["constant", "exponential"]), st.integers(30 * US, 20 * MS), st.just(0.0)
)
services = st.builds(
    Service,
    before=times,
    after=times,
    sizes_bytes=st.sampled_from([((1.0, 100),), ((1.0, 1500), (2.0, 9000)), ((1.0, 200_000),)]),
    dynamic_frac=st.sampled_from([0.0, 0.5]),
    dynamic=times,
    # There is no disk here: such a request fails, and is reported so.
    disk_frac=st.sampled_from([0.0, 0.0, 0.3]),
    calls=st.integers(0, 3),
    call_bytes=st.sampled_from([100, 5000]),
    processes=st.integers(1, 4),
)
loops = st.builds(Loop, work=gaps, think=times, disk_frac=st.sampled_from([0.0, 0.0, 0.3]))
guests = st.builds(
    Os,
    service=st.none() | services,
    loops=st.lists(loops, max_size=1).map(tuple),
    background=st.sampled_from([False, False, False, True]),
    memory_pages=st.integers(1024, 4096),
    scans_round_robin=st.booleans(),
)
drivers = st.builds(Os, loops=st.lists(loops, max_size=1).map(tuple), scans_round_robin=st.booleans())
cards = st.fixed_dictionaries(
    {
        "mbit_per_s": st.sampled_from([10.0, 100.0, 1000.0]),
        "delay_ns": st.sampled_from([0, 50 * US, 20 * MS]),
        "irq_gap_ns": st.sampled_from([0, 20 * US, MS]),
        "rx_buffers": st.sampled_from([1, 4, 256]),
        "loss_frac": st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    }
)
interfaces = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["flip", "copy", "emulated"]),
        "mtu": st.sampled_from([576, 1500]),
        "is_offloading": st.booleans(),
        "first_index": st.sampled_from([0, 2**32 - 70, 2**32 - 1]),
    }
)
credits = st.sampled_from([(0, 0), (3000, 10 * MS), (100_000, 50 * MS)])
clients = st.builds(
    Clients,
    kind=st.sampled_from(["closed", "open", "stream", "flood", "ping"]),
    think=gaps,
    num=st.integers(1, 5),
    request_bytes=st.sampled_from([64, 300, 1500]),
    deadline_ns=st.sampled_from([0, 5 * MS]),
    window=st.sampled_from([1, 2, 32]),
)
servers = guests.flatmap(lambda spec: services.map(lambda service: replace(spec, service=service)))
askers = st.builds(Clients, kind=st.sampled_from(["closed", "open", "stream"]), think=gaps, num=st.integers(1, 5))
#: Else most of what is there would be gone after a few steps.
rarely = st.sampled_from([False, False, True])
masks = st.tuples(st.sampled_from(["port", "upcall"]), st.booleans())


class IoHistories(ThreeHosts):
    """Devices that another part brings along add their rules in a subclass, and their laws in one of ``IoLaws``."""

    assert_laws = None
    scheduler_names = SCHEDULERS
    laws = IoLaws

    @initialize(
        data=st.data(),
        num_pcpus=st.integers(1, 3),
        costs=st.sampled_from([None, Costs(3_000, 20_000)]),
        seed=st.integers(0, 2**64 - 1),
    )
    def build(self, data, num_pcpus, costs, seed):
        make_scheduler = self.a_scheduler(data)

        def make():
            kinds = [HogKind(), OsKind(SPLIT_COSTS, MAX_DOMAINS, MAX_VCPUS, **LIMITS)]
            return Host(
                Topology.flat(num_pcpus),
                make_scheduler(),
                kinds,
                costs=costs,
                max_domains=MAX_DOMAINS,
                max_vcpus=MAX_VCPUS,
                seed=seed,
            )

        self.make = make
        self.hosts = [make() for _ in range(3)]
        self.hosts[0].start_trace(ring=64)
        self.past = Past(MAX_DOMAINS)
        self.gone_running_ns = 0
        self.paused = {}
        self.next_domid = 0
        self.drivers = []
        self.lengths = itertools.repeat(0)
        for _ in range(data.draw(st.integers(1, 2))):
            self.create_driver(data)
        # Few short histories would come to much traffic if all of it had to come from rules.
        for _ in range(data.draw(st.integers(1, 3))):
            domid = self.create_domain(data, data.draw(servers))
            if domid is None:  # more loops than there is room for
                continue
            self.create_vif(data, domid)
            self.create_clients(data, data.draw(askers), domid)
            self.create_clients(data, data.draw(clients), domid)
            if domid > min(self.slots()) + 1:
                self.on_devices(lambda control, domid=domid: control.set_callee(domid - 1, domid))
        if data.draw(st.booleans()):
            self.transfer(data, 16, True)
        if data.draw(st.booleans()):
            self.on_all(lambda host: Poolctl(host).create_domain(90, Hog()))
        self.run_for(data.draw(st.integers(5 * MS, 100 * MS)), 2)
        self.lengths = itertools.cycle(data.draw(st.lists(st.just(0) | lengths_ns, min_size=5, max_size=5)))

    def on_all(self, operation, *, runs=True):
        """Do the same to each host and let some time pass; they must answer alike. A refusal changes nothing."""
        before = self.host.digest()
        answer, refused = self.answers_of(operation)
        assert not refused or self.host.digest() == before, f"a refusal changed something: {answer}"
        if runs:
            self.run_for(next(self.lengths), 1)
        return answer

    def a_scheduler(self, data):
        subject = SUBJECTS[data.draw(st.sampled_from(self.scheduler_names))]
        options = data.draw(subject.options)
        return lambda: subject.make(**options)

    # -- who is there --------------------------------------------------------------------------------------------

    def slots(self):
        """Slots of domains with an operating system, by their ids."""
        domains = self.host.sections["domain"]
        has_os = self.host.sections["os_domain"]["has_os"]
        return {int(domains["domid"][d]): int(d) for d in domains["in_use"].nonzero()[0] if has_os[d]}

    def a_domain(self, data, *, among=None):
        return data.draw(st.sampled_from(sorted(self.slots() if among is None else among)))

    def a_number(self, data, section):
        in_use = self.host.sections[section]["in_use"].nonzero()[0].tolist()
        return data.draw(st.sampled_from(in_use)) if in_use else None

    has_guests = precondition(lambda self: len(self.slots()) > len(self.drivers))
    has_drivers = precondition(lambda self: len(self.drivers) > 0)

    def create_domain(self, data, spec):
        domid, self.next_domid = self.next_domid, self.next_domid + 1
        served = Devctl(self.host).kind.served_ns()
        num_vcpus = data.draw(st.integers(1, 2))
        slot = self.on_all(
            lambda host: Poolctl(host).create_domain(domid, spec, num_vcpus=num_vcpus, is_privileged=domid == 0),
            runs=False,
        )
        if isinstance(slot, str):
            assert "maximum of" in slot or "no room" in slot
            return None
        self.past.domain_created(self.host, Devctl(self.host).kind, slot, served, spec)
        return domid

    def create_driver(self, data):
        domid = self.create_domain(data, data.draw(drivers))
        if domid is not None:
            self.drivers.append(domid)
            card = data.draw(cards)
            self.on_devices(lambda control: control.create_nic(domid, **card), runs=False)
            self.past.accounts_began_anew(self.host)

    def on_devices(self, operation, **options):
        return self.on_all(lambda host: operation(Devctl(host)), **options)

    # -- rules ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.drivers) < 3)
    @rule(data=st.data())
    def add_driver(self, data):
        self.create_driver(data)

    @rule(data=st.data())
    def create_guest(self, data):
        domid = self.create_domain(data, data.draw(guests))
        if domid is not None:
            self.create_vif(data, domid)

    @rule(data=st.data())
    def create_vif(self, data, domid=None):
        domid = self.a_domain(data) if domid is None and self.slots() else domid
        nic = self.a_number(data, "nic")
        options, (credit_bytes, credit_ns) = data.draw(interfaces), data.draw(credits)
        if domid is not None and nic is not None:
            answer = self.on_devices(
                lambda control: control.create_vif(
                    domid, nic=nic, credit_bytes=credit_bytes, credit_ns=credit_ns, **options
                )
            )
            assert isinstance(answer, int) or "no room" in answer or "back end of its own" in answer

    @rule(data=st.data(), really=rarely)
    def destroy_vif(self, data, really):
        vif = self.a_number(data, "vif")
        if vif is not None and really:
            self.on_devices(lambda control: control.destroy_vif(vif))

    @rule(data=st.data(), credit=credits)
    def set_credit(self, data, credit):
        vif = self.a_number(data, "vif")
        if vif is not None:
            self.on_devices(lambda control: control.set_vif_credit(vif, credit_bytes=credit[0], credit_ns=credit[1]))

    @has_guests
    @rule(data=st.data(), population=clients)
    def create_clients(self, data, population, domid=None):
        domid = self.a_domain(data) if domid is None else domid
        answer = self.on_devices(lambda control: control.create_clients(domid, population))
        assert isinstance(answer, int) or "no room" in answer or "leads outside" in answer

    @rule(data=st.data(), really=rarely)
    def remove_clients(self, data, really):
        populations = (self.host.sections["population"]["kind"] >= 0).nonzero()[0].tolist()
        if populations and really:
            number = data.draw(st.sampled_from(populations))
            self.on_devices(lambda control: control.kind.remove_population(number))

    @has_guests
    @rule(data=st.data(), window=st.sampled_from([1, 7, 64]), is_outgoing=st.booleans())
    def transfer(self, data, window, is_outgoing):
        one, other = self.a_domain(data), data.draw(st.none() | st.sampled_from(sorted(self.slots())))
        if one != other:
            ends = (one, other) if is_outgoing else (other, one)
            answer = self.on_devices(lambda control: control.create_transfer(*ends, window=window))
            assert isinstance(answer, int) or "no room" in answer or "leads outside" in answer

    @has_guests
    @rule(data=st.data())
    def set_callee(self, data):
        domids = self.a_domain(data), self.a_domain(data)
        if domids[0] < domids[1]:  # services that ask each other in a circle only wait
            self.on_devices(lambda control: control.set_callee(*domids))

    @has_guests
    @rule(data=st.data(), allowed=st.booleans())
    def set_traffic(self, data, allowed):
        domid = self.a_domain(data)
        self.on_devices(lambda control: control.set_traffic(domid, allowed))

    @has_guests
    @rule(data=st.data(), mask=masks, port=st.integers(0, 2))
    def mask(self, data, mask, port):
        d = self.slots()[self.a_domain(data)]
        what, masked = mask
        if what == "upcall":
            self.on_devices(lambda control: control.kind.set_upcall_masked(d, masked))
        else:
            self.on_devices(lambda control: control.kind.set_port_masked(d, port, masked))

    @has_drivers
    @rule(data=st.data(), down_ns=lengths_ns, boot_ns=st.just(0) | lengths_ns)
    def crash(self, data, down_ns, boot_ns):
        domid = self.a_domain(data, among=self.drivers)
        self.on_devices(lambda control: control.crash(domid, down_ns=down_ns, boot_ns=boot_ns))

    @rule(data=st.data(), really=rarely, may_be_driver=rarely)
    def destroy(self, data, really, may_be_driver):
        among = self.slots() if may_be_driver else self.slots().keys() - set(self.drivers)
        if not among or not really:
            return
        domid = self.a_domain(data, among=among)
        d = self.slots()[domid]
        first, number = (int(self.host.sections["domain"][name][d]) for name in ("first_vcpu", "num_vcpus"))
        self.gone_running_ns += sum(self.host.runstate_ns(v)["running"] for v in range(first, first + number))
        if domid in self.drivers:
            self.drivers.remove(domid)
        self.on_all(lambda host: Poolctl(host).destroy_domain(domid))
        self.paused.pop(domid, None)

    @has_guests
    @rule(data=st.data())
    def pause_or_unpause(self, data):
        domid = self.a_domain(data)
        if self.paused.get(domid):
            self.on_all(lambda host: Poolctl(host).unpause_domain(domid))
            self.paused[domid] = False
        else:
            self.on_all(lambda host: Poolctl(host).pause_domain(domid))
            self.paused[domid] = True

    @has_guests
    @rule(data=st.data(), online=st.booleans())
    def hotplug(self, data, online):
        domid = self.a_domain(data)
        d = self.slots()[domid]
        vcpu = data.draw(st.integers(0, int(self.host.sections["domain"]["num_vcpus"][d]) - 1))
        self.on_all(lambda host: Poolctl(host).set_vcpu_online(domid, vcpu, online))

    @has_guests
    @rule(data=st.data(), part=st.floats(0, 1))
    def balloon(self, data, part):
        domid = self.a_domain(data)
        memory = Poolctl(self.host).memory(domid)
        target = memory["floor_pages"] + round(part * (memory["max_pages"] - memory["floor_pages"]))
        self.on_all(lambda host: Poolctl(host).set_memory_target(domid, target))

    @rule(data=st.data())
    def change_scheduler(self, data):
        make_scheduler = self.a_scheduler(data)
        self.on_all(lambda host: sorted(Poolctl(host).change_scheduler(make_scheduler())))

    @rule(length_ns=lengths_ns, cuts=st.integers(1, 5))
    def run(self, length_ns, cuts):
        self.run_for(length_ns, cuts)

    @rule(length_ns=st.integers(50 * MS, 400 * MS))
    def run_long(self, length_ns):
        self.run_for(length_ns, 2)

    @invariant()
    def the_laws_of_devices_hold(self):
        if hasattr(self, "hosts"):
            for law in self.laws(self.host, self.past):
                law()


def histories(assert_laws, *names):
    machine = IoHistories()
    machine.assert_laws = assert_laws
    machine.scheduler_names = names or SCHEDULERS
    return machine


def test_the_laws_of_input_and_output_hold(assert_laws):
    run_state_machine_as_test(
        lambda: histories(assert_laws),
        settings=settings(max_examples=settings.default.max_examples, stateful_step_count=30),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_laws_of_input_and_output_hold_in_long_histories(assert_laws, name):
    run_state_machine_as_test(
        lambda: histories(assert_laws, name),
        settings=settings(max_examples=2 * settings.default.max_examples, stateful_step_count=60),
    )
