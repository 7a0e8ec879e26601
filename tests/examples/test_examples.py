"""The examples of a user's own scheduler: they work as they stand, by name, with no change in xengym."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import xengym
from tests.examples.lottery import Lottery
from xengym.hypervisor.domctl import Domctl
from xengym.policies.schedulers import registry
from xengym.policies.schedulers.python_policy import register_python_policy
from xengym.scenarios.build import build_host, populate, with_scheduler
from xengym.scenarios.config import ScenarioError, parse_scenario

EXAMPLES = Path(__file__).parent
MS = 1_000_000
TWO_HOGS = {
    "name": "two-hogs",
    "description": "two domains that always want to run, on one pCPU",
    "machine": {"cores_per_socket": 1},
    "scheduler": {"name": "lottery", "options": {"quantum_us": 1000}},
    "domains": [
        {"name": "a", "program": {"kind": "hog"}, "params": {"tickets": 300}},
        {"name": "b", "program": {"kind": "hog"}, "params": {"tickets": 100}},
    ],
}


@pytest.fixture
def lottery():
    register_python_policy(Lottery)
    yield
    registry._REGISTERED.pop("lottery")


def scenario(**changes):
    return parse_scenario({**TWO_HOGS, **changes}, "test")


def run(config, until_ns=4000 * MS, seed=1):
    host = build_host(config)
    populate(host, config, seed=seed)
    host.run_until(until_ns)
    return host


@pytest.mark.usefixtures("lottery")
class TestLottery:
    def test_shares_follow_the_tickets(self):
        host = run(scenario())
        # 4000 draws with p = 3/4: four standard deviations are 110.
        assert host.runstate_ns(0)["running"] / MS == pytest.approx(3000, abs=110)

    def test_tickets_may_change_while_it_runs(self):
        host = run(scenario(), 1000 * MS)
        before_ns = host.runstate_ns(1)["running"]
        Domctl(host).adjust_domain(1, tickets=10_000)
        host.run_until(2000 * MS)
        assert (host.runstate_ns(1)["running"] - before_ns) / MS > 940  # 10000 of 10300, four standard deviations less

    def test_a_wrong_value_is_an_error_that_names_the_key(self):
        domains = [{**TWO_HOGS["domains"][0], "params": {"tickets": 0}}]
        config = scenario(domains=domains)
        with pytest.raises(ScenarioError, match=r"'domains\.0' \(a\): .*lottery .*tickets must be .* found 0"):
            populate(build_host(config), config, seed=0)
        with pytest.raises(ScenarioError, match=r"scheduler 'lottery': .*unexpected keyword argument 'quantum'"):
            build_host(scenario(scheduler={"name": "lottery", "options": {"quantum": 1}}))

    def test_weights_of_another_scheduler_become_tickets_and_back(self):
        under_credit = with_scheduler(scenario(), "credit")
        assert [domain.params for domain in under_credit.domains] == [{"weight": 300}, {"weight": 100}]
        assert with_scheduler(under_credit, "lottery").domains == scenario().domains

    def test_an_agent_may_set_them(self):
        env = gym.make("xengym/Host-v0", scenario="consolidation", scheduler="lottery")
        env.reset(seed=3)
        action = np.zeros(env.action_space.shape, dtype=np.float32)
        action[1] = 1.0
        env.step(action)
        assert [env.unwrapped.host.scheduler.domain_params(d)["tickets"] for d in range(3)] == [256, 10_000, 256]

    def test_a_batch_equals_single_environments(self):
        batch = gym.make_vec("xengym/Host-v0", num_envs=3, scenario="consolidation", scheduler="lottery", num_threads=2)
        singles = [gym.make("xengym/Host-v0", scenario="consolidation", scheduler="lottery") for _ in range(3)]
        batch.reset(seed=5)
        for i, env in enumerate(singles):
            env.reset(seed=5 + i)
        actions = batch.action_space.sample()
        for _ in range(3):
            observations, rewards, *_ = batch.step(actions)
            for i, env in enumerate(singles):
                observation, reward, *_ = env.step(actions[i])
                assert observation.tobytes() == observations[i].tobytes()
                assert reward == rewards[i]

    def test_a_snapshot_goes_on_with_the_same_draws(self):
        host = run(scenario(), 100 * MS)
        snapshot = host.snapshot()
        host.run_until(300 * MS)
        digest = host.digest()
        host.restore(snapshot)
        host.run_until(300 * MS)
        assert host.digest() == digest


def test_the_file_is_a_command_that_knows_the_scheduler():
    command = [sys.executable, EXAMPLES / "lottery.py", "run", "consolidation", "--seconds", "0.1", "--json"]
    done = subprocess.run([*command, "--scheduler", "lottery"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["scheduler"] == "lottery current"
    assert report["domains"][0]["params"] == {"tickets": 256}


class TestEntryPoints:
    """What installed packages offer is known by name; nothing has to be imported."""

    @pytest.fixture
    def offer(self, monkeypatch):
        def offer(**points):
            found = [EntryPoint(name.rstrip("2"), value, registry.ENTRY_POINTS) for name, value in points.items()]
            monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "xengym.schedulers" else [])
            registry._offered.cache_clear()

        yield offer
        monkeypatch.undo()
        registry._offered.cache_clear()

    def test_a_policy_and_a_scheduler_s_class_may_be_offered(self, offer):
        offer(lottery="tests.examples.lottery:Lottery", queue="xengym.policies.schedulers.external:ExternalScheduler")
        assert {"lottery", "queue", "credit"} <= set(registry.scheduler_names())
        assert registry.scheduler_versions("lottery") == ["current"]
        assert registry.make_scheduler("lottery", quantum_us=5).policy.quantum_ns == 5000
        assert registry.make_scheduler("queue").name == "external"
        assert run(scenario()).scheduler.name == "lottery"

    def test_what_a_program_registers_goes_first(self, offer):
        offer(lottery="nowhere:Lottery")
        register_python_policy(Lottery)
        try:
            assert registry.make_scheduler("lottery").name == "lottery"
            assert registry.scheduler_names().count("lottery") == 1
        finally:
            registry._REGISTERED.pop("lottery")

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("nowhere:Lottery", r"scheduler 'mine' of entry point .*nowhere:Lottery' cannot be imported: No module"),
            ("tests.examples.lottery:Lotery", "cannot be imported: .* no attribute 'Lotery'"),
            ("tests.examples.lottery", "tests.examples.lottery is no class of a scheduler and no function"),
        ],
    )
    def test_a_broken_one_says_whose_it_is_when_it_is_asked_for(self, offer, value, message):
        offer(mine=value)
        assert "mine" in registry.scheduler_names()
        with pytest.raises(ValueError, match=message):
            registry.make_scheduler("mine")
        registry.make_scheduler("credit")

    def test_two_of_one_name_are_refused(self, offer):
        offer(mine="a:B", mine2="c:D")
        with pytest.raises(ValueError, match="'mine' is offered by entry point 'a:B' and by entry point 'c:D'"):
            registry.make_scheduler("mine")

    def test_xengym_s_own_names_stay_its_own(self, offer):
        offer(credit="tests.examples.lottery:Lottery")
        with pytest.warns(UserWarning, match="entry point .* offers a scheduler 'credit', which is xengym's own"):
            registry.scheduler_names()
        assert registry.make_scheduler("credit").name == "credit"


PROBE = """
import json

from xengym.guests.cpu import HogKind, ListKind
from xengym.guests.programs import Hog, WorkList
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.registry import make_scheduler
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000


def dispatches(name, programs, params=(), num_pcpus=1, **options):
    host = Host(Topology.flat(num_pcpus), make_scheduler(name, **options), [HogKind(), ListKind()], max_vcpus=4)
    host.start_trace()
    control = Domctl(host)
    for domid, program in enumerate(programs):
        control.create_domain(domid, program, params=dict(params).get(domid))
    host.run_until(25 * MS)
    snapshot = host.snapshot()
    host.run_until(50 * MS)
    digest = host.digest()
    found = [[int(r["at_ns"]) / MS, int(r["pcpu"]), int(r["vcpu"]) if r["vcpu"] < 4 else None]
             for r in host.trace_records() if r["kind"] == TraceKind.SWITCH]
    host.restore(snapshot)
    host.run_until(50 * MS)
    assert host.digest() == digest, "a restored snapshot went on differently"
    return found


half = WorkList(((2 * MS, 5 * MS),))
print(json.dumps({
    "plain": dispatches("round-robin", [Hog(), half]),
    "quanta": dispatches("round-robin", [Hog(), Hog()], {0: {"quantum_us": 20_000}}, quantum_us=5_000),
    "two": dispatches("round-robin", [Hog(), Hog(), Hog()], num_pcpus=2),
    "least": dispatches("least-served", [Hog(), half], slice_us=10_000),
}))
"""

LAWS = """
from hypothesis import Phase, settings

from tests.properties import subjects, test_laws
from tests.properties.conftest import Laws

OWN = "round-robin", "least-served"
subjects.SUBJECTS |= {name: subjects.Subject(subjects.named(name)) for name in OWN}


def assert_laws(host, gone_running_ns=0):
    for law in Laws(host, gone_running_ns):
        law()


test_laws.run_state_machine_as_test(
    lambda: test_laws.histories(assert_laws, *OWN),
    # Fewer histories hardly ever have two domains that run; and the first that fails is enough.
    settings=settings(
        max_examples=150, stateful_step_count=30, phases=[Phase.generate], derandomize=True, deadline=None,
        database=None
    ),
)
"""


def python(*arguments, packages=None, **options):
    """Run Python as it runs here, with ``packages`` in front of what is installed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if packages is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(packages), str(EXAMPLES.parents[1])])
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=170, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package, built as a wheel and unpacked."""
    work = tmp_path_factory.mktemp("round_robin")
    shutil.copytree(EXAMPLES / "round_robin", work / "source")
    (work / "wheel").mkdir()
    build = "import mesonpy, sys; mesonpy.build_wheel(sys.argv[1])"
    python("-c", build, work / "wheel", cwd=work / "source")
    (wheel,) = (work / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "installed")
    return work / "installed"


def test_the_include_folder_holds_the_declarations():
    folder = Path(xengym.get_include())
    assert (folder / "xengym" / "policies" / "schedulers" / "api.pxd").is_file()
    assert (folder / "xengym" / "sim" / "worker_pool.h").is_file()


@pytest.mark.parametrize("name", ["pyproject.toml", "meson.build", "src/xengym_round_robin/least_served.pyx"])
def test_the_guide_shows_the_example_as_it_is(name):
    guide = (EXAMPLES.parents[1] / "docs" / "your-own-scheduler.md").read_text(encoding="utf-8")
    assert (EXAMPLES / "round_robin" / name).read_text(encoding="utf-8") in guide


@pytest.mark.slow
class TestCompiledPackage:
    def test_it_schedules_as_worked_by_hand(self, installed, tmp_path):
        (tmp_path / "probe.py").write_text(PROBE, encoding="utf-8")
        found = json.loads(python(tmp_path / "probe.py", packages=installed))
        # vCPU 1 works 2 ms and sleeps 5 ms; it waits for the end of vCPU 0's quantum each time.
        assert found["plain"] == [
            [0, 0, 0], [10, 0, 1], [12, 0, 0], [22, 0, 1], [24, 0, 0], [34, 0, 1], [36, 0, 0], [46, 0, 1], [48, 0, 0],
        ]  # fmt: skip
        assert found["quanta"] == [[0, 0, 0], [20, 0, 1], [25, 0, 0], [45, 0, 1]]
        # vCPUs 0 and 2 share pCPU 0, vCPU 1 has pCPU 1 for itself.
        assert found["two"] == [
            [0, 0, 0], [0, 1, 1], [10, 0, 2], [20, 0, 0], [30, 0, 2], [40, 0, 0],
        ]  # fmt: skip
        # At 10 ms vCPU 1 has had nothing; from then on it has had less whenever it wakes, and goes first.
        assert found["least"] == [
            [0, 0, 0], [10, 0, 1], [12, 0, 0], [17, 0, 1], [19, 0, 0], [24, 0, 1], [26, 0, 0], [31, 0, 1], [33, 0, 0],
            [38, 0, 1], [40, 0, 0], [45, 0, 1], [47, 0, 0],
        ]  # fmt: skip

    def test_the_command_line_knows_it(self, installed):
        command = ["-m", "xengym.cli.app", "run", "consolidation", "--seconds", "0.2", "--json", "--scheduler"]
        report = json.loads(python(*command, "round-robin", packages=installed))
        assert report["scheduler"] == "round-robin current"
        assert report["utilisation_pct"] > 99

    def test_the_laws_of_a_host_hold(self, installed, tmp_path):
        (tmp_path / "laws.py").write_text(LAWS, encoding="utf-8")
        python(tmp_path / "laws.py", packages=installed)
