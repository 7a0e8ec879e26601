"""Clients outside: each kind's rhythm, deadlines, and that every request ends once."""

import pytest

from tests.guests.os.net_rig import MS, SECOND, US, Rig, constant
from xengym.guests.os.specs import Clients, Os, Service
from xengym.sim.random import DistributionSpec

FAST = {"mbit_per_s": 1e6}


def serving(ms):
    return Os(service=Service(constant(round(ms * MS)), sizes_bytes=((1.0, 100),)))


class TestClosed:
    def test_one_thinks_asks_and_waits(self):
        rig = Rig(program=serving(5), nic=FAST)
        rig.clients("closed", every_ns=15 * MS)
        rig.run(10 * SECOND)
        issued, answered, failed = rig.asked_and_ended()
        assert answered == pytest.approx(10_000 / 20, abs=2)
        assert (issued - answered, failed) in ((0, 0), (1, 0))

    def test_without_thinking_the_next_request_follows_the_answer(self):
        rig = Rig(program=serving(5), nic=FAST)
        rig.clients("closed", every_ns=0)
        rig.run(SECOND)
        assert rig.asked_and_ended()[1] == pytest.approx(200, abs=1)

    def test_without_a_connection_free_time_passes_between_vain_requests(self):
        rig = Rig(program=serving(5), limits={"max_flows": 1})
        rig.clients("closed", every_ns=0, num=2)
        rig.run(100 * MS - 1)
        issued, answered, failed = rig.asked_and_ended()
        assert failed == 100
        assert issued == answered + failed + 1

    def test_a_heap_of_clients_keeps_their_order(self):
        rig = Rig(program=serving(0), nic=FAST)
        population = Clients("closed", DistributionSpec("exponential", 10 * MS), num=50)
        rig.control.create_clients(1, population)
        rig.run(SECOND)
        assert rig.asked_and_ended()[1] == pytest.approx(50 * 100, rel=0.05)


class TestOpen:
    def test_requests_come_whatever_became_of_those_before(self):
        rig = Rig(program=serving(25), nic=FAST)
        rig.clients("open", every_ns=10 * MS, num=3)
        rig.run(96 * MS)
        # One is done each 25 ms from 10 ms on; three may be under way, and what is more fails.
        issued, answered, failed = rig.asked_and_ended()
        assert (issued, answered) == (9, 3)
        assert failed == 9 - 3 - 3
        assert rig.section("domain")["jobs_dropped"][1] == failed


class TestStream:
    def test_a_piece_in_every_period(self):
        rig = Rig(program=serving(5), nic=FAST)
        rig.clients("stream", every_ns=20 * MS, deadline_ns=6 * MS)
        rig.run(SECOND)
        population = rig.population()
        assert population["answered"] == population["in_time"] == 50

    def test_an_answer_is_due_from_when_the_piece_should_have_been_asked_for(self):
        # Each takes 25 ms and is asked for late: 5 ms more each time.
        rig = Rig(program=serving(25), nic=FAST)
        rig.clients("stream", every_ns=20 * MS, deadline_ns=37 * MS)
        rig.run(SECOND)
        population = rig.population()
        assert population["in_time"] == 3
        assert population["response_max_ns"] == pytest.approx(25 * MS + 5 * MS * (population["answered"] - 1), rel=0.01)


class TestWithoutConnection:
    def test_a_flood_is_answered_by_nobody(self):
        rig = Rig()
        rig.clients("flood", every_ns=100 * US, request_bytes=50)
        rig.run(MS)
        assert rig.asked_and_ended() == (10, 0, 0)
        assert rig.io(1)["rx_packets"] == 9
        assert rig.io(1)["tx_packets"] == 0

    def test_a_ping_comes_back(self):
        rig = Rig(nic={"delay_ns": 200 * US})
        rig.clients("ping", every_ns=MS, request_bytes=50, deadline_ns=500 * US)
        rig.run(4900 * US)
        population = rig.population()
        assert rig.asked_and_ended() == (4, 4, 0)
        assert (population["response_max_ns"], population["in_time"]) == (500 * US, 4)

    def test_one_that_comes_back_late_is_not_in_time(self):
        rig = Rig(nic={"delay_ns": 200 * US})
        rig.clients("ping", every_ns=MS, request_bytes=50, deadline_ns=500 * US - 1)
        rig.run(4900 * US)
        assert (rig.population()["answered"], rig.population()["in_time"]) == (4, 0)

    def test_answers_to_clients_that_are_gone_do_not_count_for_the_next(self):
        rig = Rig(nic={"delay_ns": 10 * MS})
        first = rig.clients("ping", every_ns=MS, request_bytes=50)
        rig.run(10 * MS)
        rig.kind.remove_population(first)
        assert rig.clients("ping", every_ns=100 * MS, request_bytes=50) == first
        rig.run(50 * MS)
        assert rig.asked_and_ended() == (0, 0, 0)


class TestComingAndGoing:
    def test_they_begin_when_they_are_told_to(self):
        rig = Rig()
        spec = Clients("flood", constant(MS), request_bytes=50)
        rig.control.create_clients(1, spec, start_ns=7 * MS)
        rig.run(9 * MS)
        assert rig.at("CLIENT_SEND") == [8 * MS, 9 * MS]

    def test_what_they_wait_for_fails_when_they_go(self):
        rig = Rig(program=serving(50), nic=FAST)
        number = rig.clients("closed", every_ns=0, num=3)
        rig.run(60 * MS)
        assert rig.asked_and_ended() == (4, 1, 0)
        rig.kind.remove_population(number)
        assert rig.asked_and_ended() == (4, 1, 3)
        rig.run(SECOND)
        assert rig.asked_and_ended() == (4, 1, 3)
        assert rig.section("service")["num_requests"][1] == 0

    def test_what_they_wait_for_fails_when_the_domain_goes(self):
        rig = Rig(program=serving(50), nic=FAST)
        rig.clients("closed", every_ns=0, num=3)
        rig.run(60 * MS)
        rig.domctl.destroy_domain(1)
        assert rig.asked_and_ended() == (4, 1, 3)
        assert rig.population()["kind"] == -1

    def test_their_places_are_used_again(self):
        rig = Rig(limits={"max_clients": 4, "max_populations": 3})
        first, second = (rig.clients("ping", num=2) for _ in range(2))
        rig.kind.remove_population(first)
        assert rig.clients("ping", num=2) == first
        rig.kind.remove_population(second)
        rig.clients("ping", num=1)
        with pytest.raises(ValueError, match="no room for 2 clients in a row; 3 of at most 4 are in use"):
            rig.clients("ping", num=2)

    def test_more_populations_than_there_is_room_for(self):
        rig = Rig(limits={"max_populations": 1})
        rig.clients("ping")
        with pytest.raises(ValueError, match="no room for another population; the host holds its maximum of 1"):
            rig.clients("ping")
