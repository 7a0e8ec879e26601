"""Back ends of block devices: whose turn it is, what is refused, and how much is under way."""

import pytest

from tests.guests.os.block_rig import MS, SPLIT_COSTS, STILL, Rig, put_nothing_in

ALL_MODES = ["split", "tap", "inline", "native", "emulated"]
SHARED = ["split", "tap", "inline"]


@pytest.mark.parametrize("mode", ALL_MODES)
def test_a_device_that_may_only_be_read_refuses_writes(mode) -> None:
    rig = Rig(mode=mode)
    rig.kind.remove_vbd(rig.vbd[1])
    rig.vbd[1] = rig.add(1, read_only=True)
    rig.submit(100, cookie=1, write=True)
    rig.submit(200, cookie=2)
    rig.submit(300, cookie=3, write=True, pages=20)
    rig.run(50)
    assert {record["cookie"]: record["has_failed"] for record in rig.records()} == {1: 1, 2: 0, 3: 1}
    assert rig.device()["failures"] == 3
    assert rig.disk["requests"] == 1
    assert rig.io(1)["block_bytes"] == 4096
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize("sector", [-1, STILL.num_sectors - 7, 2**40])
def test_what_lies_beyond_the_device_fails(mode, sector) -> None:
    rig = Rig(mode=mode)
    rig.submit(sector)
    rig.submit(STILL.num_sectors - 8)
    rig.run(50)
    assert sorted(rig.records()["has_failed"].tolist()) == [0, 1]
    assert rig.disk["requests"] == 1
    put_nothing_in(rig)


def test_a_device_is_its_part_of_the_disk() -> None:
    rig = Rig(guests=2)
    rig.submit(16, slot=2)
    rig.run(50)
    assert rig.disk["head"] == STILL.num_sectors // 2 + 16 + 8


def hog_and_victim(mode, others=1):
    """The first guests keep 32 requests outstanding all over their part; the last has one at a time: its latencies."""
    rig = Rig(guests=others + 1, mode=mode, costs=SPLIT_COSTS)
    victim = others + 1
    sent = 0

    def refill():
        nonlocal sent
        for slot in range(1, victim):
            while rig.device(slot)["next_op_order"] - rig.device(slot)["requests"] < 40:
                rig.submit(sent * 7919 * 8 % 200_000, slot=slot, cookie=0)
                sent += 1

    latencies = []
    refill()
    rig.run(100)
    for n in range(20):
        begun = rig.host.now_ns
        rig.submit(n * 5003 % 200_000, slot=victim, cookie=n + 1)
        while n + 1 not in rig.cookies():
            refill()
            rig.run(1)
        latencies.append(rig.records()["at_ns"][rig.cookies().index(n + 1)] - begun)
    shares = [int(rig.device(slot)["requests"]) for slot in range(1, victim)]
    return latencies, shares


@pytest.mark.parametrize("mode", SHARED)
def test_a_hog_cannot_keep_another_domain_waiting(mode) -> None:
    latencies, _ = hog_and_victim(mode)
    # At most what is left of a sweep of 8 and 1, and the next: 18 requests, of 10 ms at the very most.
    assert max(latencies) < 18 * 10 * MS
    # Without turns it would wait for the hog's 32, which take at least 1 ms each; it waits for a sweep and a half of 8.
    assert sum(latencies) / len(latencies) < 32 * 2 * MS


@pytest.mark.parametrize("mode", SHARED)
def test_hogs_that_fill_the_back_end_share_it(mode) -> None:
    latencies, shares = hog_and_victim(mode, others=3)
    # 64 under way in the back end; three hogs would have 96. The fourth gets its turn all the same.
    assert max(latencies) < 2 * (3 * 8 + 1) * 10 * MS
    assert max(shares) <= 1.2 * min(shares)


@pytest.mark.parametrize("mode", ["split", "tap"])
def test_a_back_end_has_64_requests_under_way_at_most(mode) -> None:
    model = STILL.__class__(**{**STILL.__dict__, "depth": 128})
    rig = Rig(guests=4, mode=mode, model=model)
    for n in range(50):
        for slot in range(1, 5):
            rig.submit(500 * n, slot=slot)
    most = 0
    while len(rig.records()) < 200:
        rig.run(0.5)
        tapped = rig.section("vbd")["tapped"]
        most = max(most, int(rig.disk["num_used"] + (tapped["tail"] - tapped["head"]).sum()))
    assert most == 64
    put_nothing_in(rig)


def test_requests_not_taken_yet_are_pending() -> None:
    rig = Rig()
    rig.domctl.pause_domain(0)
    for n in range(5):
        rig.submit(100 * n)
    rig.run(1)
    assert rig.io(1)["tx_pending"] == 5
    rig.domctl.unpause_domain(0)
    rig.run(50)
    assert rig.io(1)["tx_pending"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"disk": 5}, "there is no disk 5"),
        ({"mode": 2}, "mode 2 does not go with back end 0"),
        ({"mode": 9}, "mode 9"),
        ({"start_sector": STILL.num_sectors}, "are not on disk 0"),
        ({"num_sectors": 0}, "are not on disk 0"),
        ({"notify_after": 33}, "notify_after must be 1..32, found 33"),
        ({"backend": 1}, "has its driver in 0, not in 1"),
        ({"frontend": -1}, "the hypervisor has none"),
        ({"frontend": 2}, "no domain with an operating system is in slot 2"),
        ({"frontend": 99}, "in slot 99"),
        ({"backend": 2}, "in slot 2"),
    ],
)
def test_a_device_that_cannot_be_is_refused(options, message) -> None:
    rig = Rig()
    arguments = {"frontend": 1, "backend": 0, "disk": 0, "num_sectors": 8} | options
    with pytest.raises(ValueError, match=message):
        rig.kind.add_vbd(arguments.pop("frontend"), arguments.pop("backend"), **arguments)
    assert rig.section("vbd")["in_use"].sum() == 1


def test_there_is_room_for_so_many_devices() -> None:
    rig = Rig()
    rig.add(1)
    rig.add(1)
    with pytest.raises(ValueError, match="no room for another virtual block device"):
        rig.add(1)
