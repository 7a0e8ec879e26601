"""`WanMigration-v0`: an episode worked by hand, each term of the reward alone, actions, masks, faults, rendering."""

import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from xengym.envs.wan_migration.env import WanMigrationEnv
from xengym.envs.wan_migration.observations import MOVE_FEATURES
from xengym.envs.wan_migration.stepper import DELAY_LEVELS_MS, MOVE_TERMS, RATE_LEVELS
from xengym.machine.migration_state import STAGES
from xengym.scenarios.wide_area import MoveScenario

MIB = 2**20
FULL, NO_DELAY, GO_ON, STOP = 7, 0, 0, 1


def small(**changes):
    """A line of 1 MiB a second, 4 MiB of memory of which 1 MiB is always dirty, 8 MiB of disk, intervals of 1 s."""
    data = {
        "name": "small",
        "memory": {"regions": [{"mib": 1, "writes_per_s": 1e6}, {"mib": 3}]},
        "disk": {"extents": [{"mib": 8}], "record_overhead_frac": 0.0, "apply_mib_per_s": 1000},
        "line": {"mbit_per_s": 8.388608, "delay_ms": 0, "patience_s": 5},
        "audience": {"num_clients": 10, "exchange_ms": 100},
        "phases": {"mean_s": 1e6},
        "times": {"request_ms": 0, "suspend_ms": 0, "resume_ms": 0, "commit_ms": 0},
        "control": {"interval_s": 1, "max_intervals": 50},
    }
    return MoveScenario.model_validate(data | changes)


def begun(scenario=None, **kwargs):
    env = WanMigrationEnv(scenario or small(), **kwargs)
    env.reset(seed=0)
    return env


def act(env, rate=FULL, delay=NO_DELAY, stop=GO_ON):
    return env.step(np.array([rate, delay, stop]))


def feature(obs, name):
    return float(obs[[name for name, _ in MOVE_FEATURES].index(name)])


class TestByHand:
    def test_eight_seconds_of_disk_three_of_memory_and_one_of_downtime(self):
        """The hot MiB is dirty again when its turn comes, so the first round sends 3 MiB; the stop sends the other."""
        env = begun()
        stages = []
        for _ in range(8):
            obs, *_ = act(env)
            stages.append(env.move.stage)
        assert stages[:7] == ["disk"] * 7
        assert feature(obs, "image_left") == 0
        for _ in range(2):
            obs, _, terminated, _, info = act(env, stop=STOP)
            assert feature(obs, "precopy") == 1
            assert not terminated
        while not terminated:
            obs, _, terminated, truncated, info = act(env, stop=STOP if env.action_masks()[17] else GO_ON)
        assert not truncated
        assert env.move.stage == "done"
        assert info["downtime_s"] == pytest.approx(1.0, abs=0.01)
        # The tunnel is set up in 50 ms while the domain runs.
        assert info["time_s"] == pytest.approx(8 + 3 + 0.05 + 1, abs=0.05)
        assert info["carried_bytes"] == pytest.approx(12 * MIB, rel=0.01)
        assert info["outcome"] == 1

    def test_without_a_wish_to_stop_it_is_given_up_in_the_end(self):
        env = begun()
        for i in range(50):
            *_, terminated, truncated, info = act(env)
            assert not truncated
            assert terminated == (i == 49)
        assert env.reason == "cancelled by the operator"
        assert info["outcome"] == -1
        assert STAGES[info["stage"]] == "aborted"
        assert env.move.state["source_runs"][0] == 1

    def test_a_line_that_stays_down_ends_it_with_that_reason(self):
        env = begun()
        act(env)
        env.move.cut_line()
        for _ in range(5):
            obs, *_, info = act(env)
        assert feature(obs, "line_down") == 1.0
        assert info["outcome"] == 0
        *_, terminated, _, info = act(env)
        assert terminated
        assert env.reason == "the link between the hosts failed"
        assert info["outcome"] == -1


class TestRewardTerms:
    def terms(self, info):
        return {name: info[name] for name, _ in MOVE_TERMS}

    def test_the_reward_is_the_weighted_sum(self):
        weights = {"downtime": 1, "time": 2, "throttling": 3, "competing": 4, "traffic": 5, "lost": 6, "outcome": 7}
        env = begun(small(reward=weights))
        for _ in range(20):
            _, reward, terminated, _, info = act(env, delay=3 if env.action_masks()[9] else 0)
            assert reward == pytest.approx(sum(weights[name] * value for name, value in self.terms(info).items()))
            if terminated:
                break

    def test_time_and_traffic(self):
        *_, info = act(begun())
        assert info["time"] == -1
        assert info["traffic"] == pytest.approx(-1 / 12)
        assert info["downtime"] == info["throttling"] == info["competing"] == info["lost"] == info["outcome"] == 0

    def test_throttling_is_the_part_of_the_writes_that_was_held_up(self):
        """100 writes a second, each held up by 30 ms: 25 a second."""
        env = begun(small(disk={"extents": [{"mib": 8, "writes_per_s": 100}], "record_overhead_frac": 0}))
        *_, info = act(env, delay=DELAY_LEVELS_MS.index(30.0))
        assert info["throttling"] == pytest.approx(-0.75, rel=1e-3)
        *_, info = act(env)
        assert info["throttling"] == 0

    def test_competing_is_what_others_did_not_get(self):
        """They want the whole line: with the move at half of it they get half, with the move at a fifth the rest."""
        env = begun(small(phases={"mean_s": 1e6, "competing_frac": [1, 1]}))
        *_, info = act(env)
        assert info["competing"] == pytest.approx(-0.5)
        *_, info = act(env, rate=RATE_LEVELS.index(0.2))
        assert info["competing"] == pytest.approx(-0.2)
        assert info["traffic"] == pytest.approx(-0.2 / 12)

    def test_downtime_and_lost_connections(self):
        env = begun(small(times={"suspend_ms": 3000}, audience={"num_clients": 10, "think_s": 0, "timeout_s": 2}))
        down, lost, terminated = 0.0, 0.0, False
        while not terminated:
            *_, terminated, _, info = act(env, stop=int(env.action_masks()[17]))
            down += info["downtime"]
            lost += info["lost"]
        assert down == pytest.approx(-4.0202, abs=1e-3)  # with the defaults of what comes after the copying
        assert lost == -1.0


class TestActions:
    def test_a_rate_limits_the_whole_move(self):
        for level, part in enumerate(RATE_LEVELS):
            *_, info = act(begun(), rate=level)
            assert info["carried_bytes"] == pytest.approx(part * MIB, rel=1e-6)

    def test_what_is_not_possible_is_refused_and_replaced(self):
        env = begun()
        *_, info = act(env, stop=STOP)
        assert info["refused"] == 1
        assert not env.move.state["wants_stop"][0]
        *_, info = act(env, rate=8, delay=-1, stop=2)
        assert info["refused"] == 3
        assert env.move.line["limit_bytes_per_s"][0] == 0
        assert env.move.disk["delay_ns"][0] == 0

    def test_masks_say_what_is_possible(self):
        env = begun(small(times={"suspend_ms": 5000}))
        assert env.action_masks().tolist() == [True] * 17 + [False]
        while env.move.stage != "pre-copy":
            act(env)
        assert env.action_masks().all()
        while env.move.stage != "stop-and-copy":
            act(env, stop=STOP)
        assert env.action_masks().tolist() == [True] * 9 + [False] * 7 + [True, False]

    def test_numbers_in_place_of_levels(self):
        env = begun(action="box")
        line = MIB

        def after(*numbers):
            *_, info = env.step(np.array(numbers, dtype=np.float32))
            return env.move.line["limit_bytes_per_s"][0], env.move.disk["delay_ns"][0], info

        assert after(0, 0, 0)[:2] == (0, 0)
        assert after(-1, 1, 0)[0] == pytest.approx(0.05 * line)
        assert after(-1, 1, 0)[1] == pytest.approx(100e6, rel=1e-6)
        assert after(-0.5, 0.5, 0)[0] == pytest.approx(0.05**0.5 * line, rel=1e-6)
        assert after(-0.5, 1 / 3, 0)[1] == pytest.approx(1e6, rel=1e-5)
        limit, delay, info = after(np.nan, np.nan, np.nan)
        assert info["refused"] == 3
        assert limit == pytest.approx(0.05**0.5 * line, rel=1e-6)
        assert delay == pytest.approx(1e6, rel=1e-5)
        assert after(9, -9, 9)[:2] == (0, 0)

    def test_a_wrong_shape_is_an_error(self):
        with pytest.raises(ValueError, match=r"expected shape \(3,\), found \(2,\)"):
            begun().step(np.array([1, 2]))


class TestEpisodes:
    def test_an_episode_can_be_named(self):
        env = WanMigrationEnv("random")
        _, first = env.reset(options={"episode_seed": 12})
        spec = env.move.spec
        env.reset(options={"episode_seed": 13})
        assert env.move.spec != spec
        env.reset(options={"episode_seed": 12})
        assert env.move.spec == spec
        assert first["episode_seed"] == 12

    def test_unknown_options_are_named(self):
        with pytest.raises(ValueError, match="unknown option colour"):
            WanMigrationEnv().reset(options={"colour": 1})

    def test_training_and_testing_never_meet(self):
        seeds = {}
        for split in ("train", "test"):
            env = WanMigrationEnv("random", split=split)
            seeds[split] = [env.reset(seed=i)[1]["episode_seed"] for i in range(20)]
        assert max(seeds["train"]) < 2**62 <= min(seeds["test"])

    def test_unknown_arguments_are_named(self):
        with pytest.raises(ValueError, match="'levels' or 'box', found 'steps'"):
            WanMigrationEnv(action="steps")
        with pytest.raises(ValueError, match="found 'human'"):
            WanMigrationEnv(render_mode="human")


class TestRendering:
    def test_as_text(self):
        env = begun(render_mode="ansi")
        act(env)
        text = env.render()
        assert "disk" in text
        assert "12.5 %" in text
        assert "10 connected" not in text

    def test_as_picture(self):
        env = begun(render_mode="rgb_array")
        empty = env.render()
        for _ in range(10):
            act(env)
        picture = env.render()
        assert picture.shape == (540, 960, 3)
        assert picture.dtype == np.uint8
        assert (picture != empty).any()

    def test_nothing_without_a_mode(self):
        assert begun().render() is None


PROGRAM = """
import numpy as np
from xengym.envs.wan_migration.env import WanMigrationEnv
env = WanMigrationEnv("random")
env.reset(seed=3)
for _ in range(50):
    env.step(np.array([6, 2, 0]))
print(env.digest())
"""


def test_another_process_comes_to_the_same_state():
    def run(hash_seed):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert run("1") == run("2") != ""


def test_the_batch_offers_masks():
    batch = gym.make_vec("xengym/WanMigration-v0", num_envs=3, vectorization_mode="vector_entry_point")
    batch.reset(seed=0)
    masks = batch.unwrapped.action_masks()
    assert masks.shape == (3, 18)
    *_, infos = batch.step(np.zeros((3, 3), dtype=np.int64))
    assert np.array_equal(infos["action_mask"], batch.unwrapped.action_masks())
