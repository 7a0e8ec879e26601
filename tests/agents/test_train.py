"""Training: reproducible, and the same whether it is interrupted or not."""

import json
import signal
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("stable_baselines3", reason="needs the [agents] extra")

import typer
from rich.console import Console
from typer.testing import CliRunner

from agents import train as train_module
from agents.checkpoint import newest_checkpoint
from agents.rollout_callback import RolloutCallback, TrainingStopped, evaluation_seeds
from agents.run_folder import RunFolder, RunFolderError
from agents.train import StopRequest, main, train
from agents.trained import TrainedAgent
from xengym.baselines.compare import held_out_seeds

pytestmark = pytest.mark.train

QUIET = Console(quiet=True)

app = typer.Typer()
app.command()(main)


def parameters(folder):
    """The bytes of networks and optimizer, and the learning curve."""
    state = TrainedAgent.load(folder.path)._model.get_parameters()
    weights = {name: tensor.numpy().tobytes() for name, tensor in state["policy"].items()}
    with zipfile.ZipFile(folder.path / "model.zip") as archive:
        optimizer = archive.read("policy.optimizer.pth")
    return weights, optimizer, folder.curve_file.read_text()


def interrupt(*_, **__):
    raise KeyboardInterrupt


def run(config, path, **options):
    folder = RunFolder(path)
    train(config, folder, console=QUIET, **options)
    return folder


@pytest.fixture
def uninterrupted(tiny_config, tmp_path):
    return parameters(run(tiny_config, tmp_path / "uninterrupted"))


# Kills itself the hard way at a chosen moment: nothing gets a chance to tidy up.
KILLED = """
import os, signal, sys
from agents import checkpoint
from agents.rollout_callback import RolloutCallback
from agents.train import main
import typer

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def kill_in_third_rollout(self, plain=RolloutCallback._on_step):
    if self.num_timesteps == 300:
        kill()
    return plain(self)

def kill_in_third_checkpoint(model, curve, plain=checkpoint._capture):
    if model.num_timesteps == 384:
        kill()
    return plain(model, curve)

if sys.argv.pop() == "rollout":
    RolloutCallback._on_step = kill_in_third_rollout
else:
    checkpoint._capture = kill_in_third_checkpoint
typer.run(main)
"""


@pytest.mark.parametrize("moment", ["rollout", pytest.param("checkpoint", marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_if_it_had_been_left_alone(moment, uninterrupted, tiny_config, tiny_file, tmp_path):
    folder = RunFolder(tmp_path / "killed")
    command = [sys.executable, "-c", KILLED, str(tiny_file), "--out", str(folder.path), moment]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert newest_checkpoint(folder.checkpoints).name == "step-000000000256"
    assert bool(list(folder.checkpoints.glob("*.partial"))) == (moment == "checkpoint")
    assert not folder.is_finished
    run(tiny_config, folder.path, resume=True)
    assert parameters(folder) == uninterrupted
    assert not list(folder.checkpoints.glob("*.partial"))


def test_one_seed_is_one_result_and_another_another(uninterrupted, tiny_config, tmp_path):
    assert parameters(run(tiny_config, tmp_path / "again")) == uninterrupted
    assert parameters(run(tiny_config.changed(seed=1), tmp_path / "other"))[0] != uninterrupted[0]


def test_stopping_saves_and_resuming_ends_the_same(uninterrupted, tiny_config, tmp_path):
    stop = StopRequest()
    stop.signal = signal.SIGINT
    folder = RunFolder(tmp_path / "stopped")
    # Asked before it begins: nothing to save yet. Then once more, in the middle.
    with pytest.raises(TrainingStopped):
        run(tiny_config, folder.path, stop=stop)
    assert newest_checkpoint(folder.checkpoints) is None
    stop.signal = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RolloutCallback, "_on_rollout_end", lambda self: setattr(stop, "signal", signal.SIGINT))
        with pytest.raises(TrainingStopped):
            run(tiny_config.changed(checkpoint_every_steps=10**6), folder.path, resume=True, stop=stop)
    assert newest_checkpoint(folder.checkpoints).name == "step-000000000128"
    run(tiny_config, folder.path, resume=True)
    assert parameters(folder) == uninterrupted


def test_a_finished_run_can_be_trained_further(uninterrupted, tiny_config, tmp_path):
    folder = run(tiny_config, tmp_path / "run", total_steps=256)
    run(tiny_config, folder.path, resume=True)  # ends at 256, as begun: nothing to do
    assert newest_checkpoint(folder.checkpoints).name == "step-000000000256"
    assert folder.is_finished
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RolloutCallback, "_on_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_config, folder.path, resume=True, total_steps=512)
    # What was the end is not the end any more, and the newest checkpoint serves meanwhile.
    assert not folder.is_finished
    assert folder.agent_folder().name == "step-000000000256"
    run(tiny_config, folder.path, resume=True)
    assert parameters(folder) == uninterrupted


def test_only_the_newest_two_checkpoints_are_kept(tiny_config, tmp_path):
    folder = run(tiny_config, tmp_path / "run")
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["step-000000000384", "step-000000000512"]


def test_the_manifest_says_what_the_run_was_made_with(tiny_config, tmp_path):
    folder = run(tiny_config.changed(total_steps=128), tmp_path / "run")
    manifest = json.loads(folder.manifest_file.read_text())
    assert manifest["config"]["ppo"]["gamma"] == 0.98
    assert manifest["seed"] == 0
    assert manifest["demand"].startswith("synthetic day")
    assert {"xengym", "torch", "stable_baselines3", "python"} <= set(manifest["versions"])
    assert folder.changed_versions() == []


def test_a_run_is_neither_overwritten_nor_mixed_with_another(tiny_config, tmp_path):
    with pytest.raises(RunFolderError, match="holds no run to resume: start one without --resume"):
        run(tiny_config, tmp_path / "run", resume=True)
    folder = run(tiny_config.changed(total_steps=128), tmp_path / "run")
    with pytest.raises(RunFolderError, match="holds a run already: go on with --resume, give another --out"):
        run(tiny_config, folder.path)
    with pytest.raises(RunFolderError, match=r"was begun with seed = 0 \(now 1\)"):
        run(tiny_config.changed(seed=1), folder.path, resume=True)
    with folder.locked(), pytest.raises(RunFolderError, match="another process is training here"):
        run(tiny_config, folder.path, resume=True)
    folder.manifest_file.write_text(folder.manifest_file.read_text().replace("synthetic day", "another day"))
    with pytest.raises(RunFolderError, match=r"was begun with another day .* name the same --data"):
        run(tiny_config, folder.path, resume=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        run(tiny_config, tmp_path / "thesis")


def test_episodes_of_training_and_of_testing_are_apart():
    assert max(evaluation_seeds(100, seed=0)) < min(held_out_seeds(100))


def test_command_trains_and_says_what_to_do_next(tiny_file, tmp_path):
    result = CliRunner().invoke(app, [str(tiny_file), "--out", str(tmp_path / "run"), "--steps", "128"])
    assert result.exit_code == 0, result.output
    assert "demand: synthetic day" in result.stdout
    assert "steps/s" in result.stdout
    assert f"python -m agents.evaluate {tmp_path / 'run'}" in result.stdout
    again = CliRunner().invoke(app, [str(tiny_file), "--out", str(tmp_path / "run")])
    assert again.exit_code == 2
    assert "go on with --resume" in again.stderr


def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(RolloutCallback, "_on_rollout_end", lambda self: signal.raise_signal(signal.SIGINT))
    arguments = [str(tiny_file), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130
    assert f"python -m agents.train {tiny_file} --out {tmp_path / 'run'} --resume" in result.stdout
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") is not None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(train_module, "train", interrupt)
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 130


@pytest.mark.parametrize(
    ("change", "expected"),
    [("scenario: nowhere", "unknown scenario 'nowhere'"), ("data: nowhere", "nowhere: found no folder there")],
)
def test_command_refuses_what_cannot_be_with_code_2(change, expected, tiny_file, tmp_path):
    key = change.split(":")[0]
    lines = [line for line in tiny_file.read_text().splitlines() if not line.startswith(f"{key}:")]
    tiny_file.write_text("\n".join([*lines, change]))
    result = CliRunner().invoke(app, [str(tiny_file), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert expected in result.stderr
