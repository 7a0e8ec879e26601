"""Compare a trained agent with the baselines: ``python -m agents.evaluate runs/NAME``.

Every policy runs the same held-out episodes, none of which was ever trained on.

Exit codes: 0 done; 2 bad input or usage; 130 interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from agents.comparison import compare_agent, paired_differences, report_text, tune_baseline
from agents.config import load_train_config
from agents.exits import exit_codes
from agents.run_folder import RunFolder, RunFolderError, describe_demand
from agents.trained import TrainedAgent
from xengym.baselines.compare import plot, summarise, write_csv
from xengym.envs.episodic import TERM_NAMES


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a run of agents.train.")],
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes for each policy.")] = 20,
    budget: Annotated[int, typer.Option(min=20, help="Candidates of the search for static parameters.")] = 400,
    data: Annotated[Path | None, typer.Option(help="Folder with PlanetLab days; default as trained.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write one line an episode here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Compare a trained agent with the baselines on the same held-out episodes."""
    torch.set_num_threads(1)
    with exit_codes("evaluate"):
        folder = RunFolder(run)
        if not folder.exists:
            raise RunFolderError(f"{run} holds no run: expected the folder of a run of agents.train")
        config = load_train_config(folder.config_file).changed(data=data)
        agent_folder = folder.agent_folder()
        agent = TrainedAgent.load(agent_folder)
        # Progress goes to standard error, so that what is printed can be piped.
        console = Console(stderr=True)
        tuned = tune_baseline(config, console, budget=budget)
        results = compare_agent(agent, tuned, config, console, episodes=episodes)
        if csv is not None:
            write_csv(results, csv)
        if picture is not None:
            plot(results, picture, title=f"{config.scenario}: median of {episodes} held-out episodes, 95 % interval")
        demand = describe_demand(config)
        if as_json:
            fields = ("reward", *TERM_NAMES)
            report = {
                "run": config.name,
                "agent": agent_folder.name,
                "scenario": config.scenario,
                "demand": demand,
                "summaries": {name: [summary._asdict() for summary in summarise(results, name)] for name in fields},
                "differences": [difference._asdict() for difference in paired_differences(results)],
                "episodes": [result._asdict() for result in results],
            }
            print(json.dumps(report, indent=1))
            return
        if not folder.is_finished:
            print(f"note: the run is not finished; this is its checkpoint {agent_folder.name}")
        print(f"{config.scenario}: the same {episodes} held-out episodes for each policy")
        print(f"{report_text(results, agent.name)}\ndemand: {demand}")


if __name__ == "__main__":
    typer.run(main)
