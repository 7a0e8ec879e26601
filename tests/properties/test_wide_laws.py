"""Laws of a move between sites, with faults at any moment: nothing is lost, nothing is there twice."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.hypervisor.wide_specs import SECOND, wide_move
from xengym.hypervisor.wide_spec import ConditionSpec, Extent
from xengym.machine.migration_state import REASONS

PAGES, BLOCK = 1000, 4096

STAGES = ("disk", "pre-copy", "stop-and-copy", "commitment", "activation", "done")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 8 * SECOND)),
        st.tuples(st.just("run"), st.integers(0, SECOND // 20)),
        st.tuples(st.just("fail"), st.integers(1, len(REASONS) - 1)),
        st.tuples(st.just("throttle"), st.integers(0, 2000), st.sampled_from([0.0, 1.0, 30.0])),
        st.tuples(st.just("limit"), st.sampled_from([0.0, 1.0, 6.0])),
        st.tuples(st.just("refuse"), st.sampled_from([2, 6])),
        st.tuples(st.just("want_stop"), st.booleans()),
        st.tuples(st.sampled_from(["cut_line", "mend_line"])),
    ),
    min_size=2, max_size=8,
)  # fmt: skip
MOVES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["live", "live", "stop", "self"]),
        "has_disk": st.sampled_from([True, True, False]),
        "freezes": st.booleans(),
        "apply_mib_per_s": st.sampled_from([0.05, 1000.0]),
        "hot": st.sampled_from([0, 30, 200]),
        "decides": st.sampled_from(["rules", "request"]),
        "delay_ms": st.sampled_from([0.0, 40.0]),
        "extents": st.lists(
            st.builds(Extent, st.sampled_from([0.5, 2.0, 6.0]), st.sampled_from([0.0, 20.0, 400.0])),
            min_size=1, max_size=3,
        ).map(tuple),
        "conditions": st.lists(
            st.tuples(*map(st.sampled_from, ([0.0, 1.0, 5.0], [0.0, 3.0, 50.0], [0.0, 0.3, 1.0]))),
            min_size=1, max_size=3,
        ).map(lambda rows: tuple(ConditionSpec(4.0 * i, row[0], row[0], row[1], row[2]) for i, row in enumerate(rows))),
        "audience": st.fixed_dictionaries(
            {
                "num_clients": st.just(12), "think_s": st.just(0.5), "exchanges": st.just(20.0),
                "exchange_ms": st.just(50.0), "keeps_address": st.booleans(), "has_tunnel": st.booleans(),
                "ttl_s": st.sampled_from([0.0, 3.0]), "timeout_s": st.sampled_from([0.5, 900.0]),
            }
        ),
    }
)  # fmt: skip


def assert_laws(move, blocks):
    state, disk, reach, line = move.state[0], move.disk[0], move.redirection[0], move.line[0]
    # One copy runs, or none because it stands still or its host is dead; never two.
    stands_still = move.stage in ("stop-and-copy", "commitment", "activation") or (
        move.spec.freezes and move.stage == "disk"
    )
    owner_lives = state[f"{move.owner}_lives"]
    assert move.live_copies == (0 if stands_still or not owner_lives else 1)
    assert state["destination_runs"] <= (move.owner == "destination")
    assert state["source_runs"] <= (move.owner == "source")
    # Whoever owns it has all of it, and nobody keeps what is not his.
    assert state[f"{move.owner}_pages"] == PAGES
    if move.owner == "source" or move.spec.move.has_disk:
        assert state[f"{move.owner}_blocks"] == blocks
    if move.stage in ("none", "pre-migration", "reservation", "aborted"):
        assert state["destination_pages"] == state["destination_blocks"] == 0
        assert not disk["is_recording"]
        assert disk["num_writes"] == disk["sent_bytes"] == disk["copied_bytes"] == 0
        assert not reach["is_tunnel_up"]
    if move.owner == "destination":
        assert state["source_pages"] == state["source_blocks"] == 0
        assert not disk["is_recording"]
        if move.spec.move.has_disk:
            # Every write that was recorded is on the destination's disk.
            assert disk["applied_bytes"] == pytest.approx(disk["num_writes"] * BLOCK, abs=2)
            assert disk["copied_bytes"] == blocks * BLOCK
    # Deltas: made, sent, waiting or applied.
    made = disk["num_writes"] * BLOCK
    assert -1e-3 <= disk["applied_bytes"] <= disk["sent_bytes"] + 1 <= made + 2
    assert move.queued_bytes == pytest.approx(made - disk["sent_bytes"], abs=1)
    assert disk["applied_bytes"] + move.waiting_bytes <= disk["sent_bytes"] + 1
    assert disk["held_up_writes"] + 1e-6 >= 0
    assert 0 <= line["others_got_bytes"] <= line["others_wanted_bytes"] * (1 + 1e-9)
    # Connections: opened, ended, lost or open.
    assert reach["opened"] == reach["ended"] + reach["lost"] + move.open_connections
    if reach["keeps_address"] or reach["moved_at_ns"] < 0:
        assert reach["opened_new"] == reach["tunnelled"] == 0
    assert (move.stage == "aborted") == bool(move.reason)


def reach(move, stage, limit_s=60):
    """Let time pass until that stage, or until it is clear that it does not come; laws hold all the way."""
    move.want_stop()
    blocks = move.spec.disk.blocks
    while move.stage != stage and move.is_under_way and move.now_ns < limit_s * SECOND:
        move.run(SECOND // 200)
        assert_laws(move, blocks)


@settings(max_examples=120)
@given(MOVES, st.lists(st.tuples(st.sampled_from(STAGES), EVENTS), min_size=1, max_size=2), st.integers(0, 2**32))
def test_whatever_fails_and_when(order, events, seed):
    order = order | {"freezes": order["freezes"] and order["kind"] == "stop"}
    times = {"request_ms": 20, "suspend_ms": 30, "resume_ms": 40, "commit_ms": 10}
    move = wide_move(seed=seed, move=times, line={"patience_s": 5.0}, **order)
    blocks = move.spec.disk.blocks
    move.begin()
    has_faults, last = False, 0
    for stage, disturbances in events:
        reach(move, stage)
        for name, *arguments in disturbances:
            getattr(move, name)(*arguments)
            has_faults |= name == "fail"
            assert move.now_ns >= last
            last = move.now_ns
            assert_laws(move, blocks)
    move.mend_line()
    move.limit(0)
    move.throttle(0, 30.0)
    reach(move, "done", 120)
    move.run(60 * SECOND)
    assert_laws(move, blocks)
    if (
        not has_faults
        and order["audience"]["timeout_s"] > 100
        and (order["audience"]["has_tunnel"] or order["audience"]["keeps_address"])
    ):
        assert move.redirection["lost"][0] == 0
        assert move.redirection["refused"][0] == 0


@settings(max_examples=60)
@given(st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=20), st.integers(0, 2**32))
def test_how_time_is_cut_into_calls_changes_little(pieces, seed):
    """The same move in one call and in many: the same end, up to the rounding of a page and a nanosecond."""
    whole, cut = (
        wide_move(seed=seed, writes_per_s=60, audience={"num_clients": 5}, extents=(Extent(2), Extent(2, 60)))
        for _ in "ab"
    )
    for move in (whole, cut):
        move.begin()
    for piece in pieces:
        cut.run(piece, True)
    assert whole.finish(1000 * SECOND)
    assert cut.finish(1000 * SECOND)
    assert cut.elapsed_ns == pytest.approx(whole.elapsed_ns, rel=2e-3)
    assert cut.carried_bytes == pytest.approx(whole.carried_bytes, rel=2e-3)


@given(st.integers(0, 40 * SECOND), st.sampled_from([1, 3, 5]))
def test_an_aborted_move_leaves_the_domain_to_go_on_as_if_it_had_not_been(at_ns, reason):
    """Afterwards the domain writes as much in a second as one that never moved."""
    move = wide_move(writes_per_s=100, record_overhead_frac=0.1, audience={"num_clients": 5})
    move.throttle(10, 50.0)
    move.begin()
    move.run(at_ns)
    if move.fail(reason):
        assert move.state["source_runs"][0] == 1
        again = wide_move(writes_per_s=100)
        for name in ("copied_bytes", "num_writes", "sent_bytes", "applied_bytes", "is_recording"):
            assert move.disk[name][0] == again.disk[name][0]
        wanted, held_up, carried = (
            float(move.disk["wanted_writes"][0]),
            float(move.disk["held_up_writes"][0]),
            move.carried_bytes,
        )
        move.run(10 * SECOND)
        assert move.disk["wanted_writes"][0] - wanted == pytest.approx(1000)
        assert move.disk["held_up_writes"][0] == held_up
        assert move.carried_bytes == carried
