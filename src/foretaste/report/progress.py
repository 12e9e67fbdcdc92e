"""Progress: one bar per stage in a terminal, a line every half minute in a log, each with the time left."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

from foretaste.document.wording import duration

__all__ = ["TerminalWatch", "stopping_by_signal", "watching"]

_NOTE = 34
_LONG = 0.5  # seconds after which a stage is announced without a terminal
_EVERY = 30.0  # seconds between two lines about a stage without a terminal


@dataclass
class _Log:
    """What was printed about a stage without a terminal.

    Args:
        begun: When the stage began.
        printed: When the last line about it was printed; None before the first.
        completed: The units that were finished at the first line: work found in the study takes no time.
        measured_from: When the first line was printed.
        lines: How many lines about its progress were printed.
    """

    begun: float
    printed: float | None = None
    completed: float = 0.0
    measured_from: float = 0.0
    lines: int = 0


class TerminalWatch:
    """Shows stages as bars in a terminal, and as a line every 30 seconds elsewhere, so that logs read well.

    Args:
        console: Where to draw; standard error, so that results alone are on standard output.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draws = _can_redraw(console)
        self._stages = dict[str, TaskID]()
        self._last = ""
        self._logs = dict[str, _Log]()  # by stage; only where no bars are drawn
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
            disable=not self._draws,
        )

    def begin(self, label: str, total: int) -> None:
        """Begin a new stage, or add to one of this label that is not finished; earlier ones may still be going on."""
        self._clear_notes()
        self._last = label
        if label in self._stages and (bar := self.progress.tasks[self._stages[label]]).remaining:
            self.progress.update(bar.id, total=(bar.total or 0) + total)
            return
        self._stages[label] = self.progress.add_task(label, total=total, note="")
        if not self._draws:
            self._logs[label] = _Log(time.monotonic())

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Move a stage's bar; the last one's if no stage is named."""
        label = self._last if stage is None else stage
        if label in self._stages:
            bar = self._stages[label]
            self.progress.update(bar, advance=amount, note=note[:_NOTE])
            if label in self._logs:
                self._log(self._logs[label], self.progress.tasks[bar], note[:_NOTE], time.monotonic())

    def _log(self, log: _Log, stage: Task, note: str, now: float) -> None:
        """Print a line about a stage when it is due: once its work takes time, then every 30 seconds, and at its end.

        A stage that ends before its second line ends in silence.
        """
        if log.printed is None:
            if now - log.begun < _LONG or not stage.remaining:
                return
            log.completed, log.measured_from = stage.completed, now
            self._print_line(f"{stage.description}: {stage.remaining:.0f} of {stage.total:.0f} to do")
        elif not stage.remaining:
            if log.lines:
                self._print_line(f"{stage.description}: finished in {duration(now - log.begun)}")
            del self._logs[stage.description]
        elif now - log.printed >= _EVERY:
            log.lines += 1
            self._print_line(", ".join(filter(None, [_share_done(stage), _left(log, stage, now), note])))
        else:
            return
        log.printed = now

    def _print_line(self, text: str) -> None:
        """Print one line that fits the width of the console."""
        self._console.print(text, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")

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


def _can_redraw(console: Console) -> bool:
    """Tell whether lines can be drawn again: not on a dumb terminal, nor in a log for which colours are forced."""
    is_log = "FORCE_COLOR" in os.environ and not console.file.isatty()
    return console.is_terminal and not console.is_dumb_terminal and not is_log


def _share_done(stage: Task) -> str:
    return f"{stage.description}: {stage.completed:.0f}/{stage.total:.0f}"


def _left(log: _Log, stage: Task, now: float) -> str:
    """Estimate the time that a stage still takes from its speed so far; empty if nothing was finished."""
    finished = stage.completed - log.completed
    if finished <= 0:
        return ""
    return f"{duration((stage.remaining or 0) / finished * (now - log.measured_from))} left"


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
