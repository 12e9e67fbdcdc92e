"""Progress in a terminal: one bar per stage, with the time left."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["TerminalWatch", "watching"]

_NOTE = 34
_LONG = 0.5  # seconds after which a stage is told where there is no terminal


class TerminalWatch:
    """Draws stages as bars where there is a terminal, as lines where there is none.

    Args:
        console: Where to draw; standard error, so that results alone are on standard output.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: TaskID | None = None
        self._told = True  # whether the stage was, where there is no terminal
        self._since = 0.0
        self._stop = False
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<22}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            disable=not console.is_terminal,
        )

    def begin(self, label: str, total: int) -> None:
        """A new stage; the one before is done."""
        self._finish()
        self._stage = self.progress.add_task(label, total=total, note="")
        self._told, self._since = self._console.is_terminal, time.monotonic()

    def advance(self, amount: int, note: str = "") -> None:
        """Move the stage's bar."""
        if self._stage is not None:
            self.progress.update(self._stage, advance=amount, note=note[:_NOTE])
            if not self._told and time.monotonic() - self._since >= _LONG:
                self._tell(self.progress.tasks[self._stage])

    def _tell(self, stage: Task) -> None:
        """In a line, once there is work that takes time; what is found in the study is none."""
        if stage.remaining:
            self._told = True
            self._console.print(f"{stage.description}: {stage.remaining:.0f} of {stage.total:.0f} to do", markup=False, highlight=False)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stopping(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop

    def _finish(self) -> None:
        if self._stage is not None:
            self.progress.update(self._stage, note="")

    def stop(self, number: int, frame: FrameType | None) -> None:
        """A signal: finish the step in hand; a second one does not wait."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self._console.print("[yellow]stopping after the step in hand; press Ctrl-C again to stop at once[/]")


@contextmanager
def watching(console: Console) -> Iterator[TerminalWatch]:
    """Show progress, and turn Ctrl-C and SIGTERM into a clean stop, until leaving.

    >>> import io
    >>> with watching(Console(file=io.StringIO(), force_terminal=False)) as watch:
    ...     watch.begin("previews", 3)
    ...     watch.stopping()
    False
    """
    watch = TerminalWatch(console)
    before = {number: signal.signal(number, watch.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with watch.progress:
            yield watch
            watch._finish()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
