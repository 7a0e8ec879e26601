"""A whole move between sites, worked by hand: stages, downtime, connections, and a fault at each stage."""

import pytest

from tests.hypervisor.wide_specs import SECOND, wide_move
from xengym.hypervisor.wide_spec import ConditionSpec, WideSpec
from xengym.machine.migration_state import REASONS

LINE = 1_000_000
PAGE = 4096
LINK, REFUSED, DESTINATION, SOURCE, CANCELLED, NO_ROOM = range(1, 7)
IMAGE_S = 16 * 2**20 / LINE
TUNNEL_S = 0.05


def run_until(move, stage, limit_s=1000, step_ns=SECOND // 100):
    while move.stage != stage:
        assert move.now_ns < limit_s * SECOND, move.stage
        move.run(step_ns)


class TestTime:
    def test_an_idle_domain_takes_its_image_and_its_memory(self):
        move = wide_move(hot=0)
        move.begin()
        assert move.finish(1000 * SECOND)
        assert move.stage == "done"
        assert move.elapsed_ns / SECOND == pytest.approx(IMAGE_S + 1000 * PAGE / LINE + TUNNEL_S, rel=1e-6)
        assert move.carried_bytes == pytest.approx(16 * 2**20 + 1000 * PAGE, rel=1e-6)
        assert move.downtime_ns == 0

    def test_freeze_and_copy_is_down_for_all_of_it(self):
        move = wide_move(kind="stop", freezes=True, writes_per_s=100.0)
        move.begin()
        assert move.finish(1000 * SECOND)
        assert move.downtime_ns / SECOND == pytest.approx(IMAGE_S + 1000 * PAGE / LINE, rel=1e-6)
        assert move.disk["num_writes"][0] == 0

    def test_deltas_go_before_memory(self):
        quiet, writing = wide_move(hot=0), wide_move(hot=0, writes_per_s=0.5 * LINE / PAGE)
        for move in (quiet, writing):
            move.begin()
            assert move.finish(1000 * SECOND)
        # Disk and memory both at half the line.
        assert writing.elapsed_ns / SECOND - TUNNEL_S == pytest.approx(
            2 * (quiet.elapsed_ns / SECOND - TUNNEL_S), rel=1e-6
        )

    def test_what_is_written_while_the_tunnel_is_set_up_is_sent_in_the_stop(self):
        """100 pages, each written often enough to be dirty at the end: they are the stop-and-copy."""
        move = wide_move(
            hot=100, writes_per_s=0, move={"stop_rule": "rounds", "max_rounds": 1}, audience={"tunnel_ms": 100}
        )
        move.begin()
        assert move.finish(1000 * SECOND)
        assert move.downtime_ns / SECOND == pytest.approx(100 * PAGE / LINE, rel=0.02)
        assert move.redirection["tunnel_up_at_ns"][0] == move.redirection["paused_at_ns"][0]

    def test_a_line_shared_with_others_leaves_the_move_what_they_do_not_want_but_at_least_its_share(self):
        for competing_mbit, share in ((2.0, 0.75), (6.0, 0.5), (100.0, 0.5)):
            move = wide_move(hot=0, conditions=(ConditionSpec(0.0, competing_mbit_per_s=competing_mbit),))
            move.begin()
            move.run(8 * SECOND)
            assert move.carried_bytes == pytest.approx(share * LINE * 8, rel=1e-6)
            got = float(move.line["others_got_bytes"][0])
            assert got == pytest.approx(min(competing_mbit * 125_000, (1 - share) * LINE) * 8, rel=1e-6)

    def test_a_window_limits_by_the_round_trip(self):
        move = wide_move(hot=0, delay_ms=50.0, line={"window_bytes": 65_536})
        move.begin()
        move.run(SECOND // 10)  # the destination's answer
        before = move.carried_bytes
        move.run(SECOND)
        assert move.carried_bytes - before == pytest.approx(655_360, rel=1e-6)

    def test_a_limit_holds_for_the_whole_move(self):
        move = wide_move(hot=0, writes_per_s=50)
        move.limit(4.0)
        move.begin()
        move.run(10 * SECOND)
        assert move.carried_bytes == pytest.approx(5_000_000, rel=1e-6)

    def test_on_request_rounds_go_on_until_somebody_says_stop(self):
        move = wide_move(decides="request")
        move.begin()
        move.run(200 * SECOND)
        assert move.stage in ("pre-copy", "round-end")
        assert move.migration["round"][0] > 10
        move.want_stop()
        move.run(5 * SECOND)
        assert move.stage == "done"

    def test_an_idle_domain_on_request_costs_few_rounds(self):
        move = wide_move(decides="request", hot=0)
        move.begin()
        move.run(100 * SECOND)
        assert move.migration["round"][0] < 10 * 100

    def test_the_last_deltas_are_waited_for_even_if_no_memory_is_left(self):
        """Nothing dirties memory; for 2 s before the stop the domain writes twice what the line carries."""
        conditions = (ConditionSpec(0, 0), ConditionSpec(40.0, 1))
        move = wide_move(hot=0, decides="request", writes_per_s=2 * LINE / PAGE, conditions=conditions)
        move.begin()
        move.run(42 * SECOND)
        assert move.stage == "round-end"
        assert move.queued_bytes == pytest.approx(2 * LINE, rel=1e-3)
        move.want_stop()
        assert move.finish(10 * SECOND)
        assert move.downtime_ns / SECOND == pytest.approx(2.0, abs=0.2)
        assert move.disk["applied_bytes"][0] == pytest.approx(float(move.disk["num_writes"][0]) * PAGE, abs=1)

    def test_a_frozen_domain_has_to_be_moved_by_stopping_it(self):
        with pytest.raises(ValueError, match="by kind 'stop', found 'live'"):
            wide_move(freezes=True)

    def test_conditions_begin_at_the_beginning(self):
        with pytest.raises(ValueError, match="the first from 0 s on"):
            wide_move(conditions=(ConditionSpec(1.0),))


class TestConnections:
    AUDIENCE = {
        "num_clients": 20,
        "think_s": 1.0,
        "exchanges": 30.0,
        "exchange_ms": 100.0,
        "extra_ms": 50.0,
        "ttl_s": 0.0,
    }

    def moved(self, move={"suspend_ms": 2000}, line=None, **audience):  # noqa: B006
        move = wide_move(hot=0, move=move, line=line, audience=self.AUDIENCE | audience)
        move.begin()
        assert move.finish(1000 * SECOND)
        return move

    def test_old_connections_survive_in_the_tunnel_and_it_goes_with_the_last(self):
        move = self.moved()
        reach = move.redirection[0]
        old = move.old_connections
        assert reach["lost"] == 0
        assert reach["tunnelled"] > 0
        assert reach["is_tunnel_up"]
        while move.old_connections:
            assert reach["is_tunnel_up"]
            assert move.old_connections <= old + reach["opened_stale"]
            move.run(SECOND // 10)
        move.run(SECOND // 10)
        assert not reach["is_tunnel_up"]
        assert reach["tunnel_down_at_ns"] == reach["last_old_end_ns"]
        assert reach["lost"] == reach["refused"] == 0

    def test_new_ones_go_to_the_new_address_once_the_name_says_so(self):
        move = self.moved(dns_ms=700.0)
        reach = move.redirection[0]
        assert reach["name_updated_at_ns"] == reach["moved_at_ns"] + 700_000_000
        move.run(690_000_000)
        assert reach["opened_new"] == 0
        stale = int(reach["opened_stale"])
        move.run(60 * SECOND)
        assert reach["opened_new"] > 100
        assert reach["opened_stale"] <= stale + 20

    def test_a_resolver_may_keep_the_old_address_for_its_time_to_live_and_the_tunnel_waits_for_that(self):
        move = self.moved(ttl_s=40.0, exchanges=2.0)
        reach = move.redirection[0]
        move.run(39 * SECOND)
        assert reach["is_tunnel_up"]
        move.run(60 * SECOND)
        assert not reach["is_tunnel_up"]
        assert reach["tunnel_down_at_ns"] >= reach["name_updated_at_ns"] + 40 * SECOND
        assert reach["lost"] == reach["refused"] == 0
        assert reach["opened_stale"] > 0

    def test_an_exchange_through_the_tunnel_takes_longer(self):
        """One client, one endless connection: exchanges of 100 ms before, 150 ms after."""
        move = self.moved(num_clients=1, think_s=0.0, exchanges=1e9)
        done = int(move.redirection["done_exchanges"][0])
        move.run(15 * SECOND)
        assert move.redirection["done_exchanges"][0] - done == 100

    def test_without_a_tunnel_old_connections_are_lost_and_the_old_address_answers_nobody(self):
        move = self.moved(has_tunnel=False, ttl_s=10.0)
        reach = move.redirection[0]
        assert reach["lost"] > 0
        assert reach["tunnelled"] == 0
        move.run(60 * SECOND)
        assert reach["refused"] > 0
        assert reach["opened_new"] > 0
        assert reach["opened_stale"] == 0

    def test_inside_a_subnet_the_address_moves_along(self):
        move = self.moved(keeps_address=True)
        reach = move.redirection[0]
        move.run(60 * SECOND)
        assert reach["lost"] == reach["tunnelled"] == reach["opened_new"] == 0
        assert reach["tunnel_up_at_ns"] == -1
        assert reach["name_updated_at_ns"] == -1

    def test_connections_give_up_when_it_takes_too_long(self):
        assert self.moved(timeout_s=1.9).redirection["lost"][0] > 0
        assert self.moved(timeout_s=2.1).redirection["lost"][0] == 0

    def test_nothing_is_exchanged_while_it_stands_still(self):
        move = wide_move(hot=0, move={"suspend_ms": 5000}, audience=self.AUDIENCE)
        move.begin()
        run_until(move, "stop-and-copy")
        done, opened = (int(move.redirection[name][0]) for name in ("done_exchanges", "opened"))
        move.run(4 * SECOND)
        assert (move.redirection["done_exchanges"][0], move.redirection["opened"][0]) == (done, opened)


class TestFaults:
    STAGES = ("reservation", "disk", "pre-copy", "stop-and-copy", "commitment")
    SLOW = {"request_ms": 500, "suspend_ms": 500, "commit_ms": 500, "resume_ms": 500}

    def at(self, stage, **kwargs):
        move = wide_move(move=self.SLOW, audience=TestConnections.AUDIENCE, **kwargs)
        move.begin()
        run_until(move, stage)
        return move

    def assert_as_before(self, move, reason):
        assert (move.stage, move.reason) == ("aborted", REASONS[reason])
        state = move.state[0]
        assert (state["source_pages"], state["destination_pages"]) == (1000, 0)
        assert (state["source_blocks"], state["destination_blocks"]) == (4096, 0)
        assert not move.disk["is_recording"][0]
        assert not move.memory["is_logging"][0]
        assert not move.redirection["is_tunnel_up"][0]
        assert move.owner == "source"

    @pytest.mark.parametrize("stage", STAGES)
    @pytest.mark.parametrize("reason", [LINK, DESTINATION, CANCELLED])
    def test_before_the_acknowledgement_the_domain_goes_on_at_the_source(self, stage, reason):
        move = self.at(stage)
        assert move.fail(reason)
        self.assert_as_before(move, reason)
        assert move.live_copies == move.state["source_runs"][0] == 1
        ended = int(move.redirection["ended"][0])
        move.run(30 * SECOND)
        assert move.redirection["ended"][0] > ended
        assert move.redirection["lost"][0] == 0
        wanted = float(move.disk["held_up_writes"][0])
        move.run(SECOND)
        assert move.disk["held_up_writes"][0] == wanted

    @pytest.mark.parametrize("stage", STAGES)
    def test_a_source_that_dies_takes_the_domain_with_it_and_its_disk_is_there(self, stage):
        move = self.at(stage)
        assert move.fail(SOURCE)
        self.assert_as_before(move, SOURCE)
        assert move.live_copies == 0
        assert move.open_connections == 0

    def test_after_the_acknowledgement_a_dead_source_takes_only_the_tunnel(self):
        move = self.at("activation")
        assert not move.fail(SOURCE)
        move.run(SECOND)
        assert move.stage == "done"
        assert move.live_copies == move.state["destination_runs"][0] == 1
        assert move.redirection["lost"][0] > 0
        assert move.redirection["tunnelled"][0] == 0

    def test_a_source_that_dies_later_takes_what_goes_through_it(self):
        move = self.at("done")
        tunnelled = move.old_connections
        assert tunnelled > 0
        assert not move.fail(SOURCE)
        assert move.redirection["lost"][0] > 0
        assert move.old_connections == 0
        assert move.live_copies == 1

    @pytest.mark.parametrize("stage", ["activation", "done"])
    def test_a_destination_that_dies_after_it_was_the_owner_takes_the_domain(self, stage):
        move = self.at(stage)
        assert not move.fail(DESTINATION)
        move.run(SECOND)
        assert (move.stage, move.owner, move.live_copies) == ("done", "destination", 0)
        assert move.open_connections == 0
        move.run(30 * SECOND)
        assert move.redirection["refused"][0] > 0

    @pytest.mark.parametrize("reason", [REFUSED, NO_ROOM])
    def test_the_destination_may_refuse_with_a_reason(self, reason):
        move = wide_move(move=self.SLOW)
        move.refuse(reason)
        move.begin()
        assert move.finish(10 * SECOND)
        self.assert_as_before(move, reason)
        assert move.elapsed_ns == 500_000_000
        assert move.carried_bytes == 0
        assert move.downtime_ns == 0

    @pytest.mark.parametrize("stage", STAGES)
    def test_a_line_that_comes_back_in_time_costs_only_time(self, stage):
        undisturbed = wide_move(move=self.SLOW, hot=0)
        undisturbed.begin()
        undisturbed.finish(1000 * SECOND)
        move = wide_move(move=self.SLOW, hot=0)
        move.begin()
        run_until(move, stage)
        carried = move.carried_bytes
        move.cut_line()
        move.run(20 * SECOND)
        assert move.carried_bytes == carried
        move.mend_line()
        assert move.finish(1000 * SECOND)
        assert move.stage == "done"
        lost_s = (move.elapsed_ns - undisturbed.elapsed_ns) / SECOND
        # To stop the domain needs no line: that half second goes by meanwhile.
        assert lost_s == pytest.approx(20, abs=0.51)

    @pytest.mark.parametrize("stage", STAGES)
    def test_a_line_that_stays_away_ends_the_move_when_patience_is_over(self, stage):
        move = self.at(stage, line={"patience_s": 7.0})
        at_ns = move.now_ns
        move.cut_line()
        move.run(6_990_000_000)
        assert move.is_under_way
        move.run(20_000_000)
        self.assert_as_before(move, LINK)
        assert move.elapsed_ns == pytest.approx(at_ns + 7 * SECOND, abs=2)
        assert move.live_copies == 1

    def test_an_outage_may_be_a_condition(self):
        conditions = (ConditionSpec(), ConditionSpec(4.0, line_factor=0.0), ConditionSpec(9.0))
        move = wide_move(hot=0, conditions=conditions)
        move.begin()
        assert move.finish(1000 * SECOND)
        assert move.elapsed_ns / SECOND == pytest.approx(5 + IMAGE_S + 1000 * PAGE / LINE + TUNNEL_S, rel=1e-6)

    def test_a_reason_that_there_is_not_is_named(self):
        with pytest.raises(ValueError, match=r"expected a reason in 1\.\.6, found 7"):
            wide_move().fail(7)

    def test_it_begins_once(self):
        move = wide_move()
        move.begin()
        with pytest.raises(ValueError, match="in stage 'pre-migration' already"):
            move.begin()


def test_a_copy_of_the_state_goes_on_identically():
    move = wide_move(writes_per_s=50, audience=TestConnections.AUDIENCE)
    move.begin()
    move.run(7 * SECOND)
    parts = move.parts_of_state()
    other = wide_move(writes_per_s=50, audience=TestConnections.AUDIENCE)
    other.set_parts_of_state(parts)
    for each in (move, other):
        each.finish(1000 * SECOND)
        each.run(20 * SECOND)
    for ours, theirs in zip(move.parts_of_state(), other.parts_of_state(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert isinstance(move.spec, WideSpec)
