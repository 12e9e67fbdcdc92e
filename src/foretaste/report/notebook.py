"""Progress in a notebook: one small table, which changes in place and is short once the work is done.

The table is plain HTML by IPython's own display, so that it needs no widgets, works in Jupyter, VS Code and Colab, and
stays readable in a notebook that is saved.
"""

import importlib
import sys
import time
from dataclasses import dataclass, field
from html import escape
from types import FrameType
from typing import Any

from foretaste.document.wording import duration

__all__ = ["NotebookWatch", "in_notebook"]

_EVERY = 0.25  # seconds between two changes of the table
_LINES = 8  # stages that are shown at once; finished ones are counted
_MESSAGES = 12  # lines of messages


def in_notebook() -> bool:
    """Tell whether this program runs in a notebook, whose output can be HTML.

    >>> in_notebook()
    False
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" or "google.colab" in sys.modules


@dataclass
class _Stage:
    total: int
    done: int = 0
    note: str = ""
    since: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def is_finished(self) -> bool:
        return self.done >= self.total

    @property
    def progress(self) -> str:
        return f"{self.done:,} of {self.total:,}"

    def row(self, label: str) -> str:
        left = "" if not self.done else duration(self.seconds / self.done * (self.total - self.done))
        cells = (self.progress, duration(self.seconds), f"{left} left" if left else "", self.note)
        bar = f'<progress value="{self.done}" max="{max(self.total, 1)}" style="width:12em"></progress>'
        texts = "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells)
        return f'<tr><td style="text-align:left">{escape(label)}</td><td>{bar}</td>{texts}</tr>'


class NotebookWatch:
    """Shows stages as rows of a table in the output of the running cell."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self._messages: list[str] = []
        self._last, self._drawn, self._begun = "", 0.0, time.monotonic()
        self._stop = False
        self._handle: Any = None

    def begin(self, label: str, total: int) -> None:
        """Begin a new stage, or add to one of this label that is not finished."""
        self._last, stage = label, self._stages.get(label)
        if stage is not None and not stage.is_finished:
            stage.total += total
        else:
            self._stages[label] = _Stage(total)
        self._draw()

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Count units of a stage as done; of the last one that began if none is named."""
        own = self._stages.get(self._last if stage is None else stage)
        if own is not None:
            own.done, own.note, own.seconds = own.done + amount, note, time.monotonic() - own.since
            self._draw()

    def say(self, text: str) -> None:
        """Show a line under the table at once."""
        self._messages.append(text)
        self._draw_now()

    def stopping(self) -> bool:
        """Tell whether the cell was interrupted."""
        return self._stop

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: finish the current step; at a second signal stop at once."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self.say("stopping after the current step; interrupt again to stop at once")

    def end(self) -> None:
        """Replace the table by one line: what was done, how far the rest came, and how long it took."""
        worked = {label: stage for label, stage in self._stages.items() if stage.done}
        names = [label if stage.is_finished else f"{label} ({stage.progress})" for label, stage in worked.items()]
        more = f" and {len(names) - _LINES} more" if len(names) > _LINES else ""
        line = f"{', '.join(names[:_LINES])}{more}: {duration(time.monotonic() - self._begun)}" if names else ""
        self._show("".join(f"<div>{escape(text)}</div>" for text in [*self._messages[-_MESSAGES:], line] if text))

    def _draw(self) -> None:
        if time.monotonic() - self._drawn >= _EVERY:
            self._draw_now()

    def _draw_now(self) -> None:
        self._drawn = time.monotonic()
        at_work = [(label, stage) for label, stage in self._stages.items() if not stage.is_finished]
        finished = len(self._stages) - len(at_work)
        rows = "".join(stage.row(label) for label, stage in at_work[-_LINES:])
        lines = [f"{finished} finished before"] if finished else []
        texts = "".join(f"<div>{escape(text)}</div>" for text in [*self._messages[-_MESSAGES:], *lines])
        self._show(f"<table>{rows}</table>{texts}")

    def _show(self, content: str) -> None:
        """Show HTML in the cell's output, in place of what was there."""
        display: Any = importlib.import_module("IPython.display")
        if self._handle is None and content:
            self._handle = display.display(display.HTML(content), display_id=True)
        elif self._handle is not None:
            self._handle.update(display.HTML(content))
