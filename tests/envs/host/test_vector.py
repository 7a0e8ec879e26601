"""The native batch: threads, forks, seeds and bad arguments."""

import multiprocessing

import numpy as np
import pytest

from xengym.envs.host.vector import HostVectorEnv


def returns(num_threads, num_steps=25, num_envs=16, seed=3):
    env = HostVectorEnv(num_envs, "random", num_threads=num_threads)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    return np.array([env.step(env.action_space.sample())[1] for _ in range(num_steps)])


def test_the_result_does_not_depend_on_the_number_of_threads():
    expected = returns(1).tobytes()
    assert all(returns(threads).tobytes() == expected for threads in (2, 3, 8, 40))


def _step_in_child(env, connection):
    connection.send(env.step(np.zeros((4, 16), dtype=np.float32))[1].tobytes())


def test_a_forked_child_steps_without_the_threads_it_does_not_have():
    env = HostVectorEnv(4, num_threads=2)
    env.reset(seed=0)
    env.step(np.zeros((4, 16), dtype=np.float32))
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_step_in_child, args=(env, theirs))
    child.start()
    assert ours.poll(30), "the child hangs"
    assert ours.recv() == env.step(np.zeros((4, 16), dtype=np.float32))[1].tobytes()
    child.join()


def test_many_batches_come_and_go():
    for _ in range(30):
        env = HostVectorEnv(3, num_threads=3)
        env.reset(seed=0)
        env.step(np.zeros((3, 16), dtype=np.float32))
        env.close()


def test_seeds_may_be_given_one_by_one():
    env = HostVectorEnv(3)
    together, _ = env.reset(seed=5)
    again, _ = env.reset(seed=[5, 6, 7])
    assert together.tobytes() == again.tobytes()
    with pytest.raises(ValueError, match="expected one for each of 3 hosts, found 2"):
        env.reset(seed=[1, 2])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, found 0"),
        ({"num_threads": 0}, "num_threads must be at least 1, found 0"),
        ({"render_mode": "ansi"}, "a batch does not render"),
        ({"scenario": "nosuch"}, "unknown scenario 'nosuch'"),
    ],
)
def test_impossible_arguments_are_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        HostVectorEnv(**kwargs)


def test_too_few_snapshots_are_refused():
    env = HostVectorEnv(2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected 2 snapshots, found 1"):
        env.restore(env.snapshot()[:1])
