"""The native batch under SB3: the same numbers as SB3's own vector environments, and a state that can be kept."""

import pickle

import numpy as np
import pytest

pytest.importorskip("stable_baselines3", reason="needs the [agents] extra")

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from agents.batch_vec_env import make_batch
from xengym.envs.episodic import TERM_NAMES
from xengym.envs.host.env import HostEnv

pytestmark = pytest.mark.train

NUM_ENVS = 3


@pytest.fixture
def batch():
    made = make_batch("consolidation", num_envs=NUM_ENVS)
    yield made
    made.close()


def random_actions(seed, num_steps, venv):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (num_steps, venv.num_envs, *venv.action_space.shape)).astype(np.float32)


def test_agrees_with_sb3_vector_of_single_environments(batch):
    plain = DummyVecEnv([HostEnv] * NUM_ENVS)
    monitored = VecMonitor(plain)
    plain._seeds = list(batch.seed(3))
    assert np.array_equal(batch.reset(), monitored.reset())
    sums, ends = np.zeros((NUM_ENVS, len(TERM_NAMES))), 0
    for actions in random_actions(0, 420, batch):
        ours, theirs = batch.step(actions), monitored.step(actions)
        for a, b in zip(ours[:3], theirs[:3], strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        for i, (info, expected) in enumerate(zip(ours[3], theirs[3], strict=True)):
            sums[i] += [expected[name] for name in TERM_NAMES]
            if not ours[2][i]:
                assert info == {}
                continue
            ends += 1
            assert info["TimeLimit.truncated"] is expected["TimeLimit.truncated"] is True
            assert np.array_equal(info["terminal_observation"], expected["terminal_observation"])
            assert info["episode"]["l"] == expected["episode"]["l"]
            assert info["episode"]["r"] == pytest.approx(expected["episode"]["r"], rel=1e-4)
            means = sums[i] / info["episode"]["l"]
            assert [info["episode"][name] for name in TERM_NAMES] == pytest.approx(list(means))
            sums[i] = 0
    assert ends == 2 * NUM_ENVS


def test_a_snapshot_goes_on_identically_in_another_batch(batch):
    batch.seed(1)
    batch.reset()
    first, *rest = np.split(random_actions(1, 300, batch), [150])
    for actions in first:
        batch.step(actions)
    kept = pickle.dumps(batch.snapshot())
    other = make_batch("consolidation", num_envs=NUM_ENVS)
    other.seed(2)
    other.restore(pickle.loads(kept))
    for actions in rest[0]:
        ours, theirs = batch.step(actions), other.step(actions)
        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[1], theirs[1])
        for a, b in zip(ours[3], theirs[3], strict=True):
            assert {**a.get("episode", {}), "t": 0} == {**b.get("episode", {}), "t": 0}
    # The seed given before the snapshot came back was for a reset that never was: it must not come up later.
    assert not np.array_equal(other.reset(), make_seeded(2).reset())
    other.close()


def make_seeded(seed):
    made = make_batch("consolidation", num_envs=NUM_ENVS)
    made.seed(seed)
    return made


def test_seeds_decide_the_episodes_and_neighbours_share_none(batch):
    assert np.array_equal(make_seeded(5).reset(), make_seeded(5).reset())
    seeds = [set(batch.seed(s)) for s in (5, 6)]
    assert not seeds[0] & seeds[1]
    assert all(len(drawn) == NUM_ENVS for drawn in seeds)


def test_sb3_can_reach_single_environments(batch):
    batch.reset()
    assert batch.get_attr("render_mode") == [None] * NUM_ENVS
    batch.set_attr("label", "x", indices=[1])
    assert batch.get_attr("label", indices=1) == ["x"]
    assert [mask.shape for mask in batch.env_method("action_masks", indices=[0, 2])] == [(48,), (48,)]
    assert batch.env_is_wrapped(VecNormalize) == [False] * NUM_ENVS


def test_sb3_learns_on_it(batch):
    torch.set_num_threads(1)
    model = PPO("MlpPolicy", VecNormalize(batch), n_steps=128, batch_size=96, n_epochs=1, seed=0, device="cpu")
    model.learn(2 * 128 * NUM_ENVS)
    assert model.num_timesteps == 2 * 128 * NUM_ENVS
    assert len(model.ep_info_buffer) == NUM_ENVS
    assert {"r", "l", "t", *TERM_NAMES} == set(model.ep_info_buffer[0])
