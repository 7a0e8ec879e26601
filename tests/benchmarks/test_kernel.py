"""Benchmarks in SimPy's three groups: frequent (one thing), targeted (one behaviour), simulation (a whole run)."""

import gymnasium as gym
import numpy as np
import pytest

import xengym  # noqa: F401  (registers the ids)
from xengym.testing.speed import build_load
from xengym.units import MS_NS, S_NS


@pytest.fixture
def env():
    env = gym.make("xengym/Host-v0").unwrapped
    env.reset(seed=0)
    return env


@pytest.mark.benchmark(group="frequent")
def test_snapshot_and_restore(benchmark, env):
    benchmark(lambda: env.host.restore(env.host.snapshot()))


@pytest.mark.benchmark(group="frequent")
def test_environment_step(benchmark, env):
    action = np.zeros(env.action_space.shape, dtype=np.float32)
    benchmark(env.step, action)


@pytest.mark.benchmark(group="targeted")
def test_environment_reset(benchmark, env):
    benchmark(env.reset)


@pytest.mark.benchmark(group="targeted")
@pytest.mark.parametrize("load", ["hogs", "mixed", "io"])
def test_a_hundred_milliseconds_of_a_small_host(benchmark, load):
    host = build_load(4, 16, load)
    benchmark(lambda: host.run_until(host.now_ns + 100 * MS_NS))


@pytest.mark.benchmark(group="simulation")
def test_ten_seconds_of_a_middling_host(benchmark):
    host = build_load(16, 256, "mixed")
    benchmark.pedantic(lambda: host.run_until(host.now_ns + 10 * S_NS), rounds=3)
