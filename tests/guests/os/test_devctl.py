"""The control interface for devices: who may ask, and that a refusal names what was found and changes nothing."""

import pytest

from tests.guests.os.net_rig import MS, Rig, constant
from xengym.guests.cpu import HogKind
from xengym.guests.os.devctl import Devctl, ns_per_mib
from xengym.guests.os.specs import Clients, Os
from xengym.guests.programs import Hog
from xengym.hypervisor.domctl import PrivilegeError
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler

PING = Clients("ping", constant(MS))

CALLS = (
    ("create_nic", (0,), {}),
    ("restrict_nic", (0, [1]), {}),
    ("create_vif", (1,), {"nic": 0}),
    ("set_vif_credit", (0,), {"credit_bytes": 1, "credit_ns": 1}),
    ("destroy_vif", (0,), {}),
    ("create_clients", (1, PING), {}),
    ("create_transfer", (1, None), {}),
    ("set_callee", (1, 0), {}),
    ("set_traffic", (1, False), {}),
    ("crash", (0,), {}),
)

REFUSALS = (
    ("create_nic", (5,), {}, "no domain 5"),
    ("create_nic", (8,), {}, "back end 8 runs no operating system"),
    ("create_nic", (0,), {"mbit_per_s": 0}, r"mbit_per_s must be 0.001..1e\+06, found 0"),
    ("create_nic", (0,), {"delay_ns": -1}, r"delay_ns must be 0..1e\+12, found -1"),
    ("create_nic", (0,), {"irq_gap_ns": 10**10}, r"irq_gap_ns must be 0..1e\+09, found 10000000000"),
    ("create_nic", (0,), {"rx_buffers": 513}, "rx_buffers must be 1..512, found 513"),
    ("create_nic", (0,), {"loss_frac": 1.5}, "loss_frac must be 0..1, found 1.5"),
    ("create_nic", (0,), {}, "no room for another network card; the host holds its maximum of 2"),
    ("restrict_nic", (7, None), {}, "no network card 7 on this host"),
    ("restrict_nic", (-1, None), {}, "no network card -1 on this host"),
    ("restrict_nic", (0, [5]), {}, "no domain 5"),
    ("create_vif", (8,), {"nic": 0}, "domain 8 runs no operating system"),
    ("create_vif", (1,), {"nic": 9}, "no network card 9 on this host"),
    ("create_vif", (1,), {"nic": 0, "mode": "fast"}, "mode must be one of flip, copy, .*, found 'fast'"),
    ("create_vif", (1,), {}, "domain 1: a flip interface needs a back end; name it or a network card"),
    ("create_vif", (1,), {"nic": 1}, "domain 1: a flip interface needs a back end, but card 1 has none"),
    ("create_vif", (0,), {"nic": 0}, "domain 0 cannot be the back end of its own interface"),
    ("create_vif", (1,), {"nic": 0, "mode": "inline"}, "domain 1: the card's driver and the interface's back end"),
    ("create_vif", (1,), {"nic": 0, "mtu": 67}, "mtu must be 68..1500, found 67"),
    ("create_vif", (1,), {"nic": 0, "credit_bytes": -1}, "credit_bytes must be 0"),
    ("create_vif", (1,), {"nic": 0, "credit_bytes": 9}, r"credit_ns must be 1..1e\+12, found 0"),
    ("create_vif", (1,), {"nic": 1, "mode": "inline", "credit_bytes": 9, "credit_ns": 9}, "without a back end"),
    ("create_vif", (2,), {"nic": 0}, "domain 2 may not use network card 0"),
    ("set_vif_credit", (3,), {"credit_bytes": 0, "credit_ns": 0}, "no virtual interface 3 on this host"),
    ("set_vif_credit", (0,), {"credit_bytes": 9, "credit_ns": 0}, r"credit_ns must be 1..1e\+12, found 0"),
    ("destroy_vif", (3,), {}, "no virtual interface 3 on this host"),
    ("vif_status", (-1,), {}, "no virtual interface -1 on this host"),
    ("create_clients", (5, PING), {}, "no domain 5"),
    ("create_clients", (1, PING), {"nic": 12}, "no network card 12 on this host"),
    ("create_clients", (2, PING), {}, "domain 2 has no network interface that leads outside"),
    ("create_transfer", (None, None), {}, "a transfer needs a domain at one end at least"),
    ("create_transfer", (1, None), {"window": 0}, "window must be 1..4096, found 0"),
    ("create_transfer", (None, 2), {}, "domain 2 has no network interface that leads outside"),
    ("create_transfer", (2, None), {}, "domain 2 has no network interface that leads outside"),
    ("set_callee", (1, 8), {}, "domain 8 runs no operating system"),
    ("crash", (1,), {}, "domain 1 serves no devices, or is down already"),
    ("crash", (0,), {"down_ns": 0}, r"down_ns must be 1..1e\+12, found 0"),
    ("crash", (0,), {"boot_ns": -1}, r"boot_ns must be 0..1e\+12, found -1"),
)  # fmt: skip


@pytest.fixture
def rig():
    """Domain 2 has no interface and is not allowed one; domain 8 has no operating system; card 1 has no back end."""
    rig = Rig(limits={"max_nics": 2})
    rig.control.create_nic(None)
    rig.domctl.create_domain(2, Os())
    rig.domctl.create_domain(8, Hog(), hard_affinity=[2])
    rig.control.restrict_nic(0, [0, 1])
    rig.run(MS)
    return rig


class TestPrivilege:
    @pytest.mark.parametrize(("call", "arguments", "options"), CALLS, ids=[name for name, *_ in CALLS])
    @pytest.mark.parametrize(("caller", "reason"), [(1, "is not privileged"), (7, "does not exist")])
    def test_others_are_refused_and_change_nothing(self, rig, call, arguments, options, caller, reason):
        before = rig.host.digest()
        with pytest.raises(PrivilegeError, match=f"domain {caller} {reason} and may not use the control interface"):
            getattr(Devctl(rig.host, caller), call)(*arguments, **options)
        assert rig.host.digest() == before

    @pytest.mark.parametrize(("call", "arguments", "options"), CALLS[1:], ids=[name for name, *_ in CALLS[1:]])
    def test_the_privileged_domain_is_not(self, rig, call, arguments, options):
        getattr(rig.control, call)(*arguments, **options)


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "arguments", "options", "message"), REFUSALS, ids=[f"{n}-{r[0]}" for n, r in enumerate(REFUSALS)]
    )
    def test_name_what_was_found_and_change_nothing(self, rig, call, arguments, options, message):
        before = rig.host.digest()
        with pytest.raises(ValueError, match=message):
            getattr(rig.control, call)(*arguments, **options)
        assert rig.host.digest() == before

    def test_a_host_without_the_kind_has_no_devices(self):
        host = Host(Topology.flat(1), CreditScheduler(), [HogKind()])
        with pytest.raises(ValueError, match="this host has no devices: 'os' is not among its guest kinds"):
            Devctl(host)


class TestRestriction:
    def test_interfaces_that_exist_stay(self, rig):
        rig.control.restrict_nic(0, [])
        assert rig.control.vif_status(0).is_connected
        with pytest.raises(ValueError, match="domain 1 may not use network card 0"):
            rig.control.create_vif(1, nic=0)

    def test_it_can_be_taken_back(self, rig):
        rig.control.restrict_nic(0, None)
        assert rig.control.create_vif(2, nic=0) == 1

    def test_it_is_about_domains_and_not_about_whoever_takes_their_place(self, rig):
        rig.domctl.destroy_domain(1)
        assert rig.domctl.create_domain(9, Os()) == 1
        with pytest.raises(ValueError, match="domain 9 may not use network card 0"):
            rig.control.create_vif(9, nic=0)


def test_the_status_of_an_interface(rig):
    rig.clients("ping", request_bytes=50)
    rig.run(5500_000)
    status = rig.control.vif_status(0)
    assert status == (1, 0, "flip", True, 5, 5, 0, 0)
    native = Rig(mode="native")
    assert native.control.vif_status(0).backend is None


def test_a_rate_as_the_time_that_a_mib_takes():
    assert ns_per_mib(1000) == 8_388_608
    assert ns_per_mib(8) == 1_048_576_000
