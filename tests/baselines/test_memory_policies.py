"""Baselines of Memory-v0: they repeat themselves, and on the named scenario reacting beats a static split."""

import numpy as np
import pytest

from xengym.baselines.compare import held_out_seeds
from xengym.baselines.memory_policies import (
    RandomTargets,
    Reactive,
    StaticSplit,
    memory_policies,
    memory_table,
    run_memory_policy,
)
from xengym.envs.memory.env import MemoryEnv
from xengym.policies.control.ballooning import fair_targets, proportional_targets


@pytest.mark.parametrize("policy", memory_policies(), ids=lambda policy: policy.name)
def test_every_baseline_repeats_itself(policy):
    seeds = held_out_seeds(2)
    assert run_memory_policy(policy, "random-memory", seeds) == run_memory_policy(policy, "random-memory", seeds)


def test_reacting_beats_a_static_split_in_every_episode_but_a_few():
    seeds = held_out_seeds(12)
    static = run_memory_policy(StaticSplit(), "memory-pressure", seeds)
    fair = run_memory_policy(Reactive(fair_targets, "max-min fair"), "memory-pressure", seeds)
    gains = np.array([ours.reward - theirs.reward for ours, theirs in zip(fair, static, strict=True)])
    assert np.median(gains) > 0.05
    assert (gains > 0).mean() >= 0.75
    assert np.median([r.swapping for r in fair]) < 0.7 * np.median([r.swapping for r in static])
    assert np.median([r.response_ms for r in fair]) < np.median([r.response_ms for r in static])


def test_what_is_wanted_beyond_what_there_is_shared_in_proportion_hurts_everybody():
    """A rule is not good because it reacts: in proportion, small working sets are put out for large ones."""
    seeds = held_out_seeds(6)
    proportional = run_memory_policy(Reactive(proportional_targets, "proportional"), "memory-pressure", seeds)
    fair = run_memory_policy(Reactive(fair_targets, "fair"), "memory-pressure", seeds)
    assert np.median([r.reward for r in proportional]) < np.median([r.reward for r in fair])


def test_a_domain_that_does_not_say_what_it_wants_keeps_what_it_has():
    env = MemoryEnv("memory-pressure")
    obs, _ = env.reset(seed=0)
    policy = Reactive(fair_targets, "fair")
    policy.begin(env, 0)
    for _ in range(20):
        obs, *_ = env.step(policy.act(obs))
    assert env.host.sections["memory"]["pages"][0] == 64 * 256


def test_the_table_has_a_line_a_policy():
    results = [
        *run_memory_policy(StaticSplit(), "memory-pressure", held_out_seeds(2)),
        *run_memory_policy(RandomTargets(), "memory-pressure", held_out_seeds(2)),
    ]
    lines = memory_table(results).splitlines()
    assert [line.split("  ")[0] for line in lines[2:4]] == ["static split", "random"]
