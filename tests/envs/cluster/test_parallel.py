"""An agent on each host: PettingZoo's own test, and agreement with the single agent."""

import numpy as np
import pytest

from xengym.envs.cluster.env import ClusterEnv

pytest.importorskip("pettingzoo", reason="needs PettingZoo, of the [multiagent] extra")

from pettingzoo.test import parallel_api_test, parallel_seed_test

from xengym.envs.cluster.parallel import parallel_env


def test_pettingzoo_has_no_complaint():
    parallel_api_test(parallel_env(), num_cycles=100)


def test_the_same_seed_gives_the_same_episode():
    parallel_seed_test(parallel_env, num_cycles=60)


def test_one_request_is_what_the_single_agent_orders():
    many, one = parallel_env(), ClusterEnv()
    _, infos = many.reset(seed=4)
    one.reset(seed=4)
    rng = np.random.default_rng(0)
    while many.agents:
        actions = dict.fromkeys(many.agents, 0)
        host = int(rng.integers(one.num_hosts))
        mask = infos[f"host_{host}"]["action_mask"]
        action = int(rng.choice(np.flatnonzero(mask)))
        actions[f"host_{host}"] = action
        order = 1 + (action - 1) * one.num_hosts + host if action else 0
        assert one.action_masks()[order]
        _, rewards, _, truncations, infos = many.step(actions)
        _, reward, _, truncated, _ = one.step(order)
        assert set(rewards.values()) == {reward}
        assert all(truncations.values()) == truncated
        assert many.env.digest() == one.digest()


def test_the_second_request_for_a_domain_is_refused():
    env = parallel_env()
    _, infos = env.reset(seed=1)
    wanted = np.stack([infos[agent]["action_mask"] for agent in env.agents])
    slot = int(np.flatnonzero(wanted[:, 1:].sum(axis=0) >= 2)[0])
    asking = np.flatnonzero(wanted[:, 1 + slot])
    _, _, _, _, infos = env.step({f"host_{host}": 1 + slot for host in asking})
    assert infos[f"host_{asking[0]}"]["refused"] == ""
    assert infos[f"host_{asking[1]}"]["refused"] == "the domain is being moved already"
    beyond = env.action_space("host_0").n
    with pytest.raises(ValueError, match=rf"action of host_0: expected 0\.\.{beyond - 1}, found {beyond}"):
        env.step({"host_0": beyond})
