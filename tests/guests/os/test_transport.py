"""Connections: windows, acknowledgements, repetition, giving up; and whose packets they are."""

import numpy as np
import pytest

from tests.guests.os.net_rig import MS, SECOND, US, Rig, constant, costs
from xengym.guests.os.specs import Os, Service

WRAP = 2**32


def answers(size, **options):
    return Os(service=Service(constant(0), sizes_bytes=((1.0, size),), **options))


def halves(rig, flow=0):
    """What the client's side and the server's side send."""
    return rig.section("half")[2 * flow], rig.section("half")[2 * flow + 1]


class TestWindow:
    @pytest.mark.parametrize("window", [1, 3, 8])
    def test_so_many_packets_are_on_their_way(self, window):
        rig = Rig(nic={"delay_ns": 10 * MS, "mbit_per_s": 1e5})
        rig.control.create_transfer(1, None, window=window)
        rig.run(5 * MS)
        half, _ = halves(rig)
        assert half["next"] - half["acked"] == half["next"] == window

    def test_one_window_in_each_round_trip(self):
        rig = Rig(nic={"delay_ns": 10 * MS, "mbit_per_s": 1e5})
        rig.control.create_transfer(1, None, window=8)
        rig.run(SECOND)
        assert halves(rig)[0]["next"] == pytest.approx(8 * 50, abs=16)


class TestAcknowledgements:
    def test_every_second_packet_is_acknowledged(self):
        rig = Rig(nic={"mbit_per_s": 100.0})
        rig.control.create_transfer(1, None, window=64)
        rig.run(100 * MS)
        sent = int(rig.io(1)["tx_packets"])
        assert sent > 500
        assert rig.io(1)["rx_packets"] == pytest.approx(sent / 2, rel=0.1)

    def test_an_answer_s_last_packet_at_once_and_a_request_s_by_the_answer(self):
        rig = Rig(program=answers(4500), nic={"mbit_per_s": 1e4})
        rig.clients("closed", every_ns=100 * MS)
        rig.run(99 * MS)
        # The request; three packets; acknowledgements of the second and of the third.
        assert rig.population()["answered"] == 1
        assert (rig.io(1)["rx_packets"], rig.io(1)["tx_packets"]) == (3, 3)

    def test_a_request_that_takes_long_by_a_timer(self):
        program = Os(service=Service(constant(SECOND // 2), sizes_bytes=((1.0, 100),)))
        rig = Rig(program=program)
        rig.clients("closed", every_ns=10 * MS)
        rig.run(200 * MS)
        assert (rig.io(1)["rx_packets"], rig.io(1)["tx_packets"]) == (1, 1)
        assert halves(rig)[0]["acked"] == 1

    def test_a_large_packet_outside_is_acknowledged_as_the_wire_s_packets(self):
        rig = Rig(vif={"is_offloading": True}, nic={"mbit_per_s": 1e4})
        rig.control.create_transfer(1, None, window=1)
        rig.run(100 * US)
        # 65 536 bytes are 44 packets.
        assert rig.io(1)["tx_packets"] == pytest.approx(rig.io(1)["rx_packets"] / 22, abs=1)


class TestLoss:
    def test_bulk_data_arrive_all_and_in_order(self):
        rig = Rig(nic={"loss_frac": 0.02, "mbit_per_s": 100.0})
        rig.control.create_transfer(None, 1, window=32)
        rig.run(5 * SECOND)
        half, _ = halves(rig)
        assert rig.section("nic")["lost"][0] > 50
        assert rig.section("programs")["bulk_bytes"][1] == half["received"] * 1500
        assert half["acked"] <= half["received"] <= half["next"]
        assert half["received"] > 1000

    def test_it_halves_what_is_on_the_way_and_each_round_adds_one(self):
        rig = Rig(nic={"delay_ns": 10 * MS, "mbit_per_s": 1e4, "rx_buffers": 256})
        rig.control.create_transfer(1, None, window=32)
        rig.run_until(109 * MS)
        rig.section("nic")["loss_ppm"] = 1_000_000  # a whole round is lost, which the timer finds
        rig.run(2 * MS)
        rig.section("nic")["loss_ppm"] = 0
        assert halves(rig)[0]["allowance"] == 32
        rig.run_until(405 * MS)
        assert halves(rig)[0]["allowance"] == 16
        allowance = int(halves(rig)[0]["allowance"])
        rig.run(100 * MS)
        assert halves(rig)[0]["allowance"] == pytest.approx(allowance + 5, abs=2)

    def test_in_vain_for_too_long_it_is_given_up_and_the_request_failed(self):
        rig = Rig(program=answers(100), limits={"max_retries": 2})
        rig.section("nic")["loss_ppm"] = 1_000_000
        rig.clients("closed", every_ns=10 * MS)
        rig.run(3 * SECOND)
        issued, answered, failed = rig.asked_and_ended()
        assert (answered, issued - failed) == (0, 1)
        assert failed >= 2
        assert rig.section("domain")["jobs_dropped"][1] == failed

    def test_repetitions_wait_twice_as_long_each_time(self):
        rig = Rig(program=answers(100), limits={"max_retries": 4})
        rig.section("nic")["loss_ppm"] = 1_000_000
        rig.clients("closed", every_ns=0)
        rig.run(4 * SECOND)
        sent = rig.at("PACKET_LOST")
        # The timer looks every 100 ms; the first one at 200, then each in 400, 800, 1600 from the beginning.
        assert np.diff(sent)[:4].tolist() == [200 * MS, 200 * MS, 400 * MS, 800 * MS]

    def test_a_timer_is_not_put_off_by_domains_that_come(self):
        rig = Rig(program=answers(100))
        rig.section("nic")["loss_ppm"] = 1_000_000
        rig.clients("closed", every_ns=0)
        for _ in range(10):
            rig.run(50 * MS)
            rig.domctl.create_domain(7, Os())
            rig.domctl.destroy_domain(7)
        assert len(rig.at("PACKET_LOST")) > 1


class TestNumbersUsedAgain:
    def test_acknowledgements_of_the_connection_before_count_for_nothing(self):
        # Each request calls five times, and each call's connection gets the number of the one before.
        rig = Rig(
            guests=2,
            costs=costs(netback_tx_ns=5 * US, netfront_rx_ns=3 * US, stack_rx_ns=2 * US, upcall_ns=US),
            programs={1: answers(100, calls=5), 2: answers(9000)},
            nic={"mbit_per_s": 1000.0},
        )
        rig.control.set_callee(1, 2)
        rig.clients("closed", every_ns=MS, num=3)
        rig.run(SECOND)
        assert rig.asked_and_ended()[1] > 500
        assert rig.asked_and_ended()[2] == 0
        assert rig.population()["response_max_ns"] < 10 * MS

    def test_a_service_that_fails_to_answer_does_not_answer_somebody_else(self):
        # The caller's client goes while the callee works: the callee's connection must not be used again under it.
        rig = Rig(guests=2, programs={1: answers(100, calls=1), 2: Os(service=Service(constant(50 * MS)))})
        rig.control.set_callee(1, 2)
        first = rig.clients("closed", every_ns=MS)
        rig.run(20 * MS)
        assert rig.section("service")["num_requests"].tolist()[:3] == [0, 1, 1]
        rig.kind.remove_population(first)
        assert rig.section("request")["flow"][rig.section("request")["domain"] == 2].tolist() == [-1]
        second = rig.clients("closed", every_ns=MS)
        rig.run(500 * MS)
        assert rig.section("service")["num_requests"].tolist()[:3] == [0, 1, 1]
        issued, answered, failed = rig.asked_and_ended(second)
        assert (issued - answered, failed) == (1, 0)
        assert answered >= 8


class TestBetweenDomains:
    @pytest.mark.parametrize("mode", ["flip", "copy", "native"])
    def test_packets_go_from_guest_to_guest_without_the_card(self, mode):
        rig = Rig(guests=2, mode=mode, costs=costs(stack_tx_ns=US))
        rig.control.create_transfer(1, 2, window=16)
        rig.run(100 * MS)
        assert rig.section("nic")["tx_packets"][0] == 0
        assert rig.section("programs")["bulk_bytes"][2] == 1500 * rig.io(2)["rx_packets"] > 1500 * 1000

    def test_the_smaller_packet_on_the_way_decides(self):
        rig = Rig(guests=2)
        rig.control.destroy_vif(1)
        rig.control.create_vif(2, nic=rig.card, mtu=600)
        rig.control.create_transfer(1, 2)
        assert rig.section("flow")["mss"][0].tolist() == [600, 600]
