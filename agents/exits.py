"""What the commands of this package tell the shell: 0 done; 2 bad input or usage; 130 interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from agents.config import TrainConfigError
from agents.run_folder import RunFolderError
from xengym.formats.planetlab import PlanetLabError
from xengym.scenarios.config import ScenarioError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

#: Problems of the user's making: one line says what to do, and a traceback would hide it.
_USER_ERRORS = (TrainConfigError, RunFolderError, ScenarioError, PlanetLabError)


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn bad input and Ctrl-C into one line on standard error and an exit code."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        yield
    except _USER_ERRORS as error:
        console.print(f"{command}: {error}", style="red", markup=False)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    except KeyboardInterrupt:
        console.print(f"{command}: interrupted", style="red")
        raise typer.Exit(EXIT_INTERRUPTED) from None
