"""Memory-v0: actions are the targets they say, observations are what happened, and dividing well pays."""

import gymnasium as gym
import numpy as np
import pytest

import xengym  # noqa: F401  (registers the ids)
from xengym.envs.memory.observations import DOMAIN_FEATURES, HOST_FEATURES
from xengym.scenarios.config import ScenarioError, parse_scenario

DOM0, FIRST, SECOND = range(3)
MIB = 256
WIDTH = len(DOMAIN_FEATURES)


def constant(ms):
    return {"kind": "constant", "mean_ms": ms}


def guest(name, phases, **others):
    program = {
        "kind": "memory", "arrival": constant(50), "service": constant(5), "touches": 100, "phases": phases,
        "hot_frac": 0.5, "hot_touch_frac": 0.5,
    }  # fmt: skip
    return {
        "name": name, "program": program, "memory_mib": 100, "max_memory_mib": 160, "latency_target_ms": 20, **others,
    }  # fmt: skip


def scenario(*guests, memory_mib=232, **others):
    dom0 = {"name": "dom0", "program": {"kind": "onoff", "run": constant(0.1), "sleep": constant(10)}}
    return parse_scenario(
        {
            "name": "small",
            "description": "two guests",
            "machine": {"cores_per_socket": 2, "memory_mib": memory_mib},
            "domains": [dom0, *guests],
            "control": {"interval_ms": 100, "episode_s": 1, "warmup_ms": 1},
            "reward": {
                "sla": 1, "isolation": 0, "work": 0, "switching": 0, "swapping": 0.5, "ballooning": 2,
            },
            "limits": {"max_domains": 4, "max_vcpus": 4},
            **others,
        },
        "test",
    )  # fmt: skip


SMALL = scenario(guest("a", [{"s": 1000, "mib": 60}]), guest("b", [{"s": 1000, "mib": 60}]))


def make(config=SMALL):
    env = gym.make("xengym/Memory-v0", scenario=config).unwrapped
    return env, *env.reset(seed=0)


def action(**of_slots):
    """``d1=0.5``."""
    values = np.zeros(4, dtype=np.float32)
    for name, value in of_slots.items():
        values[int(name[1:])] = value
    return values


def pages(env, field="pages"):
    return env.host.sections["memory"][field].tolist()


def features(obs, slot):
    names = [name for name, _ in DOMAIN_FEATURES]
    return dict(zip(names, obs[slot * WIDTH : (slot + 1) * WIDTH].tolist(), strict=True))


def host_features(obs):
    return dict(zip([name for name, _ in HOST_FEATURES], obs[-len(HOST_FEATURES) :].tolist(), strict=True))


class TestActions:
    @pytest.mark.parametrize(
        ("entry", "mib"), [(-1, 8), (-0.5, 54), (0, 100), (0.5, 130), (1, 160), (-7, 8), (9, 160), (np.inf, 160)]
    )
    def test_numbers_are_the_targets_that_the_docstring_says(self, entry, mib):
        env, *_ = make()
        *_, info = env.step(action(d1=entry))
        assert pages(env, "target_pages")[:3] == [0, mib * MIB, 100 * MIB]
        assert info["refused"] == 0

    def test_the_zero_action_is_no_ballooning(self):
        env, *_ = make()
        for _ in range(10):
            *_, info = env.step(action())
            assert info["ballooning"] == 0
        assert pages(env) == [0, 100 * MIB, 100 * MIB, 0]
        assert not any(pages(env, "hypercalls"))

    def test_what_is_no_number_is_refused_and_counted(self):
        env, *_ = make()
        env.step(action(d1=-0.5))
        *_, info = env.step(action(d1=np.nan, d0=np.nan, d3=np.nan))  # the others have no balloon
        assert info["refused"] == 1
        assert pages(env, "target_pages")[FIRST] == 54 * MIB

    def test_the_current_action_changes_nothing(self):
        env, *_ = make()
        env.step(action(d1=-0.3, d2=0.7))
        before = pages(env, "target_pages")
        env.step(env.current_action())
        assert pages(env, "target_pages") == before

    def test_pages_become_actions_and_targets_again(self):
        env, *_ = make()
        wanted = np.array([0, 2048, 160 * MIB, 0])
        env.step(env.stepper.actions.encode_pages(wanted))
        assert pages(env, "target_pages") == wanted.tolist()

    def test_what_one_gives_another_gets(self):
        env, *_ = make()
        env.step(action(d1=-1, d2=1))
        env.step(action(d1=-1, d2=1))  # asked again after the first has given
        assert pages(env) == [0, 8 * MIB, 160 * MIB, 0]
        assert env.host.sections["host_memory"]["free_pages"][0] == (232 - 168) * MIB


class TestObservations:
    def test_before_anything_happens(self):
        _, obs, _ = make()
        of_first = features(obs, FIRST)
        assert of_first["present"] == 1
        assert of_first["pages"] == pytest.approx(100 / 232)
        assert of_first["target"] == 0.5
        assert of_first["wanted"] == pytest.approx(68 / 232)
        assert of_first["maximum"] == pytest.approx(160 / 232)
        assert of_first["floor"] == pytest.approx(8 / 232)
        assert host_features(obs)["free"] == pytest.approx(32 / 232)
        assert host_features(obs)["wanted"] == pytest.approx(136 / (136 + 232))
        assert host_features(obs)["domains"] == 0.75
        assert not obs[3 * WIDTH : 4 * WIDTH].any()

    def test_an_interval_by_hand(self):
        env, *_ = make()
        env.step(action(d1=-1))
        obs, _, _, _, info = env.step(action(d1=-1))
        of_first = features(obs, FIRST)
        moved = 92 * MIB
        assert pages(env)[FIRST] == 8 * MIB
        record = env.stepper.monitor.domain_records[FIRST]["delta"]
        assert of_first["swapped"] > 0.8  # no room for anything
        assert of_first["reads"] == pytest.approx(record["swap_reads"] * 10 / (record["swap_reads"] * 10 + 100))
        assert of_first["target"] == 0
        assert info["ballooning"] == of_first["moved"] == 0  # it was done in the first interval
        assert pages(env, "inflated_pages")[FIRST] == moved

    def test_the_wait_for_the_disk_shows(self):
        env, *_ = make()
        env.step(action(d1=-1))
        for _ in range(8):
            obs, *_, info = env.step(action(d1=-1))
        assert features(obs, FIRST)["backlog"] > 0
        assert features(obs, FIRST)["attainment"] < 1
        assert features(obs, SECOND)["attainment"] == 1
        assert host_features(obs)["swap_disk"] > 0.5
        assert info["swapping"] == pytest.approx(-host_features(obs)["swap_disk"])


class TestRewards:
    def test_terms_and_weights(self):
        env, *_ = make()
        _, reward, *_, info = env.step(action(d1=-0.5))
        assert info["ballooning"] == pytest.approx(-46 / 232)
        assert reward == pytest.approx(info["sla"] + 0.5 * info["swapping"] + 2 * info["ballooning"])

    def test_swapping_is_the_time_that_the_disk_was_busy(self):
        env, *_ = make()
        swapping = [env.step(action(d1=-1))[4]["swapping"] for _ in range(10)]
        memory = env.host.sections["host_memory"][0]
        still_ns = max(0, int(memory["swap_free_at_ns"]) - env.host.now_ns)
        assert -sum(swapping) * 100e6 == pytest.approx(int(memory["swap_busy_ns"]) - still_ns)
        assert min(swapping) == pytest.approx(-1)


def test_a_scenario_in_which_no_memory_counts_is_refused():
    with pytest.raises(ScenarioError, match="has no domain whose memory could be moved"):
        gym.make("xengym/Memory-v0", scenario="consolidation")


def test_a_growing_guest_is_better_off_with_more():
    config = scenario(
        guest("a", [{"s": 1000, "mib": 150}]), guest("b", [{"s": 1000, "mib": 40}]), control={
            "interval_ms": 500, "episode_s": 40, "warmup_ms": 1,
        },
    )  # fmt: skip

    def total(entries):
        env, *_ = make(config)
        return sum(env.step(entries)[1] for _ in range(80))

    assert total(action(d1=1, d2=-0.5)) > total(action()) + 5
