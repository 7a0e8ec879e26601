"""Baselines of `WanMigration-v0`: each does what its rule says, and they differ where they have to."""

import pytest

from xengym.baselines.compare import held_out_seeds
from xengym.baselines.move_policies import (
    BradfordDefaults,
    PaperRule,
    RandomLevels,
    Reactive,
    StopAfterFirstRound,
    compare_moves,
    main,
    move_policies,
    run_move,
)
from xengym.envs.wan_migration.env import WanMigrationEnv
from xengym.scenarios.wide_area import load_move_scenario

SEED = 2**62 + 3


def steady(name, writes_per_s=None):
    """A named migration without phases; another write rate of its last extent, if given."""
    data = load_move_scenario(name).model_dump() | {"phases": {"mean_s": 1e6}}
    if writes_per_s is not None:
        data["disk"]["extents"][-1]["writes_per_s"] = writes_per_s
    return type(load_move_scenario(name)).model_validate(data)


def test_one_round_is_one_round_and_the_stop():
    env = WanMigrationEnv(steady("lan-web-server"), split="test")
    result = run_move(StopAfterFirstRound(), env, SEED)
    assert result.is_done
    assert env.move.migration["round"][0] == 2


def test_the_papers_rule_stops_where_memory_is_dirtied_faster_than_the_line_carries():
    env = WanMigrationEnv(steady("lan-web-server"), split="test")
    result = run_move(PaperRule(), env, SEED)
    assert result.is_done
    last = int(env.move.migration["round"][0]) - 2
    rate = (
        float(env.move.migration["dirtied_pages_of"][0, last])
        * 4096e9
        / float(env.move.migration["round_ns_of"][0, last])
    )
    assert rate > 12.5e6 or env.move.migration["dirtied_pages_of"][0, last] * 4096 < 256 * 1024


def test_bradfords_throttle_is_what_brings_a_heavy_writer_home():
    env = WanMigrationEnv(steady("lan-web-server", 5000.0), split="test")
    throttled, free = (run_move(policy, env, SEED) for policy in (BradfordDefaults(), BradfordDefaults(0.0)))
    assert throttled.is_done
    assert not free.is_done
    assert throttled.reward > free.reward


def test_the_reactive_one_holds_nothing_up_where_there_is_no_need():
    env = WanMigrationEnv(steady("lan-web-server", 10.0), split="test")
    reactive, bradford = (run_move(policy, env, SEED) for policy in (Reactive(), BradfordDefaults()))
    names = dict(zip([name for name, _ in _terms()], range(9), strict=False))
    assert reactive.is_done
    assert bradford.is_done
    assert reactive.terms[names["throttling"]] == 0 > bradford.terms[names["throttling"]]


def _terms():
    from xengym.envs.wan_migration.stepper import MOVE_TERMS

    return MOVE_TERMS


def test_chance_keeps_to_the_masks():
    env = WanMigrationEnv("lan-web-server", split="test")
    policy = RandomLevels()
    obs, _ = env.reset(seed=0)
    policy.begin(env, 1)
    for _ in range(100):
        obs, _, terminated, _, info = env.step(policy.act(obs))
        assert info["refused"] == 0
        if terminated:
            break


@pytest.mark.slow
def test_the_policies_differ_over_random_moves():
    results = compare_moves("random", held_out_seeds(10, seed=0))
    mean = {
        policy.name: sum(result.reward for result in results if result.policy == policy.name) / 10
        for policy in move_policies()
    }
    assert mean["Bradford"] > mean["one round"]
    assert mean["reactive"] > mean["Bradford, no throttle"]
    assert mean["Bradford"] > mean["random"]
    assert len({round(value, 3) for value in mean.values()}) == len(mean)


def test_the_command_prints_a_line_a_policy(capsys):
    main(["lan-web-server", "--episodes", "2"])
    text = capsys.readouterr().out
    assert all(policy.name in text for policy in move_policies())
