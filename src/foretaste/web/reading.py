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
from foretaste.store.study import StudyStore
from foretaste.surface.criteria import criteria_in
from foretaste.surface.predict import Predictor
from foretaste.surface.preference import Floor, Preference
from foretaste.weights import TaskWeights
from foretaste.workflow.outcome import Outcome, read_outcome

__all__ = ["Busy", "PreferenceRequest", "Reader", "StudyView", "view_study"]

_REMEMBERED = 8  # preferences whose state is remembered
_WAITING = 4  # preferences that may wait to be worked out


class Busy(RunFailed):
    """Too much was asked for at once; it can be asked for again in a few seconds."""


@dataclass(frozen=True)
class PreferenceRequest:
    """The preference and floors that a reader asks for; the recipe's where left out.

    Args:
        prefer: As `--prefer`.
        floors: As `--floor`.
    """

    prefer: str | None = None
    floors: tuple[str, ...] | None = None

    __repr__ = one_line


@dataclass(frozen=True)
class StudyView:
    """What the page shows of one revision of a study.

    Args:
        revision: Of the study.
        tasks: The tasks that preferences and floors may name, in its order.
        weight_names: Names of what is weighted.
        state: What the explorer begins with, as JSON.
        page: The whole document.
        sections: All of it but the explorer.
        predictor: None while there is too little to predict from.
        is_pending: Whether another preference was asked for, whose recommendation is not ready yet.
    """

    revision: str
    tasks: tuple[str, ...]
    weight_names: tuple[str, ...]
    state: str
    page: str
    sections: str
    predictor: Predictor | None
    is_pending: bool = False

    __repr__ = one_line

    def pending(self) -> "StudyView":
        """Return this view marked as pending, for a reader whose own preference is still being worked out."""
        return replace(self, state='{"pending": true, ' + self.state[1:], is_pending=True)


_summaries: dict[Path, tuple[str, Summary]] = {}  # the last one, with its revision: other preferences start from it


def view_study(folder: Path, request: PreferenceRequest) -> StudyView:
    """Work out the view of a study as it is now.

    Raises:
        BadInput: A request that is not understood, or a study that is empty or gone.
    """
    with StudyStore.open(folder) as study:
        revision = study.revision()
        floors = None if request.floors is None else list(request.floors)
        outcome = read_outcome(study, request.prefer, floors, with_curves=True)
    summary = _summary_of(folder, revision, outcome)
    report = study_report(summary)
    state = {"revision": revision, **explorer_state(summary)}
    predictor = summary.outlook.predictor if summary.outlook else None
    sections = sections_html(report)
    document = page(report, state, live=True, sections=sections)
    names = (summary.tasks, summary.weight_names)
    return StudyView(revision, *names, json.dumps(state), document, sections, predictor)


def _summary_of(folder: Path, revision: str, outcome: Outcome) -> Summary:
    """The summary of a study; the prediction is computed once a revision, whatever the preference."""
    former_revision, former = _summaries.get(folder, ("", None))
    if former is not None and former_revision == revision and former.tasks == outcome.surface.tasks:
        return with_preference(former, outcome.preference, outcome.floors)
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

    def __init__(self, folder: Path, work: Callable[[Path, PreferenceRequest], StudyView] = view_study) -> None:
        self._folder, self._work = folder, work
        self._working, self._views = threading.Lock(), dict[PreferenceRequest, StudyView]()
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._threads = ThreadPoolExecutor(_WAITING + 1, thread_name_prefix="preferences")
        self._asking, self._pending = threading.Lock(), dict[PreferenceRequest, Future[StudyView]]()

    def revision(self) -> str:
        """Return the study's revision, which changes whenever its rows or its recipe do.

        Raises:
            StudyError: The study is gone.
        """
        with StudyStore.open(self._folder) as study:
            return study.revision()

    def view(self, request: PreferenceRequest) -> StudyView:
        """Return the last view worked out for this request; the first time, work it out now.

        A view that exists is returned at once. Others are worked out one after the other, while a few more requests may
        wait.

        Raises:
            BadInput: A request that is not understood, or a study that is empty or gone.
            Busy: Too many requests wait already.
        """
        view = self._views.get(request)
        if view is not None:
            return view
        if not self._waiting.acquire(blocking=False):
            raise Busy(f"{_WAITING} other preferences are being worked out; ask again in a few seconds")
        try:
            return self.refresh_view(request)
        finally:
            self._waiting.release()

    def view_soon(self, request: PreferenceRequest, patience: float = 1.0) -> StudyView:
        """Return the view for this request, or, if that takes longer, the base view marked as pending.

        Args:
            request: What to recommend by.
            patience: Seconds to wait for the answer to a new request.

        Raises:
            BadInput: See `view_study`.
            Busy: As `view_study`.
        """
        newest, base = self._views.get(request), self._views.get(PreferenceRequest())
        if newest is not None or base is None:
            return newest or self.view(request)
        _check_request(request, base.tasks)
        with suppress(TimeoutError):
            return self._work_out(request).result(patience)
        return base.pending()

    def _work_out(self, request: PreferenceRequest) -> "Future[StudyView]":
        """Start working out the view for a request; a failed one is dropped once its error was reported."""
        with self._asking:
            future = self._pending.get(request) or self._threads.submit(self.view, request)
            self._pending = {
                pending_request: answer for pending_request, answer in self._pending.items() if not answer.done()
            }
            if not future.done():
                self._pending[request] = future
            return future

    def refresh_view(self, request: PreferenceRequest) -> StudyView:
        """Return the newest view for a request, worked out again if the study has changed.

        Raises:
            BadInput: As `view_study`.
        """
        with self._working:
            view = self._views.get(request)
            if view is None or view.revision != self.revision():
                view = self._work(self._folder, request)
                self._views = dict([(request, view), *self._other_views(request)])
            return view

    def refresh_all(self) -> str:
        """Refresh every remembered view, and return their revision.

        Raises:
            BadInput: The study is empty or gone.
        """
        revision = self.refresh_view(PreferenceRequest()).revision
        for request in [request for request, old in self._views.items() if old.revision != revision]:
            self.refresh_view(request)
        return revision

    def predict(self, texts: Sequence[str]) -> dict[str, list[list[float]]]:
        """Predict the metrics at any weightings.

        Args:
            texts: As the command line reads weights.

        Raises:
            BadInput: Weights that are not understood, or too little to predict from.
        """
        view = self.view(PreferenceRequest())
        points = [TaskWeights.parse(text, view.weight_names) for text in texts]
        if view.predictor is None:
            raise StudyError("there is too little to predict from; preview a few weightings, corners among them")
        return predict_at(view.predictor, points)

    def _other_views(self, request: PreferenceRequest) -> list[tuple[PreferenceRequest, StudyView]]:
        views = [(other, view) for other, view in self._views.items() if other != request]
        return sorted(views, key=lambda pair: pair[0] != PreferenceRequest())[
            : _REMEMBERED - 1
        ]  # the first page's is kept


def _check_request(request: PreferenceRequest, tasks: Sequence[str]) -> None:
    """Refuse a preference or floor that is not understood before any work.

    Raises:
        WeightsError: A preference or floor that is not understood.
    """
    floors = request.floors or ()
    names = [*tasks, *criteria_in([request.prefer or "", *floors], tasks)]
    if request.prefer:
        Preference.parse(request.prefer, names)
    for floor in floors:
        Floor.parse(floor, names)
