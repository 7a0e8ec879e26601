"""Progress of something long: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 10.0
_REFRESH_S = 0.2


class ProgressReport:
    """Says how far something is, how fast it goes and how long it will take.

    Args:
        console: where to write.
        label: what is going on.
        total: when it is done.
        unit: of ``total``.
        begun: where it goes on from.
    """

    def __init__(self, console: Console, label: str, total: int, unit: str, begun: int = 0) -> None:
        self._console = console
        self._label = label
        self._total = total
        self._unit = unit
        self._begun = begun
        self._done = begun
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}, {{task.fields[rate]}}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
            )
        self._started_s = self._shown_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(
                self._label, total=self._total, completed=self._begun, rate=f"- {self._unit}/s"
            )
        else:
            self._console.print(f"{self._label}: {self._begun:,} of {self._total:,} {self._unit}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Units per second since this report began."""
        return (self._done - self._begun) / max(1e-9, time.monotonic() - self._started_s)

    def update(self, done: int) -> None:
        """Note how far it is; shown at a rate that costs nothing."""
        self._done = done
        if time.monotonic() - self._shown_s >= (_REFRESH_S if self._bar is not None else _LINE_EVERY_S):
            self._show()

    def advance(self) -> None:
        """One more is done."""
        self.update(self._done + 1)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        self._shown_s = time.monotonic()
        rate = f"{self.rate:,.0f} {self._unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=rate)
        else:
            left_s = (self._total - self._done) / max(1e-9, self.rate)
            self._console.print(
                f"{self._label}: {self._done:,} of {self._total:,} {self._unit}, {rate}, {left_s:.0f} s left",
                highlight=False,
            )
