"""Admission on a host: domains are created if everything is there, and a refusal changes nothing."""

import pytest

from xengym.guests.cpu import HogKind
from xengym.guests.memory_worker import MemoryWorkerKind
from xengym.guests.programs import Hog, Memory
from xengym.hypervisor.admit import AdmissionControl, AdmissionError
from xengym.hypervisor.domctl import Domctl, PrivilegeError
from xengym.hypervisor.host import Host
from xengym.hypervisor.pools import Poolctl
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.topology import Topology
from xengym.policies.control.admission import DeviceOnHost
from xengym.policies.schedulers.registry import make_scheduler
from xengym.sim.random import DistributionSpec

MS = 1_000_000
DEVICES = (DeviceOnHost("eth0"), DeviceOnHost("gpu"))


def make_host(scheduler="credit", num_pcpus=2):
    kinds = [HogKind(), MemoryWorkerKind()]
    return Host(Topology.flat(num_pcpus), make_scheduler(scheduler), kinds, memory_pages=10_000)


def control_of(host, devices=DEVICES):
    return AdmissionControl(Domctl(host), devices)


def sedf(part):
    return {"params": {"period_ns": 100 * MS, "slice_ns": round(part * 100) * MS, "extratime": 0}}


def refused(control, reason, *arguments, **others):
    before = control.host.digest()
    with pytest.raises(AdmissionError, match=r"is not admitted") as raised:
        control.create_domain(*arguments, **others)
    assert control.host.digest() == before
    assert raised.value.reason == reason
    return str(raised.value)


class TestMemory:
    def test_what_is_free_counts(self):
        control = control_of(make_host())
        control.create_domain(1, Hog(), memory_pages=6000)
        message = refused(control, "memory", 2, Hog(), name="web", memory_pages=5000)
        assert message == "web is not admitted (memory): wanted 5000 pages, but there is 4000 free pages"
        control.create_domain(2, Hog(), memory_pages=4000)

    def test_what_a_program_says_counts(self):
        constant = DistributionSpec("constant", MS)
        control = control_of(make_host())
        refused(control, "memory", 1, Memory(constant, constant, ((MS, 9000),), MemoryModel((Region(1, 1.0),))))

    def test_what_a_balloon_gives_back_can_be_given_out(self):
        host = make_host()
        control = control_of(host)
        control.create_domain(1, Hog(), memory_pages=10_000)
        refused(control, "memory", 2, Hog(), memory_pages=3000)
        host.run_until(MS)
        control.control.set_memory_target(1, 6000)
        host.run_until(20 * MS)
        control.create_domain(2, Hog(), memory_pages=3000)


class TestReservations:
    def test_sedf_puts_vcpus_where_their_shares_fit(self):
        host = make_host("sedf")
        control = control_of(host)
        for domid, part in enumerate((0.6, 0.5, 0.4, 0.5), start=1):
            control.create_domain(domid, Hog(), **sedf(part))
        pcpus = host.sections["vcpu"]["pcpu"][:4].tolist()
        assert pcpus[0] == pcpus[2] != pcpus[1] == pcpus[3]
        refused(control, "reservation", 5, Hog(), **sedf(0.01))
        control.create_domain(5, Hog())  # what is promised nothing is always welcome

    def test_sedf_counts_each_pcpu_by_itself(self):
        control = control_of(make_host("sedf"))
        control.create_domain(1, Hog(), **sedf(0.6))
        control.create_domain(2, Hog(), **sedf(0.6))
        message = refused(control, "reservation", 3, Hog(), **sedf(0.5))
        assert "wanted 0.500 pCPUs in 1 vCPUs, but there is left on each pCPU: 0.400 pCPUs, 0.400 pCPUs" in message

    def test_sedf_keeps_to_stated_places_and_affinity(self):
        control = control_of(make_host("sedf"))
        control.create_domain(1, Hog(), pcpus=[1], **sedf(0.8))
        refused(control, "reservation", 2, Hog(), pcpus=[1], **sedf(0.5))
        refused(control, "reservation", 2, Hog(), hard_affinity=[1], **sedf(0.5))
        control.create_domain(2, Hog(), hard_affinity=[0], **sedf(0.5))

    def test_a_weight_is_no_reservation(self):
        control = control_of(make_host("sedf"))
        control.create_domain(1, Hog(), params={"weight": 100})
        control.create_domain(2, Hog(), pcpus=[0], **sedf(1.0))

    def test_a_reservation_is_kept_when_it_was_admitted(self):
        host = make_host("sedf")
        control = control_of(host)
        for domid, part in enumerate((0.6, 0.5, 0.4, 0.5), start=1):
            control.create_domain(domid, Hog(), **sedf(part))
        host.run_until(200 * MS)  # parameters count from the second period on
        before = [host.runstate_ns(v)["running"] for v in range(4)]
        host.run_until(2_200 * MS)
        got = [(host.runstate_ns(v)["running"] - before[v]) / (2_000 * MS) for v in range(4)]
        assert got == pytest.approx([0.6, 0.5, 0.4, 0.5], abs=1e-6)

    def test_rtds_counts_the_pool(self):
        control = control_of(make_host("rtds"))
        control.create_domain(1, Hog(), num_vcpus=4)  # 4 ms in 10 ms each, as it comes
        refused(control, "reservation", 2, Hog(), params={"period_us": 10_000, "budget_us": 4_100})
        control.create_domain(2, Hog(), params={"period_us": 10_000, "budget_us": 4_000})

    def test_credit_promises_nothing(self):
        control = control_of(make_host("credit"))
        for domid in range(1, 9):
            control.create_domain(domid, Hog())

    def test_a_pool_counts_by_itself(self):
        host = make_host("sedf", num_pcpus=3)
        pools = Poolctl(host)
        (pcpu,) = [2]
        pools.remove_pcpu(pcpu)
        pool = pools.create_pool(make_scheduler("sedf"))
        pools.add_pcpu(pool, pcpu)
        control = AdmissionControl(pools)
        control.create_domain(1, Hog(), pool=pool, **sedf(0.7))
        assert host.sections["vcpu"]["pcpu"][0] == 2
        refused(control, "reservation", 2, Hog(), pool=pool, **sedf(0.4))
        control.create_domain(2, Hog(), **sedf(0.4))


class TestDevicesAndGroups:
    def test_one_for_itself(self):
        control = control_of(make_host())
        control.create_domain(1, Hog(), name="mail", devices=["eth0", "gpu"], exclusive=["gpu"])
        control.create_domain(2, Hog(), devices=["eth0"])
        assert "gpu is used by mail for itself" in refused(control, "devices", 3, Hog(), devices=["gpu"])
        refused(control, "devices", 3, Hog(), devices=["eth1"])
        control.control.destroy_domain(1)  # by whatever way
        control.create_domain(3, Hog(), devices=["gpu"])

    def test_groups_keep_apart(self):
        control = control_of(make_host())
        control.create_domain(1, Hog(), group="replicas")
        refused(control, "anti-affinity", 2, Hog(), group="replicas")
        control.control.destroy_domain(1)
        control.create_domain(2, Hog(), group="replicas")

    def test_another_domain_under_an_old_number_has_no_claims(self):
        control = control_of(make_host())
        control.create_domain(1, Hog(), name="old", group="replicas")
        control.control.destroy_domain(1)
        control.control.create_domain(1, Hog(), name="new")
        control.create_domain(2, Hog(), group="replicas")

    def test_for_itself_is_only_among_its_own(self):
        with pytest.raises(ValueError, match="wants gpu for itself, which is not among its devices"):
            control_of(make_host()).create_domain(1, Hog(), exclusive=["gpu"])


def test_only_the_privileged_may_create():
    host = make_host()
    Domctl(host).create_domain(1, Hog())
    with pytest.raises(PrivilegeError):
        AdmissionControl(Domctl(host, 1)).create_domain(2, Hog())


def test_what_domctl_refuses_leaves_no_record():
    control = control_of(make_host())
    with pytest.raises(ValueError, match="num_vcpus"):
        control.create_domain(1, Hog(), num_vcpus=0, group="replicas")
    control.create_domain(1, Hog(), group="replicas")


def test_an_unknown_pool_is_an_error():
    with pytest.raises(ValueError, match="no cpupool 7"):
        control_of(make_host()).create_domain(1, Hog(), pool=7)
