"""Where progress is shown: bars in a terminal, lines in a log, a small table in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from foretaste.report.notebook import NotebookWatch, in_notebook
from foretaste.report.progress import TerminalWatch, stopping_by_signal, watching

__all__ = ["display_progress"]


@contextmanager
def display_progress() -> Iterator[TerminalWatch | NotebookWatch]:
    """Show progress in the place where this program runs, while the context is open.

    >>> with display_progress() as watch:
    ...     watch.stopping()
    False
    """
    if not in_notebook():
        with watching(Console(file=sys.stderr)) as terminal:
            yield terminal
        return
    notebook = NotebookWatch()
    with stopping_by_signal(notebook.stop):
        try:
            yield notebook
        finally:
            notebook.end()
