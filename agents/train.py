"""Train an agent: ``python -m agents.train configs/train/host_ppo.yaml [--resume]``.

A run can be killed at any moment. ``--resume`` goes on from its newest checkpoint and ends with the very parameters of
a run that was left alone.

Exit codes: 0 finished; 2 bad input or usage; 130 stopped by Ctrl-C (143 by SIGTERM), to be resumed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import torch
import typer
from rich.console import Console
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from agents.batch_vec_env import make_batch
from agents.checkpoint import (
    Row,
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    restore_generators,
    restore_pending_log,
    save_agent,
)
from agents.config import TrainConfig, load_train_config
from agents.exits import exit_codes
from agents.progress import ProgressReport
from agents.rollout_callback import RolloutCallback, TrainingStopped
from agents.run_folder import RunFolder, describe_demand

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class StopRequest:
    """Set when the user wants to stop: Ctrl-C or SIGTERM. A second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listening(self, console: Console) -> Iterator[None]:
        """Catch signals while training; must be entered in the main thread."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.signal is not None:
                raise KeyboardInterrupt
            self.signal = number
            console.print("stopping after this rollout (again: at once, losing what came after the last checkpoint)")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def train(
    config: TrainConfig,
    folder: RunFolder,
    *,
    console: Console,
    resume: bool = False,
    total_steps: int | None = None,
    stop: StopRequest | None = None,
) -> None:
    """Train an agent and leave it in a run folder.

    Args:
        config: of the run.
        folder: where everything goes.
        console: for progress.
        resume: go on with the run that is in the folder.
        total_steps: end of the run, instead of what the configuration (or the run in the folder) says.
        stop: asks for an early end.

    Raises:
        RunFolderError: the folder holds a run and ``resume`` is false, or the other way round, or another run.
        TrainingStopped: ``stop`` was set; the run is saved and can be resumed.
    """
    with folder.locked():
        if resume:
            config = folder.resume(config, total_steps=total_steps)
            if changed := folder.changed_versions():
                console.print(f"note: not the versions this run was begun with: {', '.join(changed)}")
        else:
            config = config.changed(total_steps=total_steps)
            folder.begin(config)
        console.print(f"demand: {describe_demand(config)}")
        _train(config, folder, console, stop or StopRequest())


def _train(config: TrainConfig, folder: RunFolder, console: Console, stop: StopRequest) -> None:
    # Networks this small lose more to a second thread than they gain, and one thread adds up in one order.
    torch.set_num_threads(1)
    batch = make_batch(config.scenario, num_envs=config.num_envs, num_threads=config.num_threads, data=config.data)
    normaliser = VecNormalize(batch, gamma=config.ppo.gamma, **config.normalise.model_dump())
    checkpoint = newest_checkpoint(folder.checkpoints)
    curve: list[Row] = []
    state: TrainingState | None = None
    if checkpoint is None:
        model = _new_model(config, normaliser)
    else:
        model, state = load_checkpoint(checkpoint, normaliser)
        curve = state.curve
        console.print(f"going on from step {model.num_timesteps:,}")
    begun = model.num_timesteps
    if begun < config.total_steps:
        folder.reopen()
    logger = Logger(str(folder.tensorboard), [_TensorBoard(folder.tensorboard, purge_from=begun)])
    model.set_logger(logger)
    if state is not None:
        restore_pending_log(model, state)
    progress = ProgressReport(console, config.name, config.total_steps, "steps", begun)
    callback = RolloutCallback(config, folder, progress, curve, lambda: stop.signal is not None)
    try:
        with progress:
            if state is not None:
                restore_generators(state)
            # The count of steps starts at 0 by itself; "resetting" it would also reset the environment.
            model.learn(max(0, config.total_steps - begun), callback=callback, reset_num_timesteps=False)
    finally:
        logger.close()
        normaliser.close()
    save_agent(folder.path, model)
    if model.num_timesteps > begun:
        share = batch.stepping_s / callback.elapsed_s
        console.print(
            f"trained {model.num_timesteps - begun:,} steps in {callback.elapsed_s:.0f} s: "
            f"{progress.rate:,.0f} steps/s, {100 * share:.0f} % of the time in the environment",
        )


def _new_model(config: TrainConfig, env: VecNormalize) -> PPO:
    arguments = config.ppo.model_dump()
    if config.learning_rate_schedule == "linear":
        arguments["learning_rate"] = LinearSchedule(config.ppo.learning_rate, 0.0, 1.0)
    network = config.network
    return PPO(
        "MlpPolicy",
        env,
        **arguments,
        policy_kwargs={
            "net_arch": {"pi": network.pi, "vf": network.vf},
            "activation_fn": _ACTIVATIONS[network.activation],
            "log_std_init": network.log_std_init,
        },
        seed=config.seed,
        device="cpu",
    )


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's writer, but hiding what a killed run wrote after the checkpoint that is gone on from."""

    def __init__(self, folder: Path, *, purge_from: int) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge_from + 1 if purge_from else None)
        self._is_closed = False


def main(
    config: Annotated[Path, typer.Argument(help="What to train, as YAML.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for this many steps in all.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with PlanetLab days.")] = None,
) -> None:
    """Train an agent."""
    console = Console(highlight=False, soft_wrap=True)
    stop = StopRequest()
    with exit_codes("train"):
        wanted = load_train_config(config).changed(data=data)
        folder = RunFolder(out or Path("runs") / wanted.name)
        try:
            with stop.listening(console):
                train(wanted, folder, console=console, resume=resume, total_steps=steps, stop=stop)
        except (TrainingStopped, KeyboardInterrupt):
            options = {"--out": out, "--data": data}
            given = "".join(f" {name} {value}" for name, value in options.items() if value is not None)
            console.print(f"stopped. Go on with: python -m agents.train {config}{given} --resume", markup=False)
            raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None
        console.print(f"done. Compare it: python -m agents.evaluate {folder.path}", markup=False)


if __name__ == "__main__":
    typer.run(main)
