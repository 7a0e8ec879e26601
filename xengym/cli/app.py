"""The `xengym` command. Exit codes: 0 done; 1 a check failed; 2 bad input or usage; 130 interrupted."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from xengym.cli import compare, conformance, fidelity, migrate, reproduce, run, scenarios, speed
from xengym.hypervisor.domctl import PrivilegeError

EXIT_FAILED_CHECK = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="A Xen host under study: simulate it, compare policies, check it against the original, measure its speed.",
    epilog="Exit codes: 0 done; 1 a check failed; 2 bad input or usage; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("fidelity")(fidelity.fidelity)
app.command("migrate")(migrate.migrate)
app.command("conformance")(conformance.conformance)
app.command("reproduce")(reproduce.reproduce)
app.command("speed")(speed.speed)
app.command("scenarios")(scenarios.scenarios)


def main() -> None:
    """Entry point: errors in the input are one line on standard error and exit code 2."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except (ValueError, FileNotFoundError, PrivilegeError) as error:
        console.print(f"xengym: {error}", style="red", markup=False)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        console.print("xengym: interrupted", style="red")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
