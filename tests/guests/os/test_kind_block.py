"""Programs that use the disk, on the whole kind: throughput, accounts, crashes of the driver domain, shares."""

import pytest

from tests.guests.os.block_rig import MS, SECOND, SPLIT_COSTS
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Clients, Loop, Os, Service
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.disk_model import DISKS
from xengym.machine.io_costs import INLINE_COSTS
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec

COMPUTES = DistributionSpec("constant", 50_000.0)
READER = Os(loops=(Loop(COMPUTES, disk_frac=1.0, disk_bytes=131_072, is_sequential=True),))
#: A database that waits for each of its writes.
DATABASE = Os(loops=(Loop(COMPUTES, disk_frac=1.0, disk_bytes=8_192, is_writing=True, is_barrier=True),))
SPLIT, INLINE = 0, 2


def make(*guests, mode=SPLIT, num_pcpus=2, weights=None, background=False):
    """Domain 0 with the disk (in the hypervisor in inline mode), and guests in the slots behind it."""
    costs = SPLIT_COSTS if mode == SPLIT else INLINE_COSTS
    kind = OsKind(costs, 8, 8, num_records=100_000)
    host = Host(Topology.flat(num_pcpus), CreditScheduler(), [kind], max_domains=8, max_vcpus=8, seed=3)
    domctl = Domctl(host)
    domctl.create_domain(0, Os())
    backend = 0 if mode == SPLIT else -1
    disk = kind.add_disk(backend, DISKS["scsi_10k"])
    for domid, spec in enumerate(guests, 1):
        domctl.create_domain(domid, spec, params={"weight": weights[domid - 1]} if weights else None)
        start = (domid - 1) * 5_000_000
        kind.add_vbd(domid, backend, disk=disk, num_sectors=2_000_000, start_sector=start, mode=mode)
    return host, kind, domctl


def spent_ns(host, slot):
    domain = host.sections["domain"][slot]
    first, count = int(domain["first_vcpu"]), int(domain["num_vcpus"])
    return sum(
        host.runstate_ns(v)["running"] - int(host.sections["vcpu"]["overhead_ns"][v])
        for v in range(first, first + count)
    )


def assert_accounts_balance(host, kind, slots):
    for slot in slots:
        charged = kind.served_ns()[slot].sum() + host.sections["domain_io"]["idle_ns"][slot]
        assert spent_ns(host, slot) == charged - kind.outstanding_ns(slot)


def test_a_sequential_reader_runs_at_the_disks_speed_and_costs_the_driver_domain_little() -> None:
    host, kind, _ = make(READER)
    host.run_until(2 * SECOND)
    read = int(host.sections["domain_io"]["block_bytes"][1])
    assert 40e6 < read / 2 < 60e6
    assert spent_ns(host, 0) / (2 * SECOND) < 0.05
    assert_accounts_balance(host, kind, [0, 1])


@pytest.mark.parametrize("mode", [SPLIT, INLINE])
def test_databases_that_wait_for_the_disk_do_not_share_by_weight(mode) -> None:
    """Barham et al. 2003, section 4.5: the results of OSDB-OLTP are not in proportion to the weights 1..8."""
    host, kind, _ = make(*[DATABASE] * 4, mode=mode, weights=[256, 512, 1024, 2048])
    host.run_until(5 * SECOND)
    done = host.sections["domain"]["jobs_done"][1:5]
    assert done.min() > 50
    assert done.max() <= 1.1 * done.min()
    assert_accounts_balance(host, kind, range(5))


@pytest.mark.parametrize("at_ms", [300, 301, 302.5, 333])
def test_when_the_driver_domain_crashes_every_operation_is_done_once_all_the_same(at_ms) -> None:
    host, kind, _ = make(READER, DATABASE)
    host.run_until(round(at_ms * MS))
    before = host.sections["domain"]["jobs_done"][1:3].copy()
    kind.crash(0, down_ns=200 * MS, boot_ns=50 * MS)
    host.run_until(round(at_ms * MS) + 240 * MS)
    assert (host.sections["domain"]["jobs_done"][1:3] - before <= 1).all()
    host.run_until(2 * SECOND)
    after = host.sections["domain"]["jobs_done"][1:3]
    assert (after > before + 20).all()
    records = kind.block_records()
    assert not records["has_failed"].any()
    # A loop has one operation at a time: as many as turns are over.
    for slot in (1, 2):
        assert (records["domain"] == slot).sum() == after[slot - 1]
    assert host.sections["vbd"]["reconnections"][:2].tolist() == [1, 1]
    assert host.sections["grants"]["refused"].sum() == 0


@pytest.mark.parametrize("at_us", range(0, 12_000, 97))
def test_a_driver_domains_own_device_survives_its_crash(at_us) -> None:
    host, kind, _ = make(READER)
    own = kind.add_vbd(0, 0, disk=0, num_sectors=100_000, start_sector=60_000_000)
    host.run_until(10 * MS)
    for n in range(6):
        kind.submit(own, 999 * n, 100_000, cookie=1000 + n)
    host.run_until(10 * MS + at_us * 1000)
    kind.crash(0, down_ns=20 * MS, boot_ns=5 * MS)
    host.run_until(SECOND)
    records = kind.block_records()
    assert sorted(records["cookie"][records["domain"] == 0]) == list(range(1000, 1006))


def test_readers_that_never_stop_leave_a_database_its_turns() -> None:
    # It waits for a sweep with 128 KiB of each reader, about 23 ms, where it needs 4.5 alone.
    alone, _, _ = make(DATABASE)
    alone.run_until(3 * SECOND)
    beside, _, _ = make(DATABASE, READER, READER)
    beside.run_until(3 * SECOND)
    rate = beside.sections["domain"]["jobs_done"][1] / alone.sections["domain"]["jobs_done"][1]
    assert rate > 0.15


def test_a_digest_does_not_depend_on_where_a_run_was_interrupted() -> None:
    host, _, _ = make(READER, DATABASE)
    host.run_until(SECOND)
    other, _, _ = make(READER, DATABASE)
    for part in range(1, 101):
        other.run_until(part * 10 * MS)
    assert host.digest() == other.digest()


ASKS = Os(service=Service(COMPUTES, disk_frac=1.0, disk_bytes=8_192))


def asked(*, has_disk):
    """Clients of a server each of whose requests reads the disk, if there is one."""
    kind = OsKind(SPLIT_COSTS, 2, 2, num_records=1_000)
    host = Host(Topology.flat(2), CreditScheduler(), [kind], max_domains=2, max_vcpus=2, seed=3)
    domctl, devices = Domctl(host), Devctl(host)
    domctl.create_domain(0, Os())
    domctl.create_domain(1, ASKS)
    devices.create_vif(1, nic=devices.create_nic(0))
    vbd = None
    if has_disk:
        vbd = devices.create_vbd(1, disk=devices.create_disk(0), num_sectors=2_000_000)
    devices.create_clients(1, Clients("closed", DistributionSpec("constant", 10 * MS), num=3))
    return host, devices, vbd


def counts(host):
    population = host.sections["population"][0]
    return int(population["answered"]), int(population["failed"])


def test_requests_that_need_a_disk_fail_when_there_is_none_and_are_reported():
    host, *_ = asked(has_disk=False)
    host.run_until(SECOND)
    answered, failed = counts(host)
    assert answered == 0
    assert failed > 100
    assert host.sections["domain"]["jobs_dropped"][1] == failed


def test_requests_fail_from_the_moment_their_disk_is_taken_away():
    host, devices, vbd = asked(has_disk=True)
    host.run_until(SECOND)
    before, failed = counts(host)
    assert before > 50
    assert failed == 0
    devices.destroy_vbd(vbd)
    host.run_until(2 * SECOND)
    answered, failed = counts(host)
    # What the disk had answered may still have been on its way to the client.
    assert answered - before <= 3
    assert failed > 100


def test_a_loop_whose_disk_is_taken_away_fails_and_does_not_count_as_done():
    host, kind, _ = make(READER)
    host.run_until(SECOND)
    done = int(host.sections["domain"]["jobs_done"][1])
    kind.remove_vbd(0)
    host.run_until(2 * SECOND)
    domain = host.sections["domain"][1]
    assert domain["jobs_done"] == done
    assert domain["jobs_dropped"] > 50
    assert domain["jobs_submitted"] - domain["jobs_done"] - domain["jobs_dropped"] in (0, 1)
