"""DriverDomain-v0: actions are the limits they say, and limits do what they are for."""

import gymnasium as gym
import numpy as np
import pytest

import xengym  # noqa: F401  (registers the ids)
from xengym.envs.driver_domain.actions import LIMITS
from xengym.envs.host.observations import DOMAIN_FEATURES, HOST_FEATURES, IO_FEATURES
from xengym.scenarios.config import ScenarioError

DOM0, VICTIM, AGGRESSOR, BATCH = range(4)
WIDTH = len(DOMAIN_FEATURES) + len(IO_FEATURES) + len(LIMITS)


@pytest.fixture
def env():
    env = gym.make("xengym/DriverDomain-v0").unwrapped
    env.reset(seed=0)
    return env


def limits(**of_slots):
    """A box action; ``d1=(combined, traffic)``."""
    action = np.zeros((8, 2), dtype=np.float32)
    for name, pair in of_slots.items():
        action[int(name[1:])] = pair
    return action.ravel()


def params(env, slot):
    return env.host.scheduler.domain_params(slot)


def slice_frac(env, slot):
    return params(env, slot)["slice_ns"] / params(env, slot)["period_ns"]


def test_the_zero_action_is_what_was_agreed_on_and_no_limit_of_traffic(env):
    env.step(limits())
    for slot, agreed in ((VICTIM, 0.3), (AGGRESSOR, 0.1), (BATCH, 0.1)):
        assert slice_frac(env, slot) == pytest.approx(agreed)
        assert params(env, slot)["io_limit_ppm"] == 0
        assert params(env, slot)["extratime"] == 0


def test_numbers_are_the_limits_that_the_docstring_says(env):
    env.step(limits(d1=(-1, -1), d2=(1, -0.75), d3=(0.5, 0.3)))
    assert slice_frac(env, VICTIM) == pytest.approx(0.01)
    assert params(env, VICTIM)["io_limit_ppm"] == 1
    assert slice_frac(env, AGGRESSOR) == pytest.approx(1.0)
    assert params(env, AGGRESSOR)["io_limit_ppm"] == 250_000
    assert slice_frac(env, BATCH) == pytest.approx(0.1 + 0.5 * 0.9)
    assert params(env, BATCH)["io_limit_ppm"] == 0


def test_the_driver_domain_is_not_limited(env):
    before = params(env, DOM0)
    env.step(limits(d0=(-1, -1)))
    assert params(env, DOM0) == before


def test_entries_that_are_not_numbers_keep_the_limits_and_are_counted(env):
    env.step(limits(d1=(0.25, -0.5)))
    before = params(env, VICTIM)
    action = limits(d1=(np.nan, 0.0))
    assert env.step(action)[4]["refused"] == 1
    assert params(env, VICTIM) == before


def test_the_present_action_changes_nothing(env):
    env.step(limits(d1=(0.25, -0.5), d2=(-0.5, -0.9)))
    before = [params(env, slot) for slot in range(4)]
    env.step(env.current_action())
    assert [params(env, slot) for slot in range(4)] == before


def test_steps_move_a_limit_by_a_tenth_of_its_range():
    env = gym.make("xengym/DriverDomain-v0", action="steps").unwrapped
    env.reset(seed=0)
    before = slice_frac(env, VICTIM)
    action = np.ones(16, dtype=np.int64)
    action[2 * VICTIM] = 2
    env.step(action)
    assert slice_frac(env, VICTIM) == pytest.approx(before + 0.099)
    assert params(env, VICTIM)["extratime"] == 0
    masks = env.action_masks().reshape(8, 2, 3)
    assert masks[DOM0].tolist() == [[False, True, False]] * 2
    assert masks[VICTIM, 0].all()


def features(obs, slot):
    names = [name for name, _ in (*DOMAIN_FEATURES, *IO_FEATURES)] + list(LIMITS)
    return dict(zip(names, obs.reshape(-1)[slot * WIDTH : (slot + 1) * WIDTH], strict=True))


def test_observations_show_who_costs_the_driver_domain_what(env):
    for _ in range(5):
        obs = env.step(limits())[0]
    assert len(obs) == 8 * WIDTH + len(HOST_FEATURES)
    records = env.stepper.monitor.domain_records
    length_ns = env.stepper.interval_ns
    for slot in range(4):
        seen = features(obs, slot)
        assert seen["served"] == pytest.approx(records["delta"]["served_ns"][slot] / length_ns, abs=1e-6)
        assert seen["serving"] == pytest.approx(min(1, records["delta"]["serving_ns"][slot] / length_ns), abs=1e-6)
    # Serving is what everybody's served adds up to: there is one driver domain.
    assert records["delta"]["served_ns"].sum() == records["delta"]["serving_ns"][DOM0]
    assert features(obs, AGGRESSOR)["served"] > features(obs, VICTIM)["served"] > 0 == features(obs, BATCH)["served"]
    assert features(obs, VICTIM)["slice_ppm"] == features(obs, VICTIM)["io_limit_ppm"] == 0.5


def mean_terms(env, action, steps=100):
    env.reset(seed=3)
    infos = [env.step(action)[4] for _ in range(steps)]
    return {name: float(np.mean([info[name] for info in infos])) for name in ("sla", "goodput", "taken")}


def test_limiting_the_flooded_domains_traffic_helps_the_victim(env):
    contract = mean_terms(env, limits())
    guarded = mean_terms(env, limits(d2=(0, -0.98)))
    assert guarded["goodput"] > contract["goodput"]
    assert guarded["sla"] > contract["sla"]
    assert guarded["taken"] > contract["taken"]
    assert env.host.sections["domain_io"]["rx_dropped"][AGGRESSOR] > 0


def test_a_scenario_without_devices_is_refused():
    with pytest.raises(ScenarioError, match=r"'consolidation' has no domain whose program is 'os'.*Host-v0"):
        gym.make("xengym/DriverDomain-v0", scenario="consolidation")
