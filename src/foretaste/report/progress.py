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
_LONG = 0.5  # seconds after which a stage is announced without a terminal


class TerminalWatch:
    """Shows stages as bars in a terminal, as lines elsewhere.

    Args:
        console: Where to draw; standard error, so that results alone are on standard output.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: TaskID | None = None
        self._is_announced = True  # needed only without a terminal
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
        """Begin a new stage; the one before is done."""
        self._finish()
        self._stage = self.progress.add_task(label, total=total, note="")
        self._is_announced, self._since = self._console.is_terminal, time.monotonic()

    def advance(self, amount: int, note: str = "") -> None:
        """Move the stage's bar."""
        if self._stage is not None:
            self.progress.update(self._stage, advance=amount, note=note[:_NOTE])
            if not self._is_announced and time.monotonic() - self._since >= _LONG:
                self._announce(self.progress.tasks[self._stage])

    def _announce(self, stage: Task) -> None:
        """Announce a stage in one line once its work takes time; finished work found in the study takes none."""
        if stage.remaining:
            self._is_announced = True
            self._console.print(
                f"{stage.description}: {stage.remaining:.0f} of {stage.total:.0f} to do", markup=False, highlight=False
            )

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stopping(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop

    def _finish(self) -> None:
        if self._stage is not None:
            self.progress.update(self._stage, note="")

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: finish the current step; at a second signal stop at once."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self._console.print("[yellow]stopping after the current step; press Ctrl-C again to stop at once[/]")


@contextmanager
def watching(console: Console) -> Iterator[TerminalWatch]:
    """Show progress and turn Ctrl-C and SIGTERM into a clean stop, while the context is open.

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
