"""Services and loops: stages, calls between tiers, processes, refusals, vCPUs that share the work."""

import pytest

from tests.guests.os.net_rig import MS, SECOND, US, Rig, constant
from xengym.guests.os.specs import Loop, Os, Service

FAST = {"mbit_per_s": 1e6}


def served(ms, **options):
    return Os(service=Service(constant(round(ms * MS)), sizes_bytes=((1.0, 100),), **options))


def response_ms(rig, number=0):
    population = rig.population(number)
    return population["response_ns"] / population["answered"] / MS


class TestService:
    @pytest.mark.parametrize(
        ("options", "ms"),
        [({}, 3), ({"after": constant(2 * MS)}, 5), ({"dynamic_frac": 1.0, "dynamic": constant(8 * MS)}, 8)],
    )
    def test_takes_the_cpu_time_of_its_stages(self, options, ms):
        rig = Rig(program=served(3, **options), nic=FAST)
        rig.clients("closed", every_ns=20 * MS)
        rig.run(SECOND)
        assert response_ms(rig) == pytest.approx(ms, abs=0.01)
        assert rig.kind.served_ns()[1, 1] == rig.population()["issued"] * ms * MS

    def test_half_of_the_pages_are_dynamic(self):
        rig = Rig(program=served(1, dynamic_frac=0.5, dynamic=constant(3 * MS)), nic=FAST)
        rig.clients("closed", every_ns=MS)
        rig.run(20 * SECOND)
        assert response_ms(rig) == pytest.approx(2, rel=0.03)

    def test_answers_come_in_their_classes(self):
        service = Service(constant(0), sizes_bytes=((3.0, 100), (1.0, 1000)))
        rig = Rig(program=Os(service=service), nic=FAST)
        rig.clients("closed", every_ns=MS)
        rig.run(10 * SECOND)
        assert rig.population()["bytes"] / rig.population()["answered"] == pytest.approx(0.75 * 100 + 250, rel=0.03)

    def test_requests_wait_for_a_process_first_come_first_served(self):
        rig = Rig(program=served(10, processes=1), nic=FAST)
        rig.clients("closed", every_ns=0, num=3)
        rig.run(SECOND)
        assert rig.section("service")["num_requests"][1] == 1
        assert response_ms(rig) == pytest.approx(30, rel=0.03)

    def test_two_vcpus_work_at_two_requests(self):
        rig = Rig(nic=FAST)
        rig.domctl.create_domain(5, served(10), num_vcpus=2)
        rig.control.create_vif(5, nic=rig.card)
        rig.clients("closed", 5, every_ns=0, num=2)
        rig.run(SECOND)
        assert response_ms(rig) == pytest.approx(10, rel=0.03)

    def test_a_vcpu_that_is_offline_is_given_no_work(self):
        rig = Rig(nic=FAST)
        rig.domctl.create_domain(5, served(10), num_vcpus=3)
        rig.control.create_vif(5, nic=rig.card)
        rig.run(MS)
        rig.domctl.set_vcpu_online(5, 1, False)
        rig.clients("closed", 5, every_ns=0, num=2)
        rig.run(SECOND)
        assert response_ms(rig) == pytest.approx(10, rel=0.03)


class TestRefusal:
    def test_128_wait_for_a_process_and_the_next_one_is_refused(self):
        rig = Rig(program=served(10_000, processes=1), nic=FAST, limits={"max_clients": 200})
        rig.clients("open", every_ns=MS, num=200)
        rig.run(150 * MS - 1)
        issued, answered, failed = rig.asked_and_ended()
        assert (issued, answered, failed) == (149, 0, 149 - 129)
        assert rig.section("programs")["refused"][1] == 20
        assert rig.section("domain")["jobs_dropped"][1] == 20

    def test_a_domain_without_a_service_refuses(self):
        rig = Rig(nic=FAST)
        rig.clients("open", every_ns=MS, num=3)
        rig.run(10 * MS + 500 * US)
        assert rig.asked_and_ended() == (10, 0, 10)

    def test_a_request_for_which_no_process_is_left_on_the_host_waits_for_one(self):
        rig = Rig(guests=2, program=served(10), nic=FAST, limits={"max_requests": 1})
        rig.clients("closed", 1, every_ns=500 * MS)
        rig.clients("closed", 2, every_ns=500 * MS)
        rig.run(5 * SECOND)
        for number in (0, 1):
            issued, answered, failed = rig.asked_and_ended(number)
            assert (issued - answered, failed) == (0, 0)
            assert answered >= 9


class TestTiers:
    def rig(self, *, calls=1, **options):
        rig = Rig(
            guests=2, programs={1: served(1, calls=calls, after=constant(2 * MS)), 2: served(4, **options)}, nic=FAST
        )
        rig.control.set_callee(1, 2)
        rig.clients("closed", every_ns=MS)
        return rig

    @pytest.mark.parametrize("calls", [0, 1, 3])
    def test_each_call_takes_the_other_s_time(self, calls):
        rig = self.rig(calls=calls)
        rig.run(SECOND)
        assert response_ms(rig) == pytest.approx(1 + 4 * calls + 2, abs=0.01)
        done = rig.section("domain")["jobs_done"]
        assert done[2] - calls * done[1] in range(calls + 1)

    def test_without_a_callee_nobody_is_called(self):
        rig = Rig(program=served(1, calls=3), nic=FAST)
        rig.clients("closed", every_ns=MS)
        rig.run(SECOND)
        assert response_ms(rig) == pytest.approx(1, abs=0.01)

    def test_a_callee_that_refuses_fails_the_request(self):
        rig = Rig(guests=2, programs={1: served(1, calls=1), 2: Os()}, nic=FAST)
        rig.control.set_callee(1, 2)
        rig.clients("closed", every_ns=MS)
        rig.run(50 * MS)
        issued, answered, failed = rig.asked_and_ended()
        assert answered == 0
        assert failed >= issued - 1 > 10
        assert rig.section("service")["num_requests"][1] <= 1

    def test_a_callee_that_goes_fails_what_is_under_way_and_is_not_called_again(self):
        rig = self.rig()
        rig.run(500 * MS)
        rig.domctl.destroy_domain(2)
        failed = rig.asked_and_ended()[2]
        assert failed in (0, 1)
        rig.run(500 * MS)
        assert rig.asked_and_ended()[2] == failed
        assert rig.section("service")["callee"][1] == -1


class TestLoops:
    def test_work_and_think_in_turn(self):
        rig = Rig(program=Os(loops=(Loop(constant(3 * MS), constant(7 * MS)),)))
        rig.run(99 * MS)
        assert rig.at("JOB_DONE") == [(3 + 10 * k) * MS for k in range(10)]

    def test_two_share_the_vcpu_piece_by_piece(self):
        rig = Rig(program=Os(loops=(Loop(constant(3 * MS)), Loop(constant(2 * MS)))))
        rig.run(12 * MS)
        assert rig.at("JOB_DONE") == [3 * MS, 5 * MS, 8 * MS, 10 * MS]

    def test_background_work_gives_way(self):
        rig = Rig(program=Os(loops=(Loop(constant(3 * MS), constant(7 * MS)),), background=True))
        rig.run(50 * MS)
        assert rig.at("JOB_DONE") == [(3 + 10 * k) * MS for k in range(5)]
        assert rig.host.runstate_ns(1)["running"] == 50 * MS

    def test_a_domain_with_more_than_there_is_room_for_is_refused_before_anything_is_changed(self):
        rig = Rig(limits={"max_loops": 1})
        before = rig.host.digest()
        with pytest.raises(ValueError, match="domain 3: has 2 loops, but 1 of the host's maximum of 1 are left"):
            rig.domctl.create_domain(3, Os(loops=(Loop(constant(MS)),) * 2))
        assert rig.host.digest() == before
