"""Evaluation: agent and baselines over the same held-out episodes."""

import json

import pytest

pytest.importorskip("stable_baselines3", reason="needs the [agents] extra")

import typer
from rich.console import Console
from typer.testing import CliRunner

from agents.comparison import differences_table, paired_differences
from agents.evaluate import main
from agents.run_folder import RunFolder
from agents.train import train
from agents.trained import TrainedAgent
from xengym.baselines.compare import EpisodeResult, held_out_seeds
from xengym.envs.host.env import HostEnv
from xengym.scenarios.library import load_scenario

pytestmark = pytest.mark.train

app = typer.Typer()
app.command()(main)


@pytest.fixture
def trained(tiny_config, tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(tiny_config.changed(total_steps=128), folder, console=Console(quiet=True))
    return folder


def evaluate(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_policy_runs_the_same_held_out_episodes(trained, tmp_path):
    result = evaluate(
        *(trained.path, "--episodes", 2, "--budget", 20, "--json"),
        *("--csv", tmp_path / "a.csv", "--picture", tmp_path / "a.png"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["scenario"] == "consolidation"
    assert report["demand"].startswith("synthetic day")
    names = ["ppo agent", "credit tuned", "credit default", "round-robin caps", "random"]
    assert [summary["policy"] for summary in report["summaries"]["reward"]] == names
    assert [difference["baseline"] for difference in report["differences"]] == names[1:]
    for name in names:
        assert [e["episode_seed"] for e in report["episodes"] if e["policy"] == name] == held_out_seeds(2)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 2 * len(names)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_table_is_text_and_a_checkpoint_serves_until_the_end(trained):
    (trained.path / "model.zip").unlink()
    result = evaluate(trained.path, "--episodes", 2, "--budget", 20)
    assert result.exit_code == 0, result.output
    assert "the run is not finished; this is its checkpoint step-000000000128" in result.stdout
    assert "ppo agent against" in result.stdout


def test_a_folder_without_an_agent_is_refused_with_code_2(trained, tmp_path):
    assert "holds no run" in evaluate(tmp_path / "nowhere").stderr
    assert evaluate(tmp_path / "nowhere").exit_code == 2
    (trained.path / "model.zip").unlink()
    for path in trained.checkpoints.iterdir():
        path.rename(path.with_name(path.name + ".partial"))
    result = evaluate(trained.path)
    assert result.exit_code == 2
    assert "holds no trained agent" in result.stderr


def test_an_agent_is_refused_on_hosts_of_another_layout(trained):
    consolidation = load_scenario("consolidation").model_dump()
    larger = type(load_scenario("consolidation")).model_validate(consolidation | {"limits": {"max_domains": 9}})
    agent = TrainedAgent.load(trained.path)
    with pytest.raises(ValueError, match="observation: the agent was trained on shape"):
        agent.begin(HostEnv(larger), 0)


def test_differences_are_taken_episode_by_episode():
    def result(policy, seed, reward):
        return EpisodeResult(policy, seed, reward, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    # Episodes differ more than policies do: only pairing shows that the first is always a little better.
    rewards = [0.1, 0.5, 0.9, 0.3]
    results = [result("a", i, x + 0.01) for i, x in enumerate(rewards)]
    results += [result("b", i, x) for i, x in enumerate(rewards)]
    results += [result("c", i, x) for i, x in enumerate(reversed(rewards))]
    b, c = paired_differences(results)
    assert (b.baseline, b.num, b.wins, b.verdict) == ("b", 4, 4, "better")
    assert b.low == pytest.approx(0.01)
    assert c.verdict == "no clear difference"
    assert "4 of 4" in differences_table([b, c], "a")
