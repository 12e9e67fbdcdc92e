"""A watch that shows progress while a verb of a study is at work, and nothing between verbs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from foretaste.work.context import Unwatched, Watch

__all__ = ["VerbWatch"]


class VerbWatch:
    """Passes progress on to a display that is open as long as the outermost verb is at work.

    Args:
        display: Opens the display, a watch of its own.

    >>> from contextlib import nullcontext
    >>> watch = VerbWatch(lambda: nullcontext(Unwatched()))
    >>> with watch.at_work():
    ...     watch.begin("previews", 3)
    """

    def __init__(self, display: Callable[[], AbstractContextManager[Watch]]) -> None:
        self._display, self._depth = display, 0
        self._watch: Watch = Unwatched()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Show progress while the context is open; verbs that call verbs share one display."""
        if self._depth:
            yield
            return
        self._depth += 1
        try:
            with self._display() as self._watch:
                yield
        finally:
            self._depth, self._watch = 0, Unwatched()

    def begin(self, label: str, total: int) -> None:
        """Begin a stage; see `foretaste.work.context.Watch`."""
        self._watch.begin(label, total)

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Count units of a stage as done."""
        self._watch.advance(amount, note, stage)

    def say(self, text: str) -> None:
        """Print a line."""
        self._watch.say(text)

    def stopping(self) -> bool:
        """Tell whether the user asked to stop."""
        return self._watch.stopping()
