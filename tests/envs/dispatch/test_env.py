"""`Dispatch-v0` by hand: decisions, masks, refusals, rewards; and Xen's schedulers written on the agent's side."""

import numpy as np
import pytest

from xengym.envs.dispatch.env import DispatchEnv
from xengym.envs.dispatch.observations import DECISION_FEATURES, VCPU_FEATURES
from xengym.envs.dispatch.vector import DispatchVectorEnv
from xengym.envs.host.env import HostEnv
from xengym.scenarios.build import build_host, populate
from xengym.scenarios.config import parse_scenario
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
FIELDS = [name for name, _ in VCPU_FEATURES]


def scenario(*domains, pcpus=1, episode_s=1.0, scheduler=None, max_vcpus=4, interval_ms=10.0):
    return parse_scenario(
        {
            "name": "small",
            "description": "for tests",
            "machine": {"cores_per_socket": pcpus},
            "scheduler": scheduler or {"name": "credit"},
            "costs": {"context_switch_us": 0, "cache_refill_us": 0},
            "domains": [{"name": f"d{i}", "id": i + 1, **domain} for i, domain in enumerate(domains)],
            "control": {"interval_ms": interval_ms, "episode_s": episode_s, "warmup_ms": 0},
            "limits": {"max_domains": 4, "max_vcpus": max_vcpus},
        },
        "test",
    )


HOG = {"program": {"kind": "hog"}}


def periodic(run_ms, period_ms, **more):
    return {"program": {"kind": "periodic", "run_ms": run_ms, "period_ms": period_ms}, **more}


def features(env, obs, v):
    return dict(zip(FIELDS, obs[v * len(FIELDS) :][: len(FIELDS)].tolist(), strict=True))


def dispatches(host):
    records = host.trace_records()
    records = records[records["kind"] == TraceKind.SWITCH]
    idle = len(host.sections["guest_kind"])
    return [(t, p, v if v < idle else None) for t, p, v in records[["at_ns", "pcpu", "vcpu"]].tolist()]


class TestDecisions:
    def test_the_first_observation_is_the_first_decision(self):
        env = DispatchEnv(scenario(HOG, HOG))
        obs, info = env.reset(seed=0)
        assert (info["pcpu"], info["time_s"]) == (0, 0.0)
        assert info["action_mask"].tolist() == [True, True, False, False, True]
        assert env.action_masks().tolist() == info["action_mask"].tolist()
        assert [features(env, obs, v)["legal"] for v in range(4)] == [1, 1, 0, 0]
        assert [features(env, obs, v)["present"] for v in range(4)] == [1, 1, 0, 0]

    def test_a_step_is_a_decision_and_its_slice(self):
        env = DispatchEnv(scenario(HOG, HOG), slices_ms=(2, 5))
        env.reset(seed=0)
        times = []
        for action in ([0, 1], [1, 0], [1, 1], [4, 0], [0, 0]):
            *_, info = env.step(np.array(action))
            times.append(round(1000 * info["time_s"]))
        assert times == [5, 7, 12, 14, 16]
        assert dispatches_of(env, DispatchEnv(scenario(HOG, HOG), slices_ms=(2, 5))) == [
            (0, 0, 0), (5 * MS, 0, 1), (12 * MS, 0, None), (14 * MS, 0, 0),
        ]  # fmt: skip

    def test_what_an_observation_says(self):
        env = DispatchEnv(scenario({**HOG, "agreed_pcpus": 0.5}, HOG, pcpus=2), slice_ms=10)
        obs, _ = env.reset(seed=0)
        obs, *_ = env.step(0)
        first = features(env, obs, 0)
        assert env.host.awaiting_pcpu == 1
        assert (first["elsewhere"], first["current"], first["legal"]) == (1, 0, 0)
        obs, *_ = env.step(1)
        first, second = features(env, obs, 0), features(env, obs, 1)
        assert (first["current"], first["legal"], first["ran"], first["cpu"], first["warm"]) == (1, 1, 0.5, 1, 0)
        assert second["elsewhere"] == 1
        # It had 10 ms, 5 ms of them were agreed on: 5 too much of a scale of 50.
        assert first["owed"] == pytest.approx(0.5 - 0.5 * 5 / 55)
        decision = dict(zip([name for name, _ in DECISION_FEATURES], obs[-4:].tolist(), strict=True))
        assert decision["busy"] == 1
        assert decision["window"] == 0

    def test_an_illegal_choice_is_refused_and_counted(self):
        env = DispatchEnv(scenario(HOG, HOG))
        env.reset(seed=0)
        *_, info = env.step(3)
        assert info["refused"] == 1
        assert env.host.sections["pcpu"]["curr"][0] == 0
        *_, info = env.step(1)
        assert info["refused"] == 0
        *_, info = env.step(-7)
        assert info["refused"] == 1

    def test_the_episode_ends_in_time_however_many_decisions_it_took(self):
        for slice_ms, steps in ((10, 10), (1, 100), (25, 4)):
            env = DispatchEnv(scenario(HOG, HOG, episode_s=0.1), slice_ms=slice_ms)
            env.reset(seed=0)
            taken, truncated = 0, False
            while not truncated:
                *_, truncated, info = env.step(env.default_action())
                taken += 1
            assert (taken, info["time_s"]) == (steps, 0.1)

    def test_it_earns_what_the_same_schedule_earns_in_host_v0(self):
        """Round-robin on one pCPU, by the agent and by the built-in default."""
        config = scenario(
            periodic(2, 10, latency_target_ms=6), {**HOG, "agreed_pcpus": 0.3}, HOG, episode_s=0.5, max_vcpus=3
        )
        env = DispatchEnv(config, slice_ms=5)
        env.reset(options={"episode_seed": 5})
        total, truncated = 0.0, False
        while not truncated:
            _, reward, _, truncated, _ = env.step(env.default_action())
            total += reward

        class Watched(HostEnv):
            needs_parameters = False

        built_in = Watched(config.model_copy(update={"scheduler": env.episode.config.scheduler.model_copy(
            update={"options": {"slice_us": 5000}})}))  # fmt: skip
        built_in.reset(options={"episode_seed": 5})
        expected = sum(built_in.step(np.zeros(0, dtype=np.float32))[1] for _ in range(50))
        assert total == pytest.approx(expected, abs=1e-12)

    def test_no_decision_is_awaited_at_the_end(self):
        env = DispatchEnv(scenario(HOG, HOG, episode_s=0.02), slice_ms=15)
        env.reset(seed=0)
        env.step(0)
        *_, truncated, info = env.step(0)
        assert truncated
        assert info["pcpu"] == -1
        assert info["action_mask"].tolist() == [False] * 4 + [True]


def dispatches_of(env, other):
    """The switches of an episode, replayed with the trace on."""
    other.reset(seed=0)
    other.host.start_trace()
    for action in ([0, 1], [1, 0], [1, 1], [4, 0], [0, 0]):
        other.step(np.array(action))
    assert other.host.digest() == env.host.digest()
    return dispatches(other.host)


def built_in(config, until_ns):
    host = build_host(config)
    populate(host, config, seed=0)
    host.start_trace()
    host.run_until(until_ns)
    return dispatches(host)


class TestSchedulersOnTheAgentsSide:
    """The same schedule, event for event, whether the scheduler is compiled into the machine or is the agent."""

    def test_credit(self):
        """Two hogs, weights 256 and 512, on one pCPU: Credit of Xen 3.2, its accounting done by the agent.

        A decision falls on every end of a 30 ms slice. Accounting runs just before, at the third tick: 300 credits (and
        what is owed from before) are handed out by weight; each tick costs whoever runs 100.
        """
        config = scenario(
            {**HOG, "params": {"weight": 256}},
            {**HOG, "params": {"weight": 512}},
            scheduler={"name": "credit", "version": "3.2"},
            episode_s=3.0,
        )
        env = DispatchEnv(config, slice_ms=30)
        env.reset(seed=0)
        env.host.start_trace()
        weight, credit, active, queue = [256, 512], [0, 0], [], [0, 1]
        debt, running, truncated = 0, None, False
        while not truncated:
            if running is not None:
                credit[running] -= 300
                active += [running] * (running not in active)  # its first tick finds it
                total = sum(weight[v] for v in active)
                for v in list(active):
                    credit[v] = max(-300, credit[v] + -(-(300 + debt) * weight[v] // total))
                    if credit[v] > 300:  # more than a period's worth: it does not compete for now
                        credit[v] = 0
                        active.remove(v)
                debt = max(0, -sum(credit))
                queue.append(running)
            running = next((v for v in queue if credit[v] >= 0), queue[0])
            queue.remove(running)
            *_, truncated, _ = env.step(running)
        assert dispatches(env.host) == built_in(config, 3000 * MS)

    def test_edf(self):
        """Two servers, 4 ms of every 10 and 8 ms of every 20, on one pCPU: RTDS's deadlines kept by the agent.

        It is asked every millisecond and takes, of those with budget left, the earliest deadline; a tie goes on.
        """
        pytest.importorskip("xengym.policies.schedulers.rtds", reason="the built-in counterpart")
        servers = {"period_us": (10_000, 20_000), "budget_us": (4_000, 8_000)}
        config = scenario(
            *({**HOG, "params": {name: servers[name][i] for name in servers} | {"extratime": 0}} for i in range(2)),
            scheduler={"name": "rtds"},
            episode_s=1.0,
        )
        env = DispatchEnv(config, slice_ms=1)
        env.reset(seed=0)
        env.host.start_trace()
        # As at creation: the defaults, 4 ms of every 10, until the first replenishment.
        budget, deadline = [4 * MS, 4 * MS], [10 * MS, 10 * MS]
        running, truncated, now, before = None, False, 0, 0
        while not truncated:
            if running is not None:
                budget[running] -= now - before
            for v in range(2):
                if now >= deadline[v]:
                    deadline[v] += 1000 * servers["period_us"][v]
                    budget[v] = 1000 * servers["budget_us"][v]
            ready = [v for v in range(2) if budget[v] > 0]
            running = min(ready, key=lambda v: (deadline[v], v != running, v)) if ready else None
            before = now
            *_, truncated, info = env.step(running if running is not None else 4)
            now = round(1e9 * info["time_s"])
        assert dispatches(env.host) == built_in(config, 1000 * MS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slices_ms": (0.01,)}, r"slices must be 0\.1\.\.1000 ms, found 0\.01"),
        ({"slice_ms": 2000}, r"slices must be 0\.1\.\.1000 ms, found 2000"),
        ({"slices_ms": [1] * 17}, "at most 16 entries, found 17"),
        ({"wake_asks": "none"}, "wake_asks must be one of own, all, found 'none'"),
        ({"render_mode": "human"}, "render_mode must be one of"),
        ({"scenario": "nowhere"}, "unknown scenario 'nowhere'"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DispatchEnv(**arguments)


def test_an_action_of_the_wrong_shape_is_an_error():
    env = DispatchEnv(scenario(HOG), slices_ms=(1, 2))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action: expected shape \(2,\), found \(\)"):
        env.step(0)


def test_masks_of_a_batch():
    batch = DispatchVectorEnv(2, scenario(HOG, HOG), slices_ms=(1, 2))
    _, infos = batch.reset(seed=0)
    assert batch.action_masks().tolist() == [[True, True, False, False, True, True, True]] * 2
    assert np.array_equal(infos["action_mask"][0], batch.action_masks()[0])
    *_, infos = batch.step(np.array([[0, 0], [4, 1]]))
    assert np.array_equal(infos["action_mask"], batch.action_masks())
