"""A web server goes on at another host: its clients lose nothing, and every request is answered once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guests.os.net_rig import MS, SECOND, Rig, constant
from xengym.guests.os.specs import Loop, Os, Service
from xengym.hypervisor.handover import load_domain, release_domain, save_domain
from xengym.machine.io_costs import IoCosts
from xengym.sim.random import DistributionSpec

SERVICE = Service(
    before=DistributionSpec("exponential", MS // 2), sizes_bytes=((0.8, 8_000), (0.2, 120_000)), processes=4
)
NIC = {"mbit_per_s": 1000.0, "delay_ns": 50_000, "irq_gap_ns": 30_000}
LIMITS = {"max_flows": 64, "max_requests": 32, "max_clients": 64, "max_populations": 3}


def rig(program=None, *, seed=0, guests=1):
    return Rig(
        guests=guests, mode="copy", costs=IoCosts(), program=program or Os(service=SERVICE), nic=NIC, limits=LIMITS,
        seed=seed,
    )  # fmt: skip


def empty_rig():
    target = rig(seed=1)
    target.domctl.destroy_domain(1)
    return target


def move(source, target, program, *, stands_ns=0):
    source.domctl.pause_domain(1)
    source.run(stands_ns)
    image = save_domain(source.host, 1)
    release_domain(source.host, 1)
    target.run_until(source.host.now_ns)
    load_domain(
        target.host, 1, image, program, hard_affinity=[1],
        devices=lambda slot: target.control.create_vif(1, nic=target.card, mode="copy"),
    )  # fmt: skip
    target.domctl.unpause_domain(1)


def counts(one):
    population = next(row for row in one.section("population") if row["kind"] >= 0)
    return {name: int(population[name]) for name in ("issued", "answered", "failed", "num", "num_waiting")}


@pytest.mark.parametrize("kind", ["closed", "open"])
@given(at_us=st.lists(st.integers(100, 200_000), min_size=1, max_size=3), stands_ms=st.integers(0, 30))
def test_every_request_of_a_moved_server_is_answered_once(kind, at_us, stands_ms):
    program = Os(service=SERVICE)
    rigs = [rig(), empty_rig()]
    rigs[0].clients(kind, every_ns=3 * MS, num=8 if kind == "closed" else 32, window=32)
    for turn, us in enumerate(at_us):
        source, target = rigs[turn % 2], rigs[1 - turn % 2]
        source.run(us * 1000)
        before = counts(source)
        move(source, target, program, stands_ns=stands_ms * MS)
        after = counts(target)
        assert after["issued"] >= before["issued"]
        assert not (source.section("flow")["state"] != 0).any()
        assert (source.section("request")["domain"] < 0).all()
    last = rigs[len(at_us) % 2]
    last.run(3 * SECOND)
    now = counts(last)
    asking = int((last.section("client")["is_asking"] != 0)[: now["num"]].sum())
    assert now["failed"] == 0
    assert now["issued"] == now["answered"] + asking
    assert now["answered"] > 300
    assert asking <= now["num"]
    record = last.section("domain")[last.domctl.slot(1)]
    assert int(record["jobs_submitted"]) == now["issued"]
    assert int(record["jobs_done"]) == now["answered"]


def test_cpu_accounts_of_both_hosts_hold():
    program = Os(service=SERVICE, loops=(Loop(work=constant(2 * MS), think=constant(5 * MS)),))
    rigs = [rig(program), empty_rig()]
    rigs[0].clients("closed", every_ns=3 * MS, num=8, window=32)
    rigs[0].run(77 * MS)
    move(*rigs, program, stands_ns=5 * MS)
    rigs[1].run(400 * MS)
    one = rigs[1]
    d = one.domctl.slot(1)
    v = one.domctl.vcpu_number(1)
    vcpu = one.section("vcpu")[v]
    served = one.kind.served_ns()[d].sum() + one.io(d)["idle_ns"]
    running = one.host.runstate_ns(v)["running"]
    assert running == served + vcpu["overhead_ns"] - one.kind.outstanding_ns(d)
    assert one.section("loop")["done"].max() > 40


def test_a_bulk_transfer_goes_on_where_it_was():
    rigs = [rig(Os()), empty_rig()]
    rigs[0].control.create_transfer(1, None, window=64)
    rigs[0].run(300 * MS)
    sent = int(rigs[0].section("programs")["bulk_bytes_acked"].sum())
    move(*rigs, Os(), stands_ns=40 * MS)
    rigs[1].run(SECOND)
    assert int(rigs[1].section("programs")["bulk_bytes_acked"].sum()) > 2 * sent > 0
    (half,) = rigs[1].section("half")[rigs[1].section("half")["next"] > 0]
    assert int(half["acked"]) * 1500 == pytest.approx(
        int(rigs[1].section("programs")["bulk_bytes_acked"].sum()), rel=0.01
    )


def test_what_cannot_go_along_is_refused():
    two = rig(guests=2)
    two.control.create_transfer(1, 2, window=8)
    two.run(10 * MS)
    two.domctl.pause_domain(1)
    two.run(0)
    with pytest.raises(ValueError, match="cannot be moved: it talks to domain 2 of the same host"):
        save_domain(two.host, 1)
    two.domctl.pause_domain(0)
    two.run(0)
    with pytest.raises(ValueError, match="domain 0 cannot be moved: it serves devices of this host"):
        save_domain(two.host, 0)


def test_a_host_without_room_for_its_connections_says_so():
    source, target = rig(), empty_rig()
    source.clients("closed", every_ns=MS, num=8, window=32)
    target.domctl.create_domain(1, Os(service=SERVICE))
    target.control.create_vif(1, nic=target.card, mode="copy")
    target.clients("closed", every_ns=MS, num=60, window=32)
    target.run(100 * MS)
    source.run_until(100 * MS)
    source.domctl.pause_domain(1)
    source.run(0)
    image = save_domain(source.host, 1)
    with pytest.raises(ValueError, match="no room for 8 connections of a domain that comes; the host has 4 left"):
        target.kind.room_for(image.state)
