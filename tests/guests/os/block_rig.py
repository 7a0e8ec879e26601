"""A host with a disk, a driver domain and guests with virtual block devices, for the tests of the block path."""

from dataclasses import dataclass, field, fields
from typing import ClassVar

from xengym.guests.cpu import HogKind
from xengym.guests.os.block import OsBlock
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.block_state import VBD_MODES
from xengym.machine.disk_model import DiskModel
from xengym.machine.io_costs import SPLIT_COSTS, IoCosts
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

#: The CPU does everything at once.
FREE = IoCosts(**{cost.name: 0 for cost in fields(IoCosts)})
#: 64 MB/s, that is 64 us a page; no rotation; 1 ms to the next track and 9 ms over the whole disk of 2**20 sectors.
STILL = DiskModel(
    num_sectors=2**20, seek_min_us=1_000, seek_max_us=9_000, rotation_us=0, transfer_mb_per_s=64, command_us=100
)
PAGE_NS = 64 * US


class Os:
    """An operating system without programs."""

    kind: ClassVar[str] = "os"


@dataclass
class Rig:
    """Domain 0 drives the disk, unless the mode has the hypervisor do it; guests are in slots 1, 2 and so on."""

    guests: int = 1
    mode: str = "split"
    model: DiskModel = STILL
    costs: IoCosts = FREE
    seed: int = 0
    num_records: int = 4096
    vbd: dict = field(default_factory=dict)

    def __post_init__(self):
        self.max_domains = self.guests + 2
        self.kind = OsBlock(
            self.costs, self.max_domains, 4 * self.max_domains, num_records=self.num_records, max_vbds=self.guests + 2
        )
        self.host = Host(
            Topology.flat(self.guests + 2),
            CreditScheduler(),
            [HogKind(), self.kind],
            max_domains=self.max_domains,
            max_vcpus=4 * self.max_domains,
            seed=self.seed,
        )
        self.domctl = Domctl(self.host)
        for domid in range(self.guests + 1):
            self.domctl.create_domain(domid, Os(), hard_affinity=[domid])
        self.backend = -1 if self.mode in ("inline", "native") else 0
        self.disk_number = self.kind.add_disk(self.backend, self.model)
        for slot in range(1, self.guests + 1):
            self.vbd[slot] = self.add(slot)
        self.run(1)

    def add(self, slot, **options):
        """Another device of a guest: its share of the disk, so many equal parts from the beginning."""
        size = self.model.num_sectors // max(1, self.guests)
        options = {"num_sectors": size, "start_sector": (slot - 1) * size, "mode": VBD_MODES.index(self.mode)} | options
        return self.kind.add_vbd(slot, self.backend, disk=self.disk_number, **options)

    def run(self, ms):
        self.host.run_until(self.host.now_ns + round(ms * MS), inclusive=True)

    def submit(self, sector, *, slot=1, pages=1, write=False, barrier=False, cookie=0):
        return self.kind.submit(self.vbd[slot], sector, 4096 * pages, is_write=write, is_barrier=barrier, cookie=cookie)

    def records(self):
        return self.kind.block_records()

    def cookies(self):
        return self.records()["cookie"].tolist()

    def section(self, name):
        return self.host.sections[name]

    @property
    def disk(self):
        return self.section("disk")[self.disk_number]

    def device(self, slot=1):
        return self.section("vbd")[self.vbd[slot]]

    def io(self, slot):
        return self.section("domain_io")[slot]


def seek_ns(distance, model=STILL):
    """A second implementation, in real numbers."""
    if distance == 0:
        return 0
    low, high = model.seek_min_us * US, model.seek_max_us * US
    return low + (high - low) * (distance / model.num_sectors) ** 0.5


def put_nothing_in(rig):
    """Nothing is under way and nothing is left behind."""
    assert rig.section("disk")["num_used"].tolist() == [0] * len(rig.section("disk"))
    assert (rig.section("disk_request")["state"] == 0).all()
    vbds = rig.section("vbd")
    for i in vbds["in_use"].nonzero()[0]:
        assert vbds["num_free"][i] == 32
    assert rig.section("grants")["num_granted"].tolist() == [0] * rig.max_domains
    assert rig.io(slice(None))["tx_pending"].tolist() == [0] * rig.max_domains


__all__ = ["FREE", "MS", "PAGE_NS", "SECOND", "SPLIT_COSTS", "STILL", "US", "Os", "Rig", "put_nothing_in", "seek_ns"]
