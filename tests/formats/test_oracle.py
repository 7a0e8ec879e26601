"""The scenario file: what is read, and that every malformed file is an error that says where and what."""

import copy
import json
import re
from pathlib import Path

import pytest

from xengym.formats.oracle import (
    SCHEMA,
    HogWorkload,
    ListWorkload,
    OracleError,
    PeriodicWorkload,
    load_oracle,
)

SCENARIO = {
    "id": "small",
    "scheduler": "credit",
    "implementation": "credit-4.5",
    "source_version": "4.5.0",  # a key that is carried along
    "n_pcpus": 2,
    "duration_ns": 1_000_000,
    "options": {"ratelimit_us": 0},
    "tick_phase": {"first_tick_ns": [3, 5], "first_acct_ns": 3},
    "domains": [
        {
            "id": 1,
            "params": {"weight": 512},
            "vcpus": [
                {"id": 0, "initial_pcpu": 0, "start_ns": 7, "workload": {"type": "hog"}},
                {
                    "id": 1,
                    "initial_pcpu": 1,
                    "workload": {"type": "periodic", "run_ns": 5, "period_ns": 9, "offset_ns": 2},
                },
                {
                    "id": 2,
                    "initial_pcpu": 1,
                    "initial_pcpu_chosen_by_scheduler": 0,
                    "workload": {"type": "list", "pairs_ns": [[4, -1], [5, 0]], "loop": False},
                },
            ],
        }
    ],
    "param_changes": [
        {"t_ns": 10, "domain": 1, "params": {"cap": 40}},
        {"t_ns": 20, "domain": None, "params": {"tslice_ms": 5}},
    ],
    "dispatch_trace_2s": [[0, 1, "d1v0"]],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scenarios.json"


def write(path, *scenarios, schema=SCHEMA):
    path.write_text(json.dumps({"schema": schema, "scenarios": scenarios}))
    return path


def changed(keys, value):
    """The scenario with one value replaced; ``...`` removes the key."""
    data = copy.deepcopy(SCENARIO)
    *inner, last = keys
    at = data
    for key in inner:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return data


class TestReading:
    def test_a_scenario_as_typed_and_as_plain_data(self, path):
        (scenario,), raw = load_oracle(write(path, SCENARIO))
        assert raw == [SCENARIO]
        assert (scenario.id, scenario.implementation, scenario.n_pcpus) == ("small", "credit-4.5", 2)
        assert scenario.options == {"ratelimit_us": 0}
        assert scenario.tick_phase.first_tick_ns == [3, 5]
        hog, periodic, listed = (vcpu.workload for vcpu in scenario.domains[0].vcpus)
        assert isinstance(hog, HogWorkload)
        assert isinstance(periodic, PeriodicWorkload)
        assert isinstance(listed, ListWorkload)
        assert (periodic.run_ns, periodic.period_ns, periodic.offset_ns) == (5, 9, 2)
        assert (listed.pairs_ns, listed.loop) == ([(4, -1), (5, 0)], False)
        assert [vcpu.start_ns for vcpu in scenario.domains[0].vcpus] == [7, 0, 0]
        assert scenario.domains[0].vcpus[2].initial_pcpu_chosen_by_scheduler == 0
        assert [(change.t_ns, change.domain) for change in scenario.param_changes] == [(10, 1), (20, None)]
        assert scenario.dispatch_trace_2s == [(0, 1, "d1v0")]

    def test_what_may_be_left_out(self, path):
        data = {key: SCENARIO[key] for key in ("id", "scheduler", "implementation", "n_pcpus", "duration_ns")}
        hog = {"id": 0, "initial_pcpu": 0, "workload": {"type": "hog"}}
        (scenario,), _ = load_oracle(write(path, {**data, "domains": [{"id": 3, "vcpus": [hog]}]}))
        assert (scenario.options, scenario.context_switch_cost_ns, scenario.param_changes) == ({}, 0, [])
        assert (scenario.tick_phase, scenario.outcomes, scenario.dispatch_trace_2s) == (None, None, None)
        assert scenario.domains[0].params == {}

    def test_a_file_may_hold_no_scenario(self, path):
        assert load_oracle(write(path)) == ([], [])

    def test_a_path_may_be_text(self, path):
        assert load_oracle(str(write(path, SCENARIO)))[1] == [SCENARIO]


class TestNotAScenarioFile:
    def expect(self, path, message):
        with pytest.raises(OracleError, match=f"^{re.escape(str(path))}{message}"):
            load_oracle(path)

    def test_a_file_that_is_not_there(self, path):
        self.expect(path, ": cannot be read: No such file or directory")

    def test_a_folder(self, tmp_path):
        self.expect(tmp_path, ": cannot be read: Is a directory")

    def test_bytes_that_are_no_text(self, path):
        path.write_bytes(b'{"schema": "\xff"}')
        self.expect(path, r": is not UTF-8 text \(byte 12\)")

    def test_text_that_is_no_json_with_its_line(self, path):
        path.write_text('{"schema":\n"' + SCHEMA + '",\n"scenarios": [')
        self.expect(path, ":3: is not JSON: ")

    def test_an_empty_file(self, path):
        path.write_text("")
        self.expect(path, ":1: is not JSON: ")

    @pytest.mark.parametrize("schema", ["xen-sched-oracle/2", None, 7])
    def test_another_schema(self, path, schema):
        write(path, SCENARIO, schema=schema)
        self.expect(path, f'.*expected {{"schema": "{SCHEMA}", .*found schema {schema!r}')

    @pytest.mark.parametrize(("text", "found"), [("[]", "list"), ("3", "int"), ('"x"', "str"), ("null", "NoneType")])
    def test_json_that_is_no_object(self, path, text, found):
        path.write_text(text)
        self.expect(path, f".*found schema '{found}'")

    @pytest.mark.parametrize(("scenarios", "found"), [("{}", "dict"), ("null", "NoneType"), ('"all"', "str")])
    def test_scenarios_that_are_no_list(self, path, scenarios, found):
        path.write_text(f'{{"schema": "{SCHEMA}", "scenarios": {scenarios}}}')
        self.expect(path, f": key 'scenarios': expected a list, found {found}")

    def test_no_scenarios_at_all(self, path):
        path.write_text(f'{{"schema": "{SCHEMA}"}}')
        self.expect(path, ": key 'scenarios': expected a list, found NoneType")


class TestMalformedScenario:
    VCPU = ("domains", 0, "vcpus", 0)
    WORKLOAD = ("domains", 0, "vcpus", 1, "workload")

    @pytest.mark.parametrize(
        ("keys", "value", "named"),
        [
            (("scheduler",), ..., "scheduler"),
            (("n_pcpus",), 0, "n_pcpus"),
            (("n_pcpus",), 257, "n_pcpus"),
            (("n_pcpus",), "two", "n_pcpus"),
            (("duration_ns",), 0, "duration_ns"),
            (("duration_ns",), 1.5, "duration_ns"),
            (("options",), {"ratelimit_us": "off"}, "options.ratelimit_us"),
            (("context_switch_cost_ns",), -1, "context_switch_cost_ns"),
            (("tick_phase", "first_acct_ns"), ..., "tick_phase.first_acct_ns"),
            (("domains",), [], "domains"),
            (("domains", 0, "id"), -1, "domains.0.id"),
            (("domains", 0, "vcpus"), [], "domains.0.vcpus"),
            (("domains", 0, "params"), {"weight": None}, "domains.0.params.weight"),
            ((*VCPU, "initial_pcpu"), ..., "domains.0.vcpus.0.initial_pcpu"),
            ((*VCPU, "start_ns"), -1, "domains.0.vcpus.0.start_ns"),
            ((*VCPU, "workload"), {"type": "sleeper"}, "domains.0.vcpus.0.workload"),
            ((*VCPU, "workload"), {}, "domains.0.vcpus.0.workload"),
            ((*WORKLOAD, "run_ns"), 0, "domains.0.vcpus.1.workload.periodic.run_ns"),
            ((*WORKLOAD, "period_ns"), ..., "domains.0.vcpus.1.workload.periodic.period_ns"),
            ((*WORKLOAD, "offset_ns"), -2, "domains.0.vcpus.1.workload.periodic.offset_ns"),
            (("domains", 0, "vcpus", 2, "workload", "pairs_ns"), [], "domains.0.vcpus.2.workload.list.pairs_ns"),
            (("domains", 0, "vcpus", 2, "workload", "pairs_ns"), [[1]], "domains.0.vcpus.2.workload.list.pairs_ns.0"),
            (("param_changes", 0, "t_ns"), -1, "param_changes.0.t_ns"),
            (("param_changes", 1, "domain"), ..., "param_changes.1.domain"),
            (("dispatch_trace_2s", 0), [0, 1], "dispatch_trace_2s.0"),
        ],
    )
    def test_the_message_names_file_scenario_and_key(self, path, keys, value, named):
        good = {**SCENARIO, "id": "good"}
        write(path, good, changed(keys, value))
        with pytest.raises(OracleError) as caught:
            load_oracle(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: scenario small: key '{named}")
        assert ", found " in message

    def test_a_scenario_without_a_name_is_named_by_its_number(self, path):
        write(path, SCENARIO, changed(("id",), ...))
        with pytest.raises(OracleError, match=r": scenario number 1: key 'id': Field required"):
            load_oracle(path)

    @pytest.mark.parametrize("item", [None, [], "small", 5])
    def test_a_scenario_that_is_no_object(self, path, item):
        write(path, SCENARIO, item)
        with pytest.raises(OracleError, match=r": scenario number 1: "):
            load_oracle(path)

    def test_a_long_value_is_cut_short_in_the_message(self, path):
        write(path, changed(("n_pcpus",), "x" * 1000))
        with pytest.raises(OracleError) as caught:
            load_oracle(path)
        assert len(str(caught.value)) < len(str(path)) + 300


def test_the_measured_file_is_of_this_form(shared_dir: Path):
    path = shared_dir / "conformance" / "scenarios.json"
    if not path.is_file():
        pytest.skip(f"the measured scenarios are not in {path}")
    scenarios, raw = load_oracle(path)
    assert len(scenarios) == len(raw) > 0
    assert len({scenario.id for scenario in scenarios}) == len(scenarios)
