"""Every registered id keeps Gymnasium's contract and ours: determinism, snapshots, pickling, batch equals single."""

import itertools
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import xengym  # noqa: F401  (registers the ids)
from xengym.scenarios.cluster_config import parse_cluster

IDS = [env_id for env_id in gym.registry if env_id.startswith("xengym/")]
VARIANTS = {
    "xengym/Host-v0": [
        {},
        {"scenario": "random"},
        {"action": "steps"},
        {"scenario": "web-hosting"},
        {"scenario": "random-io", "scheduler": "communication-aware"},
        {"scenario": "random", "action": "steps", "split": "test"},
    ],
    "xengym/DriverDomain-v0": [{}, {"scenario": "random-io"}, {"scenario": "web-hosting", "action": "steps"}],
    "xengym/Memory-v0": [{}, {"scenario": "random-memory"}, {"scenario": "random-memory", "split": "test"}],
    "xengym/Dispatch-v0": [
        {},
        {"scenario": "random", "slices_ms": (1, 5, 20)},
        {"scenario": "random", "wake_asks": "all", "split": "test"},
    ],
    "xengym/WanMigration-v0": [
        {},
        {"scenario": "lan-web-server", "action": "box"},
        {"scenario": "random"},
        {"scenario": "random", "action": "box", "split": "test"},
    ],
}
#: Full hosts, minutes instead of hours.
FULL_HOSTS = parse_cluster(
    {
        "kind": "cluster",
        "name": "full-hosts",
        "description": "three hosts of which each is the full model",
        "hosts": [
            {"name": "credit", "count": 2, "pcpus": 2, "memory_mib": 512},
            {"name": "sedf", "count": 1, "pcpus": 2, "memory_mib": 512, "scheduler": "sedf"},
        ],
        "domains": [
            {
                "name": "vm",
                "count": 6,
                "memory_mib": 32,
                "demand": {"kind": "wave", "period_h": 0.02, "peak_h": 0.01, "spread_pct": 20},
            }
        ],
        "moves": {"min_mbit_per_s": 300},
        "control": {"interval_s": 2, "episode_s": 50},
    },
    "a test",
)
CLUSTER_VARIANTS = [
    {},
    {"scenario": "two-sites"},
    {"scenario": "rack-hotspots", "keeps_spare": False, "split": "test"},
    {"scenario": FULL_HOSTS, "fidelity": "event"},
]
VARIANTS |= {
    "xengym/Cluster-v0": CLUSTER_VARIANTS,
    "xengym/Datacenter-v0": [*CLUSTER_VARIANTS, {"scenario": FULL_HOSTS}],
}
CLUSTERS = ["xengym/Cluster-v0", "xengym/Datacenter-v0"]
#: Environments whose episodes end by themselves, and are not cut off.
ENDING = ["xengym/WanMigration-v0"]
ALL_VARIANTS = [(env_id, kwargs) for env_id, variants in VARIANTS.items() for kwargs in variants]


def same(a, b):
    """Equal to the last bit, through dicts, tuples and arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


def rollout(env, actions):
    return [env.step(action) for action in actions]


def some_actions(env, num, seed=0):
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(num)]


def steps_beyond_an_episode(env_id):
    """A decision comes more often than a control interval; a move may take long."""
    return {"xengym/Dispatch-v0": 2500, "xengym/WanMigration-v0": 600, **dict.fromkeys(CLUSTERS, 60)}.get(env_id, 230)


def digest_of(env):
    """Of everything that is simulated."""
    return env.host.digest() if hasattr(env, "host") else env.digest()


def a_term_of(info):
    """One of the reward's terms."""
    return next(name for name in ("sla", "violations", "traffic") if name in info)


def random_scenario_of(env_id):
    """A scenario that is another one in each episode."""
    if env_id in CLUSTERS:
        return "cluster-small"
    return {"xengym/DriverDomain-v0": "random-io", "xengym/Memory-v0": "random-memory"}.get(env_id, "random")


@pytest.fixture(params=IDS)
def env_id(request):
    return request.param


@pytest.fixture(params=ALL_VARIANTS, ids=[f"{env_id}-{i}" for i, (env_id, _) in enumerate(ALL_VARIANTS)])
def variant(request):
    return request.param


@pytest.fixture
def env(variant):
    env_id, kwargs = variant
    return gym.make(env_id, **kwargs).unwrapped


def test_every_registered_id_is_tested():
    assert sorted(IDS) == sorted(VARIANTS)


def test_gymnasium_checker_has_no_complaint(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_gymnasium_checker_has_no_complaint_about_rendering(env_id, render_mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, render_mode=render_mode).unwrapped)


@pytest.mark.train
def test_stable_baselines_checker_has_no_complaint(env):
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="needs the [agents] extra")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(env)


def test_two_copies_with_one_seed_agree_byte_for_byte_over_a_whole_episode(variant, env):
    other = gym.make(variant[0], **variant[1]).unwrapped
    assert same(env.reset(seed=11), other.reset(seed=11))
    is_over = False
    actions = itertools.cycle(some_actions(env, 1000))
    steps = 0
    while not is_over:
        action = next(actions)
        ours, theirs = env.step(action), other.step(action)
        assert same(ours, theirs)
        assert ours[2 if variant[0] in ENDING else 3] == (ours[2] or ours[3])
        is_over = ours[2] or ours[3]
        steps += 1
    if variant[0] not in ENDING:
        assert env.stepper.num_steps == env.stepper.episode_steps >= 25
        assert steps == env.stepper.episode_steps or variant[0] == "xengym/Dispatch-v0"
    assert digest_of(env) == digest_of(other)


def test_reset_without_a_seed_goes_on_and_does_not_repeat(env):
    env.reset(seed=5)
    seeds = [env.reset()[1]["episode_seed"] for _ in range(5)]
    assert len(set(seeds)) == 5
    env.reset(seed=5)
    assert [env.reset()[1]["episode_seed"] for _ in range(5)] == seeds


def test_observations_stay_inside_the_space_and_are_finite(variant, env):
    env.reset(seed=3)
    for obs, reward, terminated, *_ in rollout(env, some_actions(env, 150, seed=3)):
        assert env.observation_space.contains(obs)
        assert np.isfinite(reward)
        assert not terminated or variant[0] in ENDING


def test_a_restored_snapshot_continues_identically_into_the_next_episode(env):
    env.reset(seed=7)
    actions = some_actions(env, 120)
    rollout(env, actions[:30])
    snapshot = env.snapshot()
    first = rollout(env, actions[30:]), env.reset(), rollout(env, actions[:20])
    env.restore(snapshot)
    assert same(first, (rollout(env, actions[30:]), env.reset(), rollout(env, actions[:20])))


def test_a_snapshot_survives_pickling_and_another_copy_of_the_environment(variant, env):
    env.reset(seed=8)
    actions = some_actions(env, 60)
    rollout(env, actions[:20])
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    other = gym.make(variant[0], **variant[1]).unwrapped
    other.reset(seed=1)
    other.restore(snapshot)
    assert same(rollout(env, actions[20:]), rollout(other, actions[20:]))


def test_a_pickled_environment_continues_identically(env):
    env.reset(seed=9)
    actions = some_actions(env, 60)
    rollout(env, actions[:20])
    copy = pickle.loads(pickle.dumps(env))
    assert same(rollout(env, actions[20:]), rollout(copy, actions[20:]))
    assert same(env.reset(), copy.reset())


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_the_batch_equals_single_environments_to_the_last_bit(env_id, num_threads):
    scenario = random_scenario_of(env_id)
    assert_batch_equals_singles(env_id, 5, steps_beyond_an_episode(env_id), num_threads, scenario=scenario)


def test_the_batch_equals_single_environments_on_hosts_with_devices():
    assert_batch_equals_singles("xengym/Host-v0", 3, 30, num_threads=2, scenario="web-hosting")


def assert_batch_equals_singles(env_id, num_envs, num_steps, num_threads, **kwargs):
    batch = gym.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", num_threads=num_threads, **kwargs
    )
    singles = [gym.make(env_id, **kwargs).unwrapped for _ in range(num_envs)]
    obs, _ = batch.reset(seed=40)
    for i, single in enumerate(singles):
        assert obs[i].tobytes() == single.reset(seed=40 + i)[0].tobytes()
    batch.action_space.seed(2)
    for _ in range(num_steps):
        actions = batch.action_space.sample()
        obs, rewards, terminated, truncated, infos = batch.step(actions)
        for i, single in enumerate(singles):
            single_obs, reward, single_terminated, single_truncated, info = single.step(actions[i])
            term = a_term_of(info)
            assert reward == rewards[i]
            assert single_terminated == terminated[i]
            assert single_truncated == truncated[i]
            if single_terminated or single_truncated:
                assert infos["final_obs"][i].tobytes() == single_obs.tobytes()
                assert infos["final_info"][term][i] == info[term]
                single_obs, info = single.reset()
                assert infos["episode_seed"][i] == info["episode_seed"]
            assert obs[i].tobytes() == single_obs.tobytes()
            assert infos[term][i] == info[term]
            assert infos["time_s"][i] == info["time_s"]
            for name in {"domain_mask", "refused", "action_mask", "pcpu", "stage", "downtime_s"} & set(info):
                assert np.array_equal(infos[name][i], info[name])


def test_a_batch_snapshot_continues_identically(env_id):
    batch = gym.make_vec(
        env_id, num_envs=3, vectorization_mode="vector_entry_point", scenario=random_scenario_of(env_id)
    )
    batch.reset(seed=1)
    batch.action_space.seed(1)
    actions = [batch.action_space.sample() for _ in range(60)]
    for action in actions[:20]:
        batch.step(action)
    snapshot = pickle.loads(pickle.dumps(batch.unwrapped.snapshot()))
    first = [batch.step(action)[:4] for action in actions[20:]]
    batch.unwrapped.restore(snapshot)
    assert same(first, [batch.step(action)[:4] for action in actions[20:]])


def test_a_batch_can_reset_some_of_its_hosts(env_id):
    batch = gym.make_vec(env_id, num_envs=3, vectorization_mode="vector_entry_point")
    batch.reset(seed=1)
    for _ in range(5):
        batch.step(batch.action_space.sample())
    before = [digest_of(env) for env in batch.unwrapped.envs]
    batch.reset(options={"reset_mask": np.array([False, True, False])})
    after = [digest_of(env) for env in batch.unwrapped.envs]
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, True, False]
    assert batch.unwrapped.envs[1].stepper.num_steps == 0


def test_gymnasiums_own_vector_environment_agrees_with_the_batch(env_id):
    batch = gym.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point")
    sync = gym.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    assert batch.reset(seed=6)[0].tobytes() == sync.reset(seed=6)[0].tobytes()
    batch.action_space.seed(0)
    for _ in range(20):
        actions = batch.action_space.sample()
        ours, theirs = batch.step(actions), sync.step(actions)
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1].tobytes() == theirs[1].tobytes()
