"""Migrations as scenarios: names, files, errors, phases, random ones."""

import itertools

import pytest
import yaml

from xengym.hypervisor.wide_spec import MAX_CONDITIONS
from xengym.scenarios.config import ScenarioError
from xengym.scenarios.wide_area import (
    NAMED_DIR,
    MoveEpisodes,
    load_move_scenario,
    move_scenario_names,
    parse_move_scenario,
    random_move,
)


def test_the_named_ones_load_under_their_names():
    names = move_scenario_names()
    assert {"wan-web-server", "lan-web-server"} <= set(names)
    for name in names:
        scenario = load_move_scenario(name)
        assert scenario.name == name
        assert scenario.description
        scenario.spec(3)


def test_a_file_is_a_scenario(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((NAMED_DIR / "wan-web-server.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_move_scenario(path) == load_move_scenario("wan-web-server")
    assert load_move_scenario(str(path)).spec(1) == load_move_scenario("wan-web-server").spec(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, r"file: key 'colour': not known here"),
        ({"line": {"mbit_per_s": -1}}, r"file: key 'line.mbit_per_s': .*greater than 0.*found -1"),
        ({"memory": None}, r"file: key 'memory': .*found None"),
        ({"phases": {"write_factor": [2, 1]}}, r"write_factor: expected the lower value first, found \[2.0, 1.0\]"),
    ],
)
def test_an_error_names_file_key_and_what_was_found(change, message):
    data = yaml.safe_load((NAMED_DIR / "wan-web-server.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ScenarioError, match=message):
        parse_move_scenario(data | change, "file")


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ScenarioError, match=r"unknown migration 'moon'.*wan-web-server, random"):
        load_move_scenario("moon")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_move_scenario("moon.yaml")
    with pytest.raises(ScenarioError, match="expected a mapping"):
        parse_move_scenario([1], "file")
    with pytest.raises(ScenarioError, match="split must be one of train, test"):
        MoveEpisodes("random", "holiday")


def test_phases_follow_from_the_seed_and_keep_to_their_ranges():
    scenario = load_move_scenario("wan-web-server")
    conditions = scenario.conditions(5)
    assert conditions == scenario.conditions(5) != scenario.conditions(6)
    assert conditions[0].from_s == 0
    assert len(conditions) <= MAX_CONDITIONS
    assert conditions[-1].line_factor > 0
    for condition in conditions:
        assert 0.25 <= condition.write_factor <= 4
        assert 0.1 <= condition.memory_factor <= 1
        assert 0 <= condition.competing_mbit_per_s <= 0.8 * 5
    outages = [b.from_s - a.from_s for a, b in itertools.pairwise(conditions) if a.line_factor == 0]
    assert all(5 <= outage <= 60 for outage in outages)


def test_the_same_number_is_the_same_random_migration_and_each_fits_into_its_memory():
    assert random_move(9) == random_move(9) != random_move(10)
    kinds = set()
    for number in range(200):
        scenario = random_move(number)
        spec = scenario.spec(number)
        assert abs(spec.memory.pages - round(spec.memory.pages / 32768) * 32768) <= 3
        kinds.add(scenario.audience.keeps_address)
    assert kinds == {True, False}
