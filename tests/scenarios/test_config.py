"""Scenario files: what is wrong with one is said with file, key, what was found and what was expected."""

import pytest
import yaml

from xengym.scenarios.build import build_host, check_scenario, populate, with_monitor
from xengym.scenarios.config import NAMED_SCENARIOS_DIR, ScenarioError, load_scenario_file, parse_scenario
from xengym.scenarios.generator import random_scenario
from xengym.scenarios.library import load_scenario, scenario_names

GOOD = """
name: good
description: one hog and one server
machine: {cores_per_socket: 2}
scheduler: {name: credit, version: "4.5", options: {tslice_ms: 10}}
domains:
  - {name: a, program: {kind: hog}, params: {weight: 512, cap: 50}}
  - name: b
    vcpus: 2
    cpus: [0]
    program: {kind: server, arrival: {kind: exponential, mean_ms: 5}, service: {kind: constant, mean_ms: 1}}
    latency_target_ms: 10
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def check(path):
    check_scenario(load_scenario_file(path), str(path))


def test_a_good_file_is_read_and_built(write):
    path = write(GOOD)
    check(path)
    config = load_scenario_file(path)
    host = build_host(config)
    populate(host, config, seed=1)
    assert host.scheduler.version == "4.5"
    assert host.scheduler.params()["tslice_ms"] == 10
    assert host.scheduler.domain_params(0) == {"weight": 512, "cap": 50}
    assert host.domain_names == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: good", "nmae: good", "key 'name': is missing"),
        ("description:", "descripton: x\ndescription:", "key 'descripton': not known here"),
        ("weight: 512", "wieght: 512", "unknown parameter wieght; expected weight or cap"),
        (
            "weight: 512",
            "weight: 0",
            r"\(a\): domain 0, scheduler credit 4.5: weight must be an integer 1..65535, found 0",
        ),
        ("weight: 512", "weight: 65536", "weight must be an integer 1..65535, found 65536"),
        ("cap: 50", "cap: 101", r"cap \(percent of one pCPU, 0 for none\) must be an integer 0..100, found 101"),
        ("cap: 50", "cap: -1", "must be an integer 0..100, found -1"),
        ("cap: 50", "cap: much", "key 'domains.0.params.cap'"),
        ("cpus: [0]", "cpus: []", "hard_affinity must name at least one of pCPUs 0..1, found none"),
        ("cpus: [0]", "cpus: [2]", "hard_affinity names pCPU 2; this host has pCPUs 0..1"),
        ("name: credit", "name: lottery", "unknown scheduler 'lottery'; expected one of .*credit"),
        ('"4.5"', '"9.9"', "unknown version '9.9' of scheduler 'credit'; expected one of 3.0.3"),
        ("tslice_ms: 10", "tslice_ms: 0", "tslice_ms must be an integer 1..1000, found 0"),
        ("tslice_ms: 10", "slice: 10", "scheduler 'credit'.*slice"),
        ("vcpus: 2", "vcpus: 40", "at most limits.max_vcpus = 32 vCPUs in all, found 41"),
        ("vcpus: 2", "vcpus: 0", "key 'domains.1.vcpus'"),
        ("kind: hog", "kind: pig", "key 'domains.0.program'"),
        ("mean_ms: 5", "mean_ms: -5", "key 'domains.1.program.server.arrival.mean_ms'"),
        ("mean_ms: 5", "mean_ms: .inf", "key 'domains.1.program.server.arrival.mean_ms'"),
        ("- name: b", "- name: a", "name 'a' is used 2 times, expected once"),
        ("machine: {cores_per_socket: 2}", "machine: {cores_per_socket: 300}", "at most 256 pCPUs, found 300"),
        ("latency_target_ms: 10", "latency_target_ms: [1]", "key 'domains.1.latency_target_ms'"),
    ],
)
def test_each_mistake_is_named(write, old, new, message):
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=message) as caught:
        check(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", r":\d+: is not YAML"), ("- 1", "expected a mapping"), ("", "expected a mapping with keys name")],
)
def test_files_that_are_no_scenario(write, text, message):
    with pytest.raises(ScenarioError, match=message):
        load_scenario_file(write(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"nosuch.yaml: cannot be read: No such file"):
        load_scenario_file(tmp_path / "nosuch.yaml")


def test_yaml_cannot_run_code(write):
    with pytest.raises(ScenarioError, match="is not YAML"):
        load_scenario_file(write("name: !!python/object/apply:os.getcwd []"))


@pytest.mark.parametrize("name", scenario_names())
def test_every_named_scenario_is_called_what_its_file_is_and_can_be_set_up(name):
    config = load_scenario(name)
    assert config.name == name
    check_scenario(config, name)


def test_named_scenarios_are_plain_data():
    for path in NAMED_SCENARIOS_DIR.glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_partitions_keep_to_their_table():
    config = load_scenario("partitions")
    host = build_host(config)
    populate(host, config, seed=1)
    host.run_until(100_000_000)
    # In each frame of 50 ms: windows of 10, 15, 10 and 10 ms; what is not used is nobody's.
    assert host.runstate_ns(2)["running"] == 2 * 10_000_000
    # The first job of the displays is there at once and waits for their window; later ones come when it opens.
    assert [host.runstate_ns(v)["runnable"] for v in (0, 1)] == [0, 10_000_000]
    assert host.scheduler.params()["table"][3] == (3, 0, 10_000_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{table: [[1, 0]]}", r"table entry 0: expected \(domid, vcpu_in_domain, runtime_ns\), found \[1, 0\]"),
        ("{table: [[1, 0, much]]}", "table entry 0: runtime_ns must be an integer .* found 'much'"),
        ("{table: 5}", "table must be a sequence of .* found 5"),
        ("{table: [[1, 0, 30]], major_frame_ns: 20}", "the windows take 30 ns, more than the major frame of 20 ns"),
        ("[1]", r"key 'scheduler.options': Input should be a valid dictionary, found \[1\]"),
    ],
)
def test_options_may_be_tables_and_are_checked_all_the_same(write, options, message):
    text = GOOD.replace('name: credit, version: "4.5", options: {tslice_ms: 10}', f"name: arinc653, options: {options}")
    with pytest.raises(ScenarioError, match=message):
        check(write(text.replace(", params: {weight: 512, cap: 50}", "")))


def test_random_scenarios_are_a_function_of_their_number():
    assert random_scenario(5) == random_scenario(5)
    assert random_scenario(5) != random_scenario(6)
    for number in (*range(50), 2**62, 2**63 - 1):
        config = random_scenario(number)
        assert 4 <= len(config.domains) <= 8
        check_scenario(config, config.name)


def test_replayed_demand_is_what_the_trace_says():
    config = parse_scenario(
        {
            "name": "replay",
            "description": "one VM, alone",
            "machine": {"cores_per_socket": 1},
            "costs": {"context_switch_us": 0, "cache_refill_us": 0},
            "domains": [{"name": "vm", "program": {"kind": "replay", "vm": 3, "first_sample": 0, "sample_s": 1}}],
        },
        "test",
    )
    host = build_host(config)
    populate(host, config, seed=0)
    series = host.guest_kinds[5].programs()[1:]
    host.run_until(200 * 10**9)
    submitted_pct = host.sections["domain"][0]["work_submitted_ns"] / (200 * 10**9) * 100
    assert submitted_pct == pytest.approx(series[:200].mean(), abs=0.1)
    assert host.runstate_ns(0)["running"] / (200 * 10**9) * 100 == pytest.approx(submitted_pct, abs=0.1)


KERNEL_LOADS = """
name: kernel-loads
description: two guests that make their kernels work
costs: {monitor_record_us: 0.15}
domains:
  - {name: dom0, program: {kind: xenbaked, period_ms: 50}}
  - {name: bomb, type: hvm, program: {kind: process, preset: fork_bomb, ops_per_s: 100}}
  - {name: mix, program: {kind: process, mix: {fork: 1, page_fault: 40}, user_us: 2.5}}
"""


class TestKernelLoads:
    def test_they_are_read_and_built(self, write):
        config = load_scenario_file(write(KERNEL_LOADS))
        host = build_host(config)
        populate(host, config, seed=1)
        assert host.sections["domain"]["is_hvm"][:3].tolist() == [0, 1, 0]
        host.run_until(1_000_000_000)
        assert host.sections["xenbaked"]["samples"][0] == 19
        assert host.sections["clock"]["monitor_records"][0] > 100
        assert host.sections["process"]["done"][1].sum() == 100
        assert host.sections["vcpu"]["hypercalls"][:3].tolist()[:2] == [0, 0]
        assert host.sections["vcpu"]["hypercalls"][2] > 1000

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("type: hvm", "type: pvh", "key 'domains.1.type': Input should be 'pv' or 'hvm'"),
            ("preset: fork_bomb", "preset: spoon_bomb", "key 'domains.1.program.process.preset'"),
            ("preset: fork_bomb, ", "", "a process needs either a preset or a mix"),
            (
                "mix: {fork: 1, page_fault: 40}",
                "mix: {spoon: 1}",
                "domain 'mix', key 'program': process: unknown operation",
            ),
            ("mix: {fork: 1, page_fault: 40}", "mix: {}", "at least one operation is needed"),
            ("fork: 1", "fork: 0", "key 'domains.2.program.process.mix.fork'"),
            ("monitor_record_us: 0.15", "monitor_record_us: -1", "key 'costs.monitor_record_us'"),
        ],
    )
    def test_what_is_wrong_is_named(self, write, old, new, message):
        assert old in KERNEL_LOADS
        with pytest.raises(ScenarioError, match=message):
            check(write(KERNEL_LOADS.replace(old, new)))


class TestWithMonitor:
    def test_without_a_dom0_it_becomes_dom0(self):
        config = with_monitor(parse_scenario(yaml.safe_load(GOOD.replace("{name: a,", "{name: a, id: 3,")), "good"))
        assert [(domain.name, domain.id) for domain in config.domains] == [("a", 3), ("b", 1), ("dom0", 0)]
        assert config.costs.monitor_record_us > 0

    def test_beside_a_dom0_it_has_a_domain_of_its_own(self):
        config = parse_scenario(yaml.safe_load(GOOD.replace("{name: a,", "{name: dom0,")), "good")
        watched = with_monitor(config)
        assert [(domain.name, domain.id) for domain in watched.domains] == [("dom0", 0), ("b", 1), ("xenbaked", 2)]
        assert watched.limits.max_domains == config.limits.max_domains + 1
        host = build_host(watched)
        populate(host, watched, seed=0)
        host.run_until(1_000_000_000)
        assert host.sections["xenbaked"]["samples"].sum() >= 8
