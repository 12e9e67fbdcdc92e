"""Progress in a terminal: one bar per stage, with the time left."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
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

__all__ = ["TerminalWatch", "stopping_by_signal", "watching"]

_NOTE = 34
_LONG = 0.5  # seconds after which a stage is announced without a terminal


class TerminalWatch:
    """Shows stages as bars in a terminal, as lines elsewhere.

    Args:
        console: Where to draw; standard error, so that results alone are on standard output.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages = dict[str, TaskID]()
        self._last = ""
        self._since = dict[str, float]()  # when stages began that are not announced yet; only without a terminal
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
        """Begin a new stage, or add to one of this label that is not finished; earlier ones may still be going on."""
        self._clear_notes()
        self._last = label
        if label in self._stages and (bar := self.progress.tasks[self._stages[label]]).remaining:
            self.progress.update(bar.id, total=(bar.total or 0) + total)
            return
        self._stages[label] = self.progress.add_task(label, total=total, note="")
        if not self._console.is_terminal:
            self._since[label] = time.monotonic()

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Move a stage's bar; the last one's if no stage is named."""
        label = self._last if stage is None else stage
        if label in self._stages:
            bar = self._stages[label]
            self.progress.update(bar, advance=amount, note=note[:_NOTE])
            if time.monotonic() - self._since.get(label, math.inf) >= _LONG:
                self._announce(label, self.progress.tasks[bar])

    def _announce(self, label: str, stage: Task) -> None:
        """Announce a stage in one line once its work takes time; finished work found in the study takes none."""
        if stage.remaining:
            del self._since[label]
            self._console.print(
                f"{stage.description}: {stage.remaining:.0f} of {stage.total:.0f} to do", markup=False, highlight=False
            )

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stopping(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop

    def _clear_notes(self) -> None:
        for bar in self._stages.values():
            self.progress.update(bar, note="")

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
    with stopping_by_signal(watch.stop), watch.progress:
        yield watch
        watch._clear_notes()


@contextmanager
def stopping_by_signal(stop: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM while the context is open; only the main thread of a program can.

    Args:
        stop: Called with each signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
