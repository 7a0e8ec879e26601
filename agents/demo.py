"""The demonstration: ``python -m agents.demo --out results``, which is what ``make demo`` runs.

Trains a small agent, holds it against the baselines on episodes it was never trained on, and leaves tables and
pictures.

Exit codes: 0 done; 2 bad input or usage; 130 interrupted.
"""

from __future__ import annotations

import csv
import os
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agents.checkpoint import Row
from agents.comparison import compare_agent, paired_differences, report_text, tune_baseline, write_markdown
from agents.config import load_train_config
from agents.exits import exit_codes
from agents.pictures import draw_learning_curve, draw_schedule
from agents.run_folder import RunFolder, RunFolderError, describe_demand
from agents.train import train
from agents.trained import TrainedAgent
from xengym.baselines.compare import EpisodeResult, held_out_seeds, plot, summarise, write_csv
from xengym.formats.planetlab import find_days
from xengym.scenarios.demand import DATA_VARIABLE

_ROOT = Path(__file__).resolve().parents[1]
_CONFIG = _ROOT / "configs" / "train" / "demo.yaml"

#: Where traces are when they lie beside the repository.
_BESIDE = _ROOT.parent / "shared" / "data"


def find_data(data: Path | None) -> Path | None:
    """The trace folder to use: the one given, the environment's, the one beside the repository, or None."""
    if data is not None or os.environ.get(DATA_VARIABLE):
        return data
    return _BESIDE if _BESIDE.is_dir() and find_days(_BESIDE) else None


def clear_earlier_run(folder: RunFolder) -> None:
    """Remove the agent of an earlier demonstration, and nothing else.

    Raises:
        RunFolderError: what is there is no run.
    """
    if folder.path.is_dir() and any(folder.path.iterdir()):
        if not folder.exists and not folder.is_abandoned:
            raise RunFolderError(f"{folder.path} is in the way and holds no run: move it, or give another --out")
        with folder.locked():
            shutil.rmtree(folder.path)


def read_curve(folder: RunFolder) -> list[Row]:
    """The learning curve a run has left."""
    with folder.curve_file.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) if value else None for name, value in line.items()} for line in csv.DictReader(file)
        ]


def conclusion(results: list[EpisodeResult], agent: str) -> str:
    """One sentence on each of the two baselines that matter; it says so when the agent is not better."""
    sentences = []
    for difference in paired_differences(results)[:2]:
        against = {
            "better": f"beats {difference.baseline}",
            "worse": f"does not reach {difference.baseline} in this short training",
            "no clear difference": f"is on a par with {difference.baseline}",
        }[difference.verdict]
        sentences.append(
            f"The {agent} {against}: {difference.median:+.3f} reward per step "
            f"[{difference.low:+.3f}, {difference.high:+.3f}], {difference.wins} of {difference.num} episodes won."
        )
    return " ".join(sentences)


def main(
    out: Annotated[Path, typer.Option(help="Folder for tables, pictures and the agent.")] = Path("results"),
    data: Annotated[Path | None, typer.Option(help="Folder with PlanetLab days.")] = None,
    config: Annotated[Path, typer.Option(help="Training run, as YAML.")] = _CONFIG,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for this many steps in all.")] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes for each policy.")] = 50,
    budget: Annotated[int, typer.Option(min=20, help="Candidates of the search for static parameters.")] = 600,
) -> None:
    """Train a small agent and compare it with the baselines."""
    console = Console(highlight=False, soft_wrap=True)
    started_s = time.monotonic()
    with exit_codes("demo"):
        run = load_train_config(config).changed(data=find_data(data), total_steps=steps)
        out.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(out / "agent")
        clear_earlier_run(folder)
        console.print(f"1/3 Static parameters, searched on training episodes ({run.scenario})")
        tuned = tune_baseline(run, console, budget=budget)
        console.print("2/3 An agent that sets the parameters every control interval (PPO)")
        train(run, folder, console=console)
        agent = TrainedAgent.load(folder.path)
        console.print(f"3/3 {episodes} held-out episodes for each policy")
        results = compare_agent(agent, tuned, run, console, episodes=episodes)

        said = conclusion(results, agent.name)
        demand = f"Demand: {describe_demand(run)}."
        setting = (
            f"Scenario `{run.scenario}`; {episodes} held-out episodes, the same for each policy; "
            f"{run.total_steps:,} training steps, seed {run.seed}; {budget} candidates for the static parameters."
        )
        write_csv(results, out / "comparison.csv")
        write_markdown(
            out / "comparison.md", "An agent against the baselines", [setting, demand, said], results, agent.name
        )
        plot(
            results,
            out / "comparison.png",
            title=f"{run.scenario}: median of {episodes} held-out episodes with 95 % interval",
        )
        draw_schedule(agent, run.scenario, held_out_seeds(1)[0], out / "schedule.png", data=run.data)
        baselines = [summary for summary in summarise(results) if summary.policy != agent.name]
        draw_learning_curve(
            read_curve(folder), baselines, out / "learning_curve.png", title=f"Learning on scenario {run.scenario}"
        )
        console.print(f"\n{report_text(results, agent.name)}\n\n{said}\n{demand}")
        console.print(
            f"\nIn {out}: comparison.csv, comparison.md, comparison.png, learning_curve.png, schedule.png, agent/ "
            f"({time.monotonic() - started_s:.0f} s)"
        )


if __name__ == "__main__":
    typer.run(main)
