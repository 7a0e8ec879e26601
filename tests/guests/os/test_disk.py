"""Disks: how long a request takes, in which order they are served, and whom the disk interrupts. Worked by hand."""

from dataclasses import replace

import pytest

from tests.guests.os.block_rig import MS, PAGE_NS, SPLIT_COSTS, STILL, US, Os, Rig, put_nothing_in, seek_ns
from xengym.machine.disk_model import DISKS, DiskModel

WORD = 2**64 - 1
STREAM_DISK = 5
QUARTER = STILL.num_sectors // 4


def at_us(rig, since_ns):
    return [((at_ns - since_ns) / US, cookie) for at_ns, cookie in rig.records()[["at_ns", "cookie"]].tolist()]


def mix64(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
    return z ^ (z >> 31)


def test_a_request_takes_command_seek_and_transfer() -> None:
    rig = Rig()
    begun = rig.host.now_ns
    rig.submit(QUARTER)
    rig.run(50)
    # A quarter of the disk: half of the way from 1 ms to 9 ms; then 64 us for a page of 4 KiB.
    assert at_us(rig, begun) == [(100 + 5_000 + 64, 0)]
    assert rig.disk["head"] == QUARTER + 8
    assert rig.disk["busy_ns"] == 5_164 * US


@pytest.mark.parametrize("distance", [1, 2, 1000, 65_536, QUARTER, STILL.num_sectors - 88])
def test_the_seek_grows_with_the_root_of_the_distance(distance) -> None:
    rig = Rig()
    begun = rig.host.now_ns
    rig.submit(distance)
    rig.run(50)
    measured = rig.records()["at_ns"][0] - begun - 100 * US - PAGE_NS
    # Roots are cut to 20 bits and their argument to 30: up to 8 ns of 8 ms each at short distances.
    assert measured == pytest.approx(seek_ns(distance), abs=100)


def test_the_heads_come_back_as_fast_as_they_went() -> None:
    rig = Rig()
    rig.submit(QUARTER - 8)
    rig.run(50)
    begun = rig.host.now_ns
    rig.submit(0)
    rig.run(50)
    assert rig.records()["at_ns"][1] - begun == 5_164 * US


def test_a_request_that_continues_the_last_takes_no_seek_and_no_turn() -> None:
    rig = Rig(model=replace(STILL, rotation_us=6_000))
    rig.submit(1000)
    rig.run(50)
    begun = rig.host.now_ns
    rig.submit(1008, pages=2)
    rig.run(50)
    assert rig.records()["at_ns"][1] - begun == 100 * US + 2 * PAGE_NS
    assert rig.disk["sequential"] == 1


def test_the_wait_for_the_turn_is_drawn_from_the_disks_own_stream() -> None:
    rig = Rig(model=replace(STILL, seek_min_us=0, seek_max_us=0, rotation_us=6_000), seed=11)
    key = mix64((mix64((11 + 0x9E3779B97F4A7C15 * STREAM_DISK) & WORD) + 0xD1342543DE82EF95) & WORD)
    for counter in range(1, 20):
        begun = rig.host.now_ns
        rig.submit(100 * counter)
        rig.run(50)
        turn = mix64((key + 0x9E3779B97F4A7C15 * counter) & WORD) % 6_000_000
        assert rig.records()["at_ns"][-1] - begun == 100 * US + PAGE_NS + turn


def test_the_elevator_goes_up_and_once_more_from_the_lowest() -> None:
    rig = Rig()
    rig.submit(1000, cookie=0)
    rig.run(0.5)  # it is in service
    for cookie, sector in enumerate([500, 3000, 2000, 100, 4000], 1):
        rig.submit(sector, cookie=cookie)
    rig.run(200)
    assert rig.cookies() == [0, 3, 2, 5, 4, 1]


def test_what_comes_during_a_sweep_waits_for_the_next() -> None:
    rig = Rig()
    rig.submit(1000, cookie=0)
    rig.run(0.5)
    rig.submit(2000, cookie=1)
    rig.submit(9000, cookie=2)
    rig.run(2)  # the sweep over 2000 and 9000 has begun
    rig.submit(2008, cookie=3)
    rig.submit(9500, cookie=4)
    rig.run(200)
    assert rig.cookies() == [0, 1, 2, 4, 3]


def test_a_stream_that_goes_on_for_ever_keeps_nobody_waiting_for_ever() -> None:
    rig = Rig(guests=2)
    sector = QUARTER
    for cookie in range(1, 17):
        rig.submit(sector, slot=1, pages=11, cookie=cookie)
        sector += 88
    rig.run(3)
    begun = rig.host.now_ns
    rig.submit(0, slot=2, cookie=-1)
    seen = 0
    while -1 not in rig.cookies():
        rig.run(0.1)
        done = len(rig.cookies())
        for _ in range(done - seen):
            rig.submit(sector, slot=1, pages=11, cookie=1)
            sector += 88
        seen = done
        assert rig.host.now_ns - begun < 100 * MS
    # Once a sweep ends: 16 requests of 804 us and two seeks at the most.
    assert rig.records()["at_ns"][-1] - begun < 16 * 804 * US + 20 * MS


def test_of_several_devices_a_sweep_takes_a_batch_each() -> None:
    rig = Rig(guests=2, model=replace(STILL, batch=2))
    rig.submit(5000, slot=1, cookie=0)
    rig.run(0.5)
    for cookie in range(1, 6):
        rig.submit(10_000 * cookie, slot=1, cookie=cookie)
    rig.submit(7, slot=2, cookie=11)
    rig.run(500)
    # Two of the first device, oldest first, and all of the second, which lies behind it on the disk.
    assert rig.cookies() == [0, 1, 2, 11, 3, 4, 5]


@pytest.mark.parametrize("mode", ["split", "inline"])
def test_nothing_passes_a_barrier(mode) -> None:
    rig = Rig(mode=mode)
    rig.submit(1000, cookie=0)
    rig.run(0.5)
    rig.submit(9000, cookie=1)
    rig.submit(3000, cookie=2)
    rig.submit(5000, cookie=3, write=True, barrier=True)
    rig.submit(5500, cookie=4)
    rig.submit(2000, cookie=5)
    rig.run(500)
    assert rig.cookies() == [0, 2, 1, 3, 4, 5] or rig.cookies() == [0, 2, 1, 3, 5, 4]
    assert rig.cookies()[:4] == [0, 2, 1, 3]


def test_a_long_barrier_is_one_at_both_ends() -> None:
    rig = Rig()
    rig.submit(100_000, cookie=0)
    rig.run(0.5)
    rig.submit(200_000, cookie=1)
    rig.submit(150_000, cookie=2, pages=30, write=True, barrier=True)
    rig.submit(150_100, cookie=3)
    rig.run(500)
    assert rig.cookies() == [0, 1, 2, 3]


def test_interrupts_that_nobody_looked_at_collapse() -> None:
    rig = Rig(costs=SPLIT_COSTS)
    for sector in range(1000, 5000, 1000):
        rig.submit(sector)
    rig.run(0.3)
    rig.domctl.pause_domain(0)
    rig.run(50)
    assert rig.disk["interrupts"] == 4
    assert len(rig.records()) == 0
    upcalls = rig.section("ports")["upcalls"][0]
    rig.domctl.unpause_domain(0)
    rig.run(1)
    assert len(rig.records()) == 4
    assert rig.section("ports")["upcalls"][0] - upcalls <= 1
    put_nothing_in(rig)


def test_one_request_after_the_other_and_never_more_than_its_depth() -> None:
    rig = Rig(guests=2, model=replace(STILL, depth=5))
    for n in range(30):
        rig.submit(1000 * n, slot=1, cookie=n)
        rig.submit(999 * n, slot=2, cookie=100 + n)
    most = 0
    while len(rig.records()) < 60:
        rig.run(0.5)
        most = max(most, int(rig.disk["num_used"]))
    assert most == 5
    assert sorted(rig.cookies()) == [*range(30), *range(100, 130)]
    put_nothing_in(rig)


def test_sequential_reading_is_an_order_faster_than_random_reading() -> None:
    def mb_per_s(sector_of):
        rig = Rig(model=DISKS["scsi_10k"], costs=SPLIT_COSTS)
        for n in range(400):
            while len(rig.records()) < n - 2:
                rig.run(0.2)
            rig.submit(sector_of(n), pages=11)
        rig.run(100)
        assert len(rig.records()) == 400
        return 400 * 45_056 / (rig.records()["at_ns"][-1] / 1e9) / 1e6

    sequential = mb_per_s(lambda n: 88 * n)
    scattered = mb_per_s(lambda n: 1_000_003 * 7919 * n % 70_000_000)
    assert 45 < sequential < 60
    assert 4 < scattered < 8


def test_the_average_seek_of_the_preset_is_the_data_sheets() -> None:
    model = DISKS["scsi_10k"]
    steps = 400
    total = sum(seek_ns(abs(a - b) * model.num_sectors // steps, model) for a in range(steps) for b in range(steps))
    assert total / steps**2 / MS == pytest.approx(4.7, abs=0.05)


def test_a_disk_whose_driver_domain_is_gone_can_be_given_to_another() -> None:
    rig = Rig()
    rig.submit(1000)
    rig.run(0.5)
    with pytest.raises(ValueError, match="has a driver already"):
        rig.kind.attach_disk(rig.disk_number, 1)
    rig.domctl.destroy_domain(0)
    rig.run(20)
    assert rig.disk["num_used"] == 0  # served unseen
    rig.domctl.create_domain(0, Os())
    rig.kind.attach_disk(rig.disk_number, 0)
    rig.kind.connect_vbd(rig.vbd[1], 0)
    rig.run(20)
    assert len(rig.records()) == 1
    put_nothing_in(rig)


def test_there_is_room_for_so_many_disks() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="no domain with an operating system is in slot 2"):
        rig.kind.add_disk(2, STILL)
    rig.kind.add_disk(0, STILL)
    with pytest.raises(ValueError, match="no room for another disk"):
        rig.kind.add_disk(0, STILL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_sectors": 0}, "num_sectors must be an integer 1"),
        ({"rotation_us": -1}, "rotation_us must be an integer 0"),
        ({"depth": 129}, "depth must be an integer 1..128, found 129"),
        ({"transfer_mb_per_s": 1.5}, "transfer_mb_per_s"),
        ({"seek_min_us": 9_000}, "seek_max_us 8400 is less than seek_min_us 9000"),
    ],
)
def test_a_model_that_cannot_be_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        DiskModel(**options)
