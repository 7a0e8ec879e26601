"""One request's way: the steps of the survey's figure 8, in order and with their times."""

import itertools

import pytest

from xengym.render.follow import LANES, follow, requests_of, shows_all_steps, steps_table
from xengym.render.follow_picture import draw
from xengym.scenarios.build import build_host, populate
from xengym.scenarios.library import load_scenario
from xengym.units import S_NS


@pytest.fixture(scope="module")
def traced():
    config = load_scenario("web-hosting")
    host = build_host(config)
    populate(host, config, seed=0)
    host.start_trace()
    host.run_until(S_NS)
    slots = {name: slot for slot, name in host.domain_names.items()}
    return host, host.trace_records(), slots["quiet"]


def test_every_way_begins_and_ends_outside_and_goes_forward(traced):
    host, records, slot = traced
    numbers = requests_of(records, slot)
    assert len(numbers) > 100
    for number in numbers[:50]:
        steps = follow(host, records, number)
        assert (steps[0].text, steps[-1].text) == ("the client sends its request", "the client has the whole answer")
        assert all(a.at_ns <= b.at_ns for a, b in itertools.pairwise(steps))
        assert {step.lane for step in steps} <= set(LANES)
        texts = " ".join(step.text for step in steps)
        for part in (
            "goes to the back end of quiet",
            "into the ring of quiet",
            "a program of quiet",
            "the card has it",
        ):
            assert part in texts


def test_a_request_that_found_the_driver_idle_shows_all_eight_steps_in_order(traced):
    host, records, slot = traced
    complete = [
        steps for number in requests_of(records, slot) if shows_all_steps(steps := follow(host, records, number))
    ]
    assert complete
    for steps in complete[:20]:
        numbers = [step.figure for step in steps if step.figure]
        assert sorted(set(numbers)) == list(range(1, 9))
        first = {number: numbers.index(number) for number in range(1, 9)}
        assert [first[number] for number in range(4, 9)] == sorted(first[number] for number in range(4, 9))


def test_it_is_printed_with_times_and_drawn(traced, tmp_path):
    host, records, slot = traced
    steps = follow(host, records, requests_of(records, slot)[3])
    lines = steps_table(steps).splitlines()
    assert len(lines) == 2 + len(steps)
    assert lines[-1].split()[-2] == f"{(steps[-1].at_ns - steps[0].at_ns) / 1000:.1f}"
    draw(steps, "a title", tmp_path / "way.png")
    assert [path.name for path in tmp_path.iterdir()] == ["way.png"]
    assert (tmp_path / "way.png").read_bytes().startswith(b"\x89PNG")


def test_a_request_that_is_not_in_the_trace_is_an_error(traced):
    host, records, _ = traced
    with pytest.raises(ValueError, match="no request 999999"):
        follow(host, records, 999999)
