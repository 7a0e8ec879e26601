"""How virtual block devices are lost, come back and go, with requests in every stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guests.os.block_rig import SPLIT_COSTS, STILL, Os, Rig, put_nothing_in
from xengym.sim.trace_kinds import TraceKind

MODES = ["split", "tap", "inline", "native", "emulated"]
FREE, QUEUED, ANSWERED, HARVESTED, SHADOW = range(5)
INSTANTS_US = st.integers(0, 30_000)


def queued_cookies(rig):
    records = rig.host.trace_records()
    return records["value"][records["kind"] == TraceKind.BLOCK_QUEUED].tolist()


def busy(mode="split", guests=1, operations=12):
    rig = Rig(guests=guests, mode=mode, costs=SPLIT_COSTS)
    for n in range(operations):
        for slot in range(1, guests + 1):
            rig.submit(5000 * n, slot=slot, pages=1 + 3 * n, write=n % 2 == 1, cookie=100 * slot + n)
    return rig


def test_requests_in_flight_are_put_in_again_in_their_old_order() -> None:
    rig = Rig()
    for cookie, sector in enumerate([9000, 100, 5000, 7000]):
        rig.submit(sector, cookie=cookie)
    rig.run(5)  # one or two are done
    done = rig.cookies()
    assert 0 < len(done) < 4
    rig.kind.disconnect_vbd(rig.vbd[1])
    rig.submit(1, cookie=4)
    rig.host.start_trace()
    rig.run(50)
    assert rig.cookies() == done
    assert rig.device()["is_connected"] == 0
    rig.kind.connect_vbd(rig.vbd[1], 0)
    rig.run(50)
    assert queued_cookies(rig) == [cookie for cookie in range(5) if cookie not in done]
    assert sorted(rig.cookies()) == list(range(5))
    assert rig.device()["reconnections"] == 1
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", MODES)
@given(at_us=INSTANTS_US, back_us=INSTANTS_US)
def test_whenever_it_is_lost_everything_is_answered_once(mode, at_us, back_us) -> None:
    rig = busy(mode)
    rig.run(at_us / 1000)
    rig.kind.disconnect_vbd(rig.vbd[1])
    assert rig.section("grants")["num_granted"][1] == 0
    rig.run(back_us / 1000)
    rig.kind.connect_vbd(rig.vbd[1], rig.backend)
    rig.run(1_000)
    assert sorted(rig.cookies()) == list(range(100, 112))
    assert not rig.records()["has_failed"].any()
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", MODES)
@given(at_us=INSTANTS_US)
def test_whenever_it_is_removed_what_is_left_fails_in_order(mode, at_us) -> None:
    rig = busy(mode)
    rig.run(at_us / 1000)
    done = len(rig.records())
    rig.kind.remove_vbd(rig.vbd[1])
    rig.run(500)
    assert sorted(rig.cookies()) == list(range(100, 112))
    assert rig.records()["has_failed"].tolist() == [0] * done + [1] * (12 - done)
    assert rig.cookies()[done:] == sorted(rig.cookies()[done:])
    put_nothing_in(rig)
    rig.vbd[1] = rig.add(1)
    assert rig.submit(8, cookie=1)
    rig.run(50)
    assert rig.cookies()[-1] == 1
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", MODES)
@given(at_us=INSTANTS_US)
def test_a_guest_can_be_destroyed_at_any_moment(mode, at_us) -> None:
    rig = busy(mode, guests=2)
    rig.run(at_us / 1000)
    done = [cookie for cookie in rig.cookies() if cookie >= 200]
    rig.domctl.destroy_domain(2)
    rig.run(2_000)
    # Nobody is told any more; the other guest has lost nothing.
    assert [cookie for cookie in rig.cookies() if cookie >= 200] == done
    assert sorted(cookie for cookie in rig.cookies() if cookie < 200) == list(range(100, 112))
    assert rig.section("vbd")["in_use"].sum() == 1
    put_nothing_in(rig)
    # Its slot is as good as new.
    rig.domctl.create_domain(7, Os())
    rig.vbd[2] = rig.add(2)
    rig.submit(8, slot=2, cookie=1)
    rig.run(50)
    assert rig.cookies()[-1] == 1
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", ["split", "tap", "emulated"])
@given(at_us=INSTANTS_US, back_us=INSTANTS_US)
def test_a_driver_domain_can_be_destroyed_and_restarted_at_any_moment(mode, at_us, back_us) -> None:
    rig = busy(mode, guests=2)
    rig.run(at_us / 1000)
    rig.domctl.destroy_domain(0)
    assert rig.section("vbd")["is_connected"].sum() == 0
    assert rig.section("grants")["num_granted"].sum() == 0
    rig.run(back_us / 1000)
    rig.domctl.create_domain(9, Os())
    rig.kind.attach_disk(rig.disk_number, 0)
    for slot in (1, 2):
        rig.kind.connect_vbd(rig.vbd[slot], 0)
    rig.run(2_000)
    assert sorted(rig.cookies()) == [*range(100, 112), *range(200, 212)]
    put_nothing_in(rig)


@given(at_us=INSTANTS_US, back_us=INSTANTS_US)
def test_a_driver_domain_that_loses_its_drivers_goes_on(at_us, back_us) -> None:
    rig = busy(guests=2)
    rig.run(at_us / 1000)
    rig.kind.lose_backend(0)
    rig.run(back_us / 1000)
    for slot in (1, 2):
        rig.kind.connect_vbd(rig.vbd[slot], 0)
    rig.run(2_000)
    assert sorted(rig.cookies()) == [*range(100, 112), *range(200, 212)]
    put_nothing_in(rig)


def test_a_device_is_connected_or_not() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="device 0 is connected already"):
        rig.kind.connect_vbd(rig.vbd[1], 0)
    rig.kind.disconnect_vbd(rig.vbd[1])
    rig.kind.disconnect_vbd(rig.vbd[1])
    with pytest.raises(ValueError, match="disk 0 has its driver in 0, not in 1"):
        rig.kind.connect_vbd(rig.vbd[1], 1)
    for call in (rig.kind.disconnect_vbd, rig.kind.remove_vbd):
        with pytest.raises(ValueError, match="there is no virtual block device 2"):
            call(2)


def test_ports_are_given_back() -> None:
    rig = Rig()
    before = rig.section("ports")["num_ports"].copy()
    for _ in range(300):
        rig.kind.remove_vbd(rig.vbd[1])
        rig.vbd[1] = rig.add(1)
    assert (rig.section("ports")["num_ports"] == before).all()


def hold(rig):
    """What is true at any moment."""
    vbds, requests = rig.section("vbd"), rig.section("block_request")
    granted = [0] * rig.max_domains
    pending = [0] * rig.max_domains
    for i in vbds["in_use"].nonzero()[0].tolist():
        ring, vbd = vbds["ring"][i], vbds[i]
        states = requests["state"][32 * i : 32 * i + 32]
        assert (states == FREE).sum() == vbd["num_free"]
        assert sorted(vbd["free"][: vbd["num_free"]].tolist()) == (states == FREE).nonzero()[0].tolist()
        if vbd["is_connected"]:
            start = int(ring["rsp_cons"])
            responses, taken, asked = ((int(ring[at]) - start) % 2**32 for at in ("rsp_prod", "req_cons", "req_prod"))
            assert 0 <= responses <= taken <= asked <= 32
            assert (states == ANSWERED).sum() == responses
            assert (states == QUEUED).sum() == asked - responses
            pending[vbd["frontend"]] += asked - taken
        else:
            assert not ((states == QUEUED) | (states == ANSWERED)).any()
        granted[vbd["frontend"]] += int((requests["grant"][32 * i : 32 * i + 32] >= 0).sum())
    grants = rig.section("grants")
    assert grants["num_granted"].tolist() == granted
    assert grants["refused"].sum() == 0
    entries = rig.section("grant").reshape(rig.max_domains, -1)
    assert (entries["num_mapped"] >= 0).all()
    assert (entries["num_mapped"][entries["peer"] < 0] == 0).all()
    assert rig.io(slice(None))["tx_pending"].tolist() == pending
    disk = rig.disk
    assert disk["num_used"] == (rig.section("disk_request")["state"][:128] != 0).sum() <= disk["depth"]


SLOTS = st.integers(1, 2)
STEPS = st.one_of(
    st.tuples(
        st.just("submit"),
        SLOTS,
        st.integers(0, STILL.num_sectors // 2 + 100),
        st.integers(1, 200_000),
        st.booleans(),
        st.integers(0, 9),
    ),
    st.tuples(st.just("run"), st.integers(0, 5_000)),
    st.tuples(st.just("run"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["lose", "connect", "remove", "pause", "unpause"]), SLOTS),
    st.tuples(st.sampled_from(["restart", "crash"])),
)


@pytest.mark.parametrize("mode", MODES)
@given(steps=st.lists(STEPS, max_size=60), first=st.sampled_from([0, 2**32 - 20]))
def test_laws_hold_at_every_moment(mode, steps, first) -> None:
    rig = Rig(guests=2, mode=mode, costs=SPLIT_COSTS)
    for slot in (1, 2):
        rig.kind.remove_vbd(rig.vbd[slot])
    for slot in (1, 2):
        rig.vbd[slot] = rig.add(slot, first_index=first)
    asked = 0
    paused = set()
    for step, *arguments in steps:
        slot = arguments[0] if arguments else 0
        if step == "submit":
            _, sector, num_bytes, is_write, barrier = arguments
            asked += rig.kind.submit(
                rig.vbd[slot], sector, num_bytes, is_write=is_write, is_barrier=barrier == 0, cookie=asked
            )
        elif step == "run":
            rig.run(slot / 1000)
        elif step == "lose":
            rig.kind.disconnect_vbd(rig.vbd[slot])
        elif step == "connect":
            if not rig.device(slot)["is_connected"]:
                rig.kind.connect_vbd(rig.vbd[slot], rig.backend)
        elif step == "remove":
            rig.kind.remove_vbd(rig.vbd[slot])
            rig.vbd[slot] = rig.add(slot, first_index=first)
        elif step == "pause" and slot not in paused:
            paused.add(slot)
            rig.domctl.pause_domain(slot - 1)
        elif step == "unpause" and slot in paused:
            paused.discard(slot)
            rig.domctl.unpause_domain(slot - 1)
        elif step == "crash" and rig.backend == 0:
            rig.kind.lose_backend(0)
        elif step == "restart" and rig.backend == 0:
            paused.discard(1)
            rig.domctl.destroy_domain(0)
            rig.domctl.create_domain(0, Os())
            rig.kind.attach_disk(rig.disk_number, 0)
        hold(rig)
    for slot in paused:
        rig.domctl.unpause_domain(slot - 1)
    for slot in (1, 2):
        if not rig.device(slot)["is_connected"]:
            rig.kind.connect_vbd(rig.vbd[slot], rig.backend)
    rig.run(20_000)
    hold(rig)
    assert sorted(rig.cookies()) == list(range(asked))
    put_nothing_in(rig)
