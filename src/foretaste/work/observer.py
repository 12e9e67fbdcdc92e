"""The observer of one piece of work: counts progress, saves snapshots of training, and stops when the user asks."""

import time

from foretaste.errors import Stopped
from foretaste.store.study import StudyStore
from foretaste.train.run import Observer as RunObserver
from foretaste.train.run import Silent, Snapshot
from foretaste.work.context import Watch

__all__ = ["Observer", "stop_if_asked"]


def stop_if_asked(watch: Watch) -> None:
    """Stop between two steps of work, if the user asked to.

    Raises:
        Stopped: The user asked to stop.

    >>> from foretaste.work.context import Unwatched
    >>> stop_if_asked(Unwatched())
    """
    if watch.stopping():
        raise Stopped("stopped as asked; everything finished so far is kept")


class Observer:
    """Reports one piece of work to a watch; observes training too (`foretaste.train.run.Observer`).

    Args:
        watch: Shows progress.
        size: Units of progress of the piece.
    """

    def __init__(self, watch: Watch, size: int) -> None:
        self._watch, self._size, self._counted = watch, size, 0
        self._log: RunObserver = Silent()
        self._study: StudyStore | None = None
        self._key, self._before, self._every = "", 0.0, 0.0
        self._start = self._kept = time.perf_counter()

    def advance(self, amount: int, note: str = "") -> None:
        """Count so many more units as done."""
        self._counted += amount
        self._watch.advance(amount, note)

    def advance_to(self, total: int, note: str = "") -> None:
        """Count units up to a total as done."""
        self.advance(total - self._counted, note)

    def complete(self) -> None:
        """Count the whole piece as done."""
        self.advance_to(self._size)

    def without_progress(self) -> "Observer":
        """Return an observer that counts nothing, for a second step of work that is counted already."""
        return Observer(_Silent(self._watch), 0)

    def say(self, text: str) -> None:
        """Print a line."""
        self._watch.say(text)

    def stop_if_asked(self) -> None:
        """Stop if the user asked to.

        Raises:
            Stopped: The user asked to stop.
        """
        stop_if_asked(self._watch)

    def keep_snapshots(self, study: StudyStore, key: str, seconds: float, every: float) -> None:
        """Save snapshots of training from now on.

        Args:
            study: The study that keeps them.
            key: The piece's key.
            seconds: Seconds spent on the piece before.
            every: Seconds between two snapshots.
        """
        self._study, self._key, self._before, self._every = study, key, seconds, every
        self._start = self._kept = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds spent on this training, those before an interruption included."""
        return self._before + time.perf_counter() - self._start

    def pass_steps_to(self, log: RunObserver) -> None:
        """Report every step of training to a log, too."""
        self._log = log

    def on_step(self, done: int, loss: float) -> None:
        self.advance(1, f"loss {loss:.3f}, step {done}")
        self._log.on_step(done, loss)

    def wants_snapshot(self, done: int) -> bool:
        return self._study is not None and (self._watch.stopping() or time.perf_counter() - self._kept >= self._every)

    def keep(self, state: Snapshot) -> None:
        if self._study is not None:
            self._study.save_snapshot(self._key, state, self.seconds())
        self._kept = time.perf_counter()
        self.stop_if_asked()


class _Silent:
    """A watch that shows no progress."""

    def __init__(self, watch: Watch) -> None:
        self.say, self.stopping = watch.say, watch.stopping

    def begin(self, label: str, total: int) -> None:
        pass

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        pass
