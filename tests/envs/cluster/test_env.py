"""Cluster-v0 and Datacenter-v0: what actions do, what observations show, how rewards add up."""

import numpy as np
import pytest

from xengym.envs.cluster.env import ClusterEnv, DatacenterEnv
from xengym.envs.cluster.observations import DOMAIN_FEATURES, GLOBAL_FEATURES, HOST_FEATURES
from xengym.envs.cluster.stepper import CLUSTER_TERMS, WEIGHT_LEVELS
from xengym.machine.cluster_state import POWERS
from xengym.scenarios.cluster_config import parse_cluster
from xengym.scenarios.config import ScenarioError

_GLOBAL = [name for name, _ in GLOBAL_FEATURES]
_HOST = [name for name, _ in HOST_FEATURES]
_DOMAIN = [name for name, _ in DOMAIN_FEATURES]


def config(**changes):
    """Three hosts of two pCPUs; four domains on the first that want half a pCPU each, always."""
    return parse_cluster(
        {
            "kind": "cluster",
            "name": "by-hand",
            "description": "three hosts",
            "hosts": [
                {
                    "name": "host", "count": 3, "pcpus": 2, "memory_mib": 1024, "scheduler": "credit",
                    "power": {"idle_watts": 100, "busy_watts": 200, "suspended_watts": 0, "suspend_s": 1, "wake_s": 1},
                }
            ],
            "domains": [{"name": "vm", "count": 4, "memory_mib": 128, "demand": {"kind": "constant", "pct": 50}}],
            "placement": "first-fit",
            "control": {"interval_s": 10, "episode_s": 100},
        }
        | changes,
        "a test",
    )  # fmt: skip


def parts(env, obs):
    """Cluster's, hosts' and domains' features by name."""
    first = len(_GLOBAL)
    hosts = obs[first : first + env.num_hosts * len(_HOST)].reshape(-1, len(_HOST))
    domains = obs[first + env.num_hosts * len(_HOST) :].reshape(-1, len(_DOMAIN))
    return (
        dict(zip(_GLOBAL, obs, strict=False)),
        dict(zip(_HOST, hosts.T, strict=True)),
        dict(zip(_DOMAIN, domains.T, strict=True)),
    )


def move(env, slot, host):
    return 1 + slot * env.num_hosts + host


def test_observations_say_what_there_is():
    env = ClusterEnv(config())
    obs, _ = env.reset(seed=0)
    cluster, hosts, domains = parts(env, obs)
    assert cluster["demand"] == pytest.approx(2 / 6)
    assert hosts["is_on"].tolist() == [1, 1, 1]
    assert hosts["demand"].tolist() == [0.5, 0, 0]
    assert hosts["free_memory"].tolist() == [0.5, 1, 1]
    assert domains["is_present"].tolist() == [1] * 4
    assert domains["host"].tolist() == [-1] * 4
    assert domains["demand"].tolist() == [0.5] * 4
    assert domains["cap"].tolist() == [1] * 4


def test_a_move_goes_where_it_was_ordered_and_is_paid_for():
    env = ClusterEnv(config(), keeps_spare=False)
    env.reset(seed=0)
    obs, reward, _, _, info = env.step(move(env, 2, 1))
    assert parts(env, obs)[2]["is_moving"][2] == 1
    assert info["refused"] == ""
    assert info["migrations"] == pytest.approx(-1 / 3)
    for _ in range(3):
        obs, *_ = env.step(0)
    assert env.cluster.domains["host"].tolist() == [0, 0, 1, 0]
    assert parts(env, obs)[2]["host"].tolist() == [-1, -1, 0, -1]
    weights = env.episodes.config.reward
    total = sum(getattr(weights, name) * info[name] for name, _ in CLUSTER_TERMS)
    assert reward == pytest.approx(total)


def test_energy_is_counted_against_full_load():
    env = ClusterEnv(config(), keeps_spare=False)
    env.reset(seed=0)
    *_, info = env.step(0)
    assert info["energy"] == pytest.approx(-(200 + 100 + 100) / 600)
    assert info["violations"] == info["downtime"] == 0


def test_the_operator_keeps_one_empty_host_and_wakes_one_when_there_is_none():
    env = ClusterEnv(config())
    env.reset(seed=0)
    env.step(0)
    on = POWERS.index("on")
    assert (env.cluster.hosts["power"] == on).tolist() == [True, True, False]
    env.step(move(env, 0, 1))
    for _ in range(4):
        env.step(0)
    assert (env.cluster.hosts["power"] == on).all()


def test_what_is_not_possible_is_refused_with_its_reason():
    env = ClusterEnv(config())
    env.reset(seed=0)
    assert not env.action_masks()[move(env, 0, 0)]
    *_, info = env.step(move(env, 0, 0))
    assert info["refused"] == "the domain is there already"
    env.step(0)
    *_, info = env.step(move(env, 1, 2))
    assert info["refused"] == "the host is not on"
    with pytest.raises(ValueError, match=r"action: expected one of Discrete\(13\), found 13"):
        env.step(13)


def test_masks_agree_with_what_happens():
    env = ClusterEnv("cluster-small")
    env.reset(seed=2)
    rng = np.random.default_rng(1)
    for _ in range(40):
        mask = env.action_masks()
        action = int(rng.integers(env.action_space.n))
        *_, info = env.step(action)
        assert mask[action] == (info["refused"] == "")
        assert np.array_equal(info["action_mask"], env.action_masks())


def test_levels_set_weights_and_caps():
    env = DatacenterEnv(config(), keeps_spare=False)
    env.reset(seed=0)
    action = np.zeros(9, dtype=np.int64)
    action[1], action[4] = 4, 2
    obs, *_ = env.step(action)
    domains = env.cluster.domains
    assert domains["weight"].tolist() == [WEIGHT_LEVELS[4], 256, 256, 256]
    assert domains["cap_pct"].tolist() == [0, 50, 0, 0]
    assert parts(env, obs)[2]["weight"].tolist() == [0.25, 0, 0, 0]
    assert parts(env, obs)[2]["cap"].tolist() == [1, 0.5, 1, 1]
    env.step(np.zeros(9, dtype=np.int64))
    assert (domains["weight"] == 256).all()
    assert (domains["cap_pct"] == 0).all()


def test_zeros_do_nothing_in_the_datacenter():
    one, other = ClusterEnv("cluster-small"), DatacenterEnv("cluster-small")
    one.reset(seed=5)
    other.reset(seed=5)
    for _ in range(48):
        ours = one.step(0)
        theirs = other.step(np.zeros(other.action_space.shape, dtype=np.int64))
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1] == theirs[1]


def test_under_sedf_levels_are_reservations_and_one_that_does_not_fit_is_not_made():
    hosts = [config().hosts[0].model_dump() | {"scheduler": "sedf", "count": 2}]
    env = DatacenterEnv(config(hosts=hosts), keeps_spare=False)
    env.reset(seed=0)
    action = np.zeros(9, dtype=np.int64)
    action[[1, 3, 5, 7]] = 4
    env.step(action)
    frac = env.cluster.domains["slice_ns"] / np.maximum(1, env.cluster.domains["period_ns"])
    assert frac.tolist() == [0.75, 0.75, 0, 0]
    assert (env.cluster.hosts["reserved_pcpus"] <= 2).all()


def test_full_hosts_and_shares_agree_on_a_quiet_cluster():
    rewards = {}
    for fidelity in ("fluid", "event"):
        domains = [config().domains[0].model_dump() | {"demand": {"kind": "constant", "pct": 30}}]
        quiet = config(domains=domains, control={"interval_s": 2, "episode_s": 20})
        env = ClusterEnv(quiet, fidelity=fidelity)
        _, info = env.reset(seed=0)
        assert info["fidelity"] == fidelity
        rewards[fidelity] = sum(env.step(move(env, 0, 1) if i == 1 else 0)[1] for i in range(10))
    assert rewards["event"] == pytest.approx(rewards["fluid"], rel=0.05)


def test_impossible_arguments_are_named():
    with pytest.raises(ValueError, match="fidelity must be one of fluid, event, found 'solid'"):
        ClusterEnv(fidelity="solid")
    with pytest.raises(ScenarioError, match="split must be one of train, test, found 'dev'"):
        ClusterEnv(split="dev")
    with pytest.raises(ScenarioError, match="key 'max_domains': is needed where domains arrive"):
        ClusterEnv(config(arrivals=[{"group": "vm", "per_hour": 10, "life_h": 1}]))
    with pytest.raises(ValueError, match="reset: unknown option speed; expected episode_seed"):
        ClusterEnv(config()).reset(options={"speed": 1})


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_it_is_drawn(mode):
    env = ClusterEnv(config(), render_mode=mode)
    env.reset(seed=0)
    env.step(move(env, 0, 1))
    frame = env.render()
    if mode == "ansi":
        assert "domain 0: host-0 to host-1, pre-copy" in frame
        assert frame.startswith("fluid, 0.00 h, 4 domains")
    else:
        assert frame.shape == (540, 960, 3)
        assert (frame == (0, 158, 115)).all(axis=-1).any()
