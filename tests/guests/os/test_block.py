"""Front ends of block devices: what an operation takes, step by step, and how operations become requests."""

from dataclasses import replace

import pytest

from tests.guests.os.block_rig import MS, PAGE_NS, SPLIT_COSTS, STILL, US, Rig, put_nothing_in
from xengym.sim.trace_kinds import TraceKind

SERVICE_NS = 100 * US + 5_000 * US + PAGE_NS  # of a page at a quarter of the disk
QUARTER = STILL.num_sectors // 4


# Hand-worked from SPLIT_COSTS, one page, all domains idle. A domain that is woken enters its handler (600) and looks at
# a port (300); a hypercall (400) is owed afterwards, so it delays nobody here.
ENTER, PORT = 600, 300
WAYS = {
    # Stack, front end and grant; back end, map and driver; interrupt and answer; the guest's completion.
    "split": (ENTER + 4_000 + 1_000 + 200, ENTER + PORT + 2_500 + 900 + 1_500, ENTER + PORT + 1_500 + 1_500, 2_000),
    # The back end's process: woken, the request and the driver; and back through the kernel.
    "tap": (
        ENTER + 4_000 + 1_000 + 200,
        ENTER + PORT + 2_500 + 900 + 5_000 + 12_000 + 1_500,
        ENTER + PORT + 1_500 + 1_500 + 5_000,
        2_000,
    ),
    # Twelve exits, the emulating process, and one exit for the guest's interrupt.
    "emulated": (
        ENTER + 4_000 + 12 * 2_500,
        ENTER + PORT + 2_500 + 15_000 + 1_500,
        ENTER + PORT + 1_500 + 1_500,
        2_000 + 2_500,
    ),
    # Stack, driver and Xen's check; no back end; completion and interrupt.
    "inline": (ENTER + 4_000 + 1_500 + 1_200, 0, 0, 2_000 + 1_500),
    "native": (ENTER + 4_000 + 1_500, 0, 0, 2_000 + 1_500),
}


@pytest.mark.parametrize("mode", WAYS)
def test_a_request_takes_the_sum_of_its_steps(mode) -> None:
    rig = Rig(mode=mode, costs=SPLIT_COSTS)
    begun = rig.host.now_ns
    rig.submit(QUARTER)
    rig.run(50)
    front, back, answer, done = WAYS[mode]
    assert rig.records()["at_ns"][0] - begun == front + back + SERVICE_NS + answer + ENTER + PORT + done
    put_nothing_in(rig)


@pytest.mark.parametrize("mode", ["split", "tap", "emulated"])
def test_the_back_end_works_on_behalf_of_the_guest(mode) -> None:
    rig = Rig(mode=mode, costs=SPLIT_COSTS)
    rig.submit(QUARTER)
    rig.run(50)
    _, back, answer, _ = WAYS[mode]
    served = rig.section("served_ns").reshape(rig.max_domains, rig.max_domains)
    hypercall, irq = 400, 1_500
    assert served[0, 1] == back + answer - 2 * (ENTER + PORT) - irq + hypercall
    assert rig.io(1)["served_ns"] == served[0, 1]
    assert rig.io(0)["idle_ns"] >= 2 * (ENTER + PORT) + irq
    assert rig.io(0)["is_backend"] == 1


@pytest.mark.parametrize("mode", WAYS)
def test_cpu_time_is_charged_to_somebody(mode) -> None:
    rig = Rig(guests=2, mode=mode, costs=SPLIT_COSTS)
    for n in range(40):
        rig.submit(1000 * n, pages=1 + n % 30, slot=1 + n % 2, write=n % 3 == 0)
    rig.run(3_000)
    assert len(rig.records()) == 40
    served = rig.section("served_ns").reshape(rig.max_domains, rig.max_domains)
    for slot in range(3):
        first = rig.section("domain")["first_vcpu"][slot]
        spent = rig.host.runstate_ns(int(first))["running"]
        assert spent == served[slot].sum() + rig.io(slot)["idle_ns"] + rig.section("vcpu")["overhead_ns"][first]


def test_dearer_ways_are_dearer() -> None:
    total = {mode: front + back + answer + done for mode, (front, back, answer, done) in WAYS.items()}
    assert total["native"] < total["inline"] < total["split"] < total["tap"] < total["emulated"]


def test_an_operation_goes_into_requests_of_eleven_pages() -> None:
    rig = Rig()
    rig.host.start_trace()
    rig.submit(0, pages=30, cookie=42)
    rig.run(50)
    kinds = rig.host.trace_records()
    queued = kinds[kinds["kind"] == TraceKind.BLOCK_QUEUED]
    assert queued["value"].tolist() == [42, 42, 42]
    assert (kinds["kind"] == TraceKind.BLOCK_DONE).sum() == 3
    assert rig.cookies() == [42]
    assert rig.io(1)["block_requests"] == 3
    assert rig.io(1)["block_bytes"] == 30 * 4096
    assert rig.io(1)["page_exchanges"] == rig.io(0)["page_exchanges"] == 30
    assert rig.disk["sectors"] == 240
    assert rig.section("grants")["num_maps"][1] == 30
    assert rig.disk["sequential"] == 3


def test_bytes_that_fill_no_page_or_sector() -> None:
    rig = Rig()
    rig.kind.submit(rig.vbd[1], 0, 4097)
    rig.run(50)
    assert rig.disk["sectors"] == 9
    assert rig.io(1)["block_bytes"] == 4097
    assert rig.section("grants")["num_maps"][1] == 2


def test_at_most_32_requests_are_outstanding_and_the_rest_waits_in_order() -> None:
    rig = Rig(model=replace(STILL, seek_min_us=0, seek_max_us=0))
    for n in range(100):
        assert rig.submit(8 * n, cookie=n)
    rig.run(0.3)
    ring = rig.device()["ring"]
    assert ring["req_prod"] - ring["rsp_cons"] == 32
    rig.run(50)
    assert rig.cookies() == list(range(100))
    put_nothing_in(rig)


def test_a_device_takes_so_many_operations_and_no_more() -> None:
    rig = Rig()
    assert [rig.submit(8 * n) for n in range(130)] == [True] * 128 + [False] * 2
    rig.run(200)
    assert len(rig.records()) == 128
    assert rig.submit(0)


def test_an_emulated_disk_has_one_request_at_a_time() -> None:
    rig = Rig(mode="emulated")
    for n in range(10):
        rig.submit(1000 * n)
    for _ in range(200):
        rig.run(0.2)
        assert rig.disk["num_used"] <= 1
    assert len(rig.records()) == 10
    assert rig.section("grants")["num_maps"][1] == 0


def test_the_front_end_can_ask_to_be_notified_after_several_answers() -> None:
    def notified(after):
        rig = Rig()
        rig.kind.remove_vbd(rig.vbd[1])
        rig.vbd[1] = rig.add(1, notify_after=after)
        before = int(rig.section("ports")["sent"][1])
        for n in range(16):
            rig.submit(1000 * n)
        rig.run(100)
        assert len(rig.records()) == 16
        return int(rig.section("ports")["sent"][1]) - before

    assert notified(1) == 16
    # 4 outstanding or fewer: the last are asked for one by one as they become fewer than that.
    assert notified(4) == 4


def test_requests_pushed_while_the_back_end_works_send_no_event() -> None:
    rig = Rig(costs=SPLIT_COSTS)
    before = int(rig.section("ports")["sent"][0])
    for n in range(32):
        rig.submit(100 * n)
        rig.run(0.003)
    rig.run(100)
    interrupts = int(rig.disk["interrupts"])
    assert int(rig.section("ports")["sent"][0]) - before - interrupts < 32
    assert len(rig.records()) == 32


def test_records_are_the_newest() -> None:
    rig = Rig(num_records=4)
    for n in range(10):
        rig.submit(8 * n, cookie=n)
    rig.run(100)
    assert rig.cookies() == [6, 7, 8, 9]
    assert Rig(num_records=0).records().tolist() == []


def test_the_same_seed_gives_the_same_bytes_and_a_snapshot_goes_on_alike() -> None:
    def busy():
        rig = Rig(guests=2, model=replace(STILL, rotation_us=6_000), costs=SPLIT_COSTS, seed=5)
        for n in range(50):
            rig.submit(997 * n, slot=1 + n % 2, pages=1 + n % 13, write=n % 2 == 0, cookie=n)
        rig.run(20)
        return rig

    rig, other = busy(), busy()
    assert rig.host.digest() == other.host.digest()
    snapshot = rig.host.snapshot()
    rig.run(300)
    after = rig.host.digest()
    rig.host.restore(snapshot)
    rig.run(300)
    assert rig.host.digest() == after


def test_a_guest_that_gets_no_cpu_takes_its_answers_later() -> None:
    rig = Rig(costs=SPLIT_COSTS)
    rig.submit(1000)
    rig.run(0.2)
    rig.domctl.pause_domain(1)
    rig.run(50)
    assert len(rig.records()) == 0
    assert rig.device()["requests"] == 1
    rig.domctl.unpause_domain(1)
    rig.run(1)
    assert len(rig.records()) == 1


def test_what_cannot_be_submitted_is_refused() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="num_bytes must be at least 1, found 0"):
        rig.kind.submit(rig.vbd[1], 0, 0)
    with pytest.raises(ValueError, match="there is no virtual block device 3"):
        rig.kind.submit(3, 0, 1)
    with pytest.raises(ValueError, match="no disk is so large"):
        rig.kind.submit(rig.vbd[1], 2**49, 1)


def test_the_driver_domains_share_hardly_matters_to_a_sequential_reader() -> None:
    """Cherkasova, Gupta and Vahdat 2007: the driver domain's CPU time for a disk read is a few per cent."""
    rig = Rig(costs=SPLIT_COSTS, model=replace(STILL, rotation_us=6_000))
    for n in range(20):
        rig.submit(88 * 4 * n, pages=44)
    begun = rig.host.now_ns
    while len(rig.records()) < 20:
        rig.run(1)
    spent = rig.host.runstate_ns(int(rig.section("domain")["first_vcpu"][0]))["running"]
    assert spent / (rig.host.now_ns - begun) < 0.06
    assert rig.records()["at_ns"][-1] - begun < 100 * MS
