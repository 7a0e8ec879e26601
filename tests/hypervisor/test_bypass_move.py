"""A guest with a bypass device moves: the engine's stages and the device's together, with a fault in each stage."""

import pytest

from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_model import MemoryModel, Region
from xengym.mechanisms.bypass_device import BypassCosts, BypassDevice

MS = 1_000_000
RATE = 50_000_000.0


def moved(fault_at=None):
    """Operations are posted all the time; the device is drained at the stop, and resumes where the guest is."""
    device = BypassDevice(3, BypassCosts(operation_bytes=100_000, bytes_per_s=100_000_000, delay_ns=MS, window=4))
    spec = MoveSpec(
        drain_ms=20.0, remap_ms=device.remap_ns / MS, suspend_ms=5, resume_ms=5, commit_ms=2, request_ms=1,
        law="constant", stop_rule="rounds", max_rounds=2, min_mbit_per_s=400, max_mbit_per_s=400,
    )  # fmt: skip
    move = Move(MemoryModel((Region(2000, 500.0), Region(8000))), spec)
    move.begin()
    stage, posted = "none", 0
    handles = dict(device.handles)
    while not move.is_over:
        if move.stage == "round-end":
            move.follow_rules()
        if move.stage != stage:
            stage = move.stage
            if stage == "stop-and-copy":
                device.drain()
                assert device.drain_ns <= 20 * MS
            if stage == "commitment":
                assert device.is_drained
            if stage == "activation":
                device.move(lid=2)
            if stage == fault_at:
                assert move.fail()
                continue
        runs = stage not in ("stop-and-copy", "commitment", "activation")
        if runs:
            posted += 3
            for number in range(3):
                device.post(number)
        device.run(move.run(2 * MS, RATE))
    device.resume()
    device.run(10_000 * MS)
    return move, device, handles, posted


@pytest.mark.parametrize("fault_at", [None, "reservation", "pre-copy", "stop-and-copy", "commitment"])
def test_no_operation_is_lost_or_done_twice(fault_at):
    move, device, handles, posted = moved(fault_at)
    assert move.stage == ("done" if fault_at is None else "aborted")
    for pair in device.queue_pairs:
        operations = [done.operation for done in device.done if done.queue_pair == pair.number]
        assert operations == list(range(pair.posted))
    assert len(device.done) == posted
    assert (device.handles == handles) == (fault_at is not None)


def test_its_downtime_is_some_tens_of_milliseconds_more():
    """Order of magnitude from memory only: tens of ms for a few queue pairs."""
    move, device, _, _ = moved()
    assert move.downtime_ns > (20 + 5 + 5 + 2) * MS + device.remap_ns
    assert device.resent == device.ignored == 0
