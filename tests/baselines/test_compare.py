"""Baselines and their comparison."""

import numpy as np
import pytest

from xengym.baselines.compare import (
    EpisodeResult,
    comparison_table,
    held_out_seeds,
    median_interval,
    run_episodes,
    summarise,
    write_csv,
)
from xengym.baselines.policies import Defaults, RandomActions, RoundRobinCaps, StaticAction, tune_static
from xengym.envs.host.env import HostEnv
from xengym.scenarios.episodes import SEED_RANGES


def result(policy, reward):
    return EpisodeResult(policy, 1, reward, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def test_the_median_of_a_known_sample_lies_in_its_interval():
    median, low, high = median_interval(np.arange(101.0))
    assert median == 50.0
    assert 30 < low < 50 < high < 70


def test_summaries_are_by_policy_in_order():
    rows = summarise([result("b", 1.0), result("a", 3.0), result("b", 2.0)])
    assert [(row.policy, row.num, row.median) for row in rows] == [("b", 2, 1.5), ("a", 1, 3.0)]


def test_held_out_seeds_are_test_seeds_and_reproducible():
    seeds = held_out_seeds(50)
    assert seeds == held_out_seeds(50)
    assert len(set(seeds)) == 50
    low, high = SEED_RANGES["test"]
    assert all(low <= seed < high for seed in seeds)


@pytest.mark.parametrize("policy", [Defaults(), RoundRobinCaps(), RandomActions()], ids=lambda p: p.name)
def test_every_baseline_repeats_itself(policy):
    seeds = held_out_seeds(2)
    assert run_episodes(policy, "random", seeds) == run_episodes(policy, "random", seeds)


def test_round_robin_caps_all_but_one():
    env = HostEnv("consolidation")
    obs, _ = env.reset(seed=0)
    policy = RoundRobinCaps(cap_frac=0.5, turn_steps=1)
    policy.begin(env, 0)
    for favoured in range(8):
        env.step(policy.act(obs))
        capped = [slot for slot in range(8) if env.host.scheduler.domain_params(slot)["cap"]]
        assert capped == [slot for slot in range(8) if slot != favoured]


def test_the_search_finds_better_static_parameters():
    tried = []
    tuned = tune_static("consolidation", budget=60, num_seeds=2, progress=lambda done, of: tried.append((done, of)))
    assert tried[-1] == (60, 60)
    seeds = held_out_seeds(4)
    best = np.median([r.reward for r in run_episodes(tuned, "consolidation", seeds)])
    default = np.median([r.reward for r in run_episodes(Defaults(), "consolidation", seeds)])
    assert best > default


def test_a_static_action_of_zeros_is_default_credit():
    seeds = held_out_seeds(2)
    zeros = StaticAction(np.zeros(16), "credit default")
    assert run_episodes(zeros, "consolidation", seeds) == run_episodes(Defaults(), "consolidation", seeds)


def test_results_are_written_whole_and_printed(tmp_path):
    rows = [result("a", 0.5), result("b", 0.25)]
    path = tmp_path / "results.csv"
    write_csv(rows, path)
    lines = path.read_text().splitlines()
    assert lines[0] == "policy,episode_seed,reward,sla,isolation,work,switching,goodput,taken,swapping,ballooning"
    assert lines[1].startswith("a,1,0.5,")
    assert list(tmp_path.iterdir()) == [path]
    assert "0.500 [0.500, 0.500]" in comparison_table(rows)
