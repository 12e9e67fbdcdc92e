"""Reading a study for the page.

What a page shows takes a second or two to work out, and a busy study changes more often than that. So it is worked out
in a process of its own, once at a time, and while a newer state is on its way everyone reads the last one.
"""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from foretaste.errors import RunFailed, StudyError
from foretaste.one_line import one_line
from foretaste.report.explorer import explorer_state, predict_at
from foretaste.report.page import page, sections_html
from foretaste.report.sections.study import study_report
from foretaste.report.summary import Summary, with_preference
from foretaste.store.study import Study
from foretaste.surface.predict import Predictor
from foretaste.surface.preference import Floor, Preference
from foretaste.weights import TaskWeights
from foretaste.workflow.outcome import Outcome, look

__all__ = ["Busy", "Reader", "Shown", "Wish", "shown"]

_KEPT = 8  # preferences whose state is remembered
_WAITING = 4  # preferences that may wait to be worked out


class Busy(RunFailed):
    """Too much was asked for at once; it can be asked for again in a few seconds."""


@dataclass(frozen=True)
class Wish:
    """What a reader wants recommended; the recipe's where left out.

    Args:
        prefer: As `--prefer`.
        floors: As `--floor`.
    """

    prefer: str | None = None
    floors: tuple[str, ...] | None = None

    __repr__ = one_line


@dataclass(frozen=True)
class Shown:
    """What is shown of one revision of a study.

    Args:
        revision: Of the study.
        tasks: In its order.
        state: What the explorer begins with, as JSON.
        page: The whole document.
        sections: All of it but the explorer.
        predictor: None while there is too little to predict from.
        is_pending: Whether another preference was asked for, whose recommendation is not ready yet.
    """

    revision: str
    tasks: tuple[str, ...]
    state: str
    page: str
    sections: str
    predictor: Predictor | None
    is_pending: bool = False

    __repr__ = one_line

    def pending(self) -> "Shown":
        """What is known, marked as such for a reader whose own preference is still being worked out."""
        return replace(self, state='{"pending": true, ' + self.state[1:], is_pending=True)


_summaries: dict[Path, tuple[str, Summary]] = {}  # the last one, with its revision: other preferences start from it


def shown(folder: Path, wish: Wish) -> Shown:
    """Work out what is shown of a study as it is now.

    Raises:
        BadInput: A wish that is not understood, or a study that is empty or gone.
    """
    with Study.open(folder) as study:
        revision = study.revision()
        outcome = look(study, wish.prefer, None if wish.floors is None else list(wish.floors))
    summary = _summary_of(folder, revision, outcome)
    report = study_report(summary)
    state = {"revision": revision, **explorer_state(summary)}
    learned = summary.outlook.learned if summary.outlook else None
    return Shown(revision, summary.tasks, json.dumps(state), page(report, state, live=True), sections_html(report), learned)


def _summary_of(folder: Path, revision: str, outcome: Outcome) -> Summary:
    """The summary of a study; the prediction is computed once a revision, whatever the preference."""
    known_revision, known = _summaries.get(folder, ("", None))
    if known is not None and known_revision == revision:
        return with_preference(known, outcome.preference, outcome.floors)
    summary = outcome.summary()
    _summaries.clear()
    _summaries[folder] = (revision, summary)
    return summary


class Reader:
    """Answers questions on one study; may be asked from several threads.

    Args:
        folder: The study's.
        work: Works out what is shown; in the asking thread if left out.
    """

    def __init__(self, folder: Path, work: Callable[[Path, Wish], Shown] = shown) -> None:
        self._folder, self._work = folder, work
        self._working, self._kept = threading.Lock(), dict[Wish, Shown]()
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._threads = ThreadPoolExecutor(_WAITING + 1, thread_name_prefix="preferences")
        self._asking, self._pending = threading.Lock(), dict[Wish, Future[Shown]]()

    def revision(self) -> str:
        """Of the study; changes whenever its rows or its recipe do.

        Raises:
            StudyError: The study is gone.
        """
        with Study.open(self._folder) as study:
            return study.revision()

    def shown(self, wish: Wish) -> Shown:
        """The last that was worked out for this wish, or, the first time, the newest.

        What is known is answered at once. What is not is worked out one wish after the other, while a few more may wait.

        Raises:
            BadInput: A wish that is not understood, or a study that is empty or gone.
            Busy: Too many wishes wait already.
        """
        known = self._kept.get(wish)
        if known is not None:
            return known
        if not self._waiting.acquire(blocking=False):
            raise Busy(f"{_WAITING} other preferences are being worked out; ask again in a few seconds")
        try:
            return self.refreshed(wish)
        finally:
            self._waiting.release()

    def shown_soon(self, wish: Wish, patience: float = 1.0) -> Shown:
        """What is shown for this wish, or, while it takes longer, what is known, marked as pending.

        Args:
            wish: What to recommend by.
            patience: Seconds to wait for the answer to a new wish.

        Raises:
            BadInput: As `shown`.
            Busy: As `shown`.
        """
        newest, base = self._kept.get(wish), self._kept.get(Wish())
        if newest is not None or base is None:
            return newest or self.shown(wish)
        _check_wish(wish, base.tasks)
        with suppress(TimeoutError):
            return self._work_out(wish).result(patience)
        return base.pending()

    def _work_out(self, wish: Wish) -> "Future[Shown]":
        """The wish's answer in the making; an answer that failed is forgotten once somebody has heard of it."""
        with self._asking:
            future = self._pending.get(wish) or self._threads.submit(self.shown, wish)
            self._pending = {other: made for other, made in self._pending.items() if not made.done()}
            if not future.done():
                self._pending[wish] = future
            return future

    def refreshed(self, wish: Wish) -> Shown:
        """The newest.

        Raises:
            BadInput: As `shown`.
        """
        with self._working:
            found = self._kept.get(wish)
            if found is None or found.revision != self.revision():
                found = self._work(self._folder, wish)
                self._kept = dict([(wish, found), *self._newest(wish)])
            return found

    def refresh(self) -> str:
        """Bring all remembered wishes up to date, and say of what revision they are.

        Raises:
            BadInput: The study is empty or gone.
        """
        revision = self.refreshed(Wish()).revision
        for wish in [wish for wish, old in self._kept.items() if old.revision != revision]:
            self.refreshed(wish)
        return revision

    def expected(self, texts: Sequence[str]) -> dict[str, list[list[float]]]:
        """Expected metrics at any weightings.

        Args:
            texts: As the command line reads weights.

        Raises:
            BadInput: Weights that are not understood, or too little to predict from.
        """
        found = self.shown(Wish())
        points = [TaskWeights.parse(each, found.tasks) for each in texts]
        if found.predictor is None:
            raise StudyError("there is too little to predict from; preview a few weightings, corners among them")
        return predict_at(found.predictor, points)

    def _newest(self, but: Wish) -> list[tuple[Wish, Shown]]:
        others = [(wish, old) for wish, old in self._kept.items() if wish != but]
        return sorted(others, key=lambda pair: pair[0] != Wish())[: _KEPT - 1]  # what every page begins with is never forgotten


def _check_wish(wish: Wish, tasks: Sequence[str]) -> None:
    """Refuse at once what is not understood.

    Raises:
        WeightsError: A preference or floor that is not understood.
    """
    if wish.prefer:
        Preference.parse(wish.prefer, tasks)
    for floor in wish.floors or ():
        Floor.parse(floor, tasks)
