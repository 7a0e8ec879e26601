"""A host with a network card, a driver domain and guests with virtual interfaces, for the tests of the network path."""

from dataclasses import dataclass, field, fields

from xengym.guests.cpu import HogKind
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Clients, Os
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.io_costs import IoCosts
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec
from xengym.sim.trace_kinds import TraceKind

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

#: The CPU does everything at once.
FREE = IoCosts(**{cost.name: 0 for cost in fields(IoCosts)})
#: 2**23 bit/s over 1000: a byte takes a microsecond but for the card's rounding, 2**20 bytes take 2**20 us.
BYTE_PER_US = 8.0


def costs(**some):
    """Everything is free but these."""
    return IoCosts(**{cost.name: some.get(cost.name, 0) for cost in fields(IoCosts)})


def constant(ns):
    return DistributionSpec("constant", ns)


@dataclass
class Rig:
    """Domain 0 drives card 0, unless the mode has no driver domain; guests are in slots 1, 2 and so on, one pCPU each.

    The card's line takes a microsecond for a byte and the way to the clients none, unless ``nic`` says otherwise.
    """

    guests: int = 1
    mode: str = "flip"
    costs: IoCosts = FREE
    program: Os = field(default_factory=Os)
    programs: dict = field(default_factory=dict)
    nic: dict = field(default_factory=dict)
    vif: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        max_domains = self.guests + 3
        self.kind = OsKind(self.costs, max_domains, 4 * max_domains, **self.limits)
        self.host = Host(
            Topology.flat(self.guests + 2),
            CreditScheduler(),
            [HogKind(), self.kind],
            max_domains=max_domains,
            max_vcpus=4 * max_domains,
            seed=self.seed,
        )
        self.host.start_trace()
        self.domctl = Domctl(self.host)
        self.control = Devctl(self.host)
        for domid in range(self.guests + 1):
            program = self.programs.get(domid, Os() if domid == 0 else self.program)
            self.domctl.create_domain(domid, program, hard_affinity=[domid])
        self.is_split = self.mode in ("flip", "copy", "emulated")
        self.card = self.control.create_nic(
            0 if self.is_split else None,
            **{"mbit_per_s": BYTE_PER_US, "delay_ns": 0, "irq_gap_ns": 0} | self.nic,
        )
        self.vifs = {
            domid: self.control.create_vif(domid, nic=self.card, mode=self.mode, **self.vif)
            for domid in range(1, self.guests + 1)
        }

    def run_until(self, ns):
        self.host.run_until(ns, inclusive=True)

    def run(self, ns):
        self.run_until(self.host.now_ns + ns)

    def clients(self, kind, domid=1, *, every_ns=MS, **options):
        return self.control.create_clients(domid, Clients(kind, constant(every_ns), **options))

    def section(self, name):
        return self.host.sections[name]

    def io(self, slot):
        return self.section("domain_io")[slot]

    def population(self, number=0):
        return self.section("population")[number]

    def log(self, *kinds):
        """``(at_ns, kind, domain slot)`` of those records."""
        wanted = [TraceKind[kind] for kind in kinds]
        return [
            (at_ns, TraceKind(kind).name, other)
            for at_ns, _, _, other, kind, _ in self.host.trace_records().tolist()
            if kind in wanted
        ]

    def at(self, kind):
        """When records of a kind were written."""
        return [at_ns for at_ns, *_ in self.log(kind)]

    def asked_and_ended(self, number=0):
        """Requests issued, answered, failed."""
        population = self.population(number)
        return tuple(int(population[name]) for name in ("issued", "answered", "failed"))
