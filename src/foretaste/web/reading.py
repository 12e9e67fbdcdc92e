"""Reading a study for the page: its state is worked out again only when the study has changed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foretaste.report.explorer import expected, explored
from foretaste.report.page import page, sections
from foretaste.report.summary import Summary, summarise
from foretaste.store.study import Study
from foretaste.surface.predict import Predictor, predictor
from foretaste.weights import TaskWeights
from foretaste.workflow.outcome import look

__all__ = ["Reader", "Wish"]

_KEPT = 8  # preferences whose state is remembered


@dataclass(frozen=True)
class Wish:
    """What a reader wants recommended; the recipe's where left out.

    Args:
        prefer: As `--prefer`.
        floors: As `--floor`.
    """

    prefer: str | None = None
    floors: tuple[str, ...] | None = None


class Reader:
    """Answers questions on one study; may be asked from several threads.

    Args:
        folder: The study's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._revision: str | None = None
        self._states: dict[Wish, dict[str, object]] = {}
        self._summaries: dict[Wish, Summary] = {}
        self._predictor: Predictor | None = None

    def revision(self) -> str:
        """Changes whenever the study's rows or its recipe do.

        Raises:
            StudyError: The study is gone.
        """
        with Study.open(self._folder) as study:
            return study.revision()

    def state(self, wish: Wish) -> dict[str, object]:
        """`explored` of the study, with its revision.

        Raises:
            BadInput: A wish that is not understood, or a study that is empty or gone.
        """
        with self._lock:
            now = self._fresh()
            if wish not in self._states:
                while len(self._states) >= _KEPT:
                    del self._states[next(iter(self._states))]
                self._summaries[wish] = self._summary(wish)
                self._states[wish] = {"revision": now, **explored(self._summaries[wish])}
            return self._states[wish]

    def page(self, wish: Wish) -> str:
        """The whole document.

        Raises:
            BadInput: As `state`.
        """
        state = self.state(wish)
        with self._lock:
            return page(self._summaries[wish], state)

    def sections(self, wish: Wish) -> str:
        """All but the explorer.

        Raises:
            BadInput: As `state`.
        """
        self.state(wish)
        with self._lock:
            return sections(self._summaries[wish])

    def expected(self, points: Sequence[TaskWeights]) -> dict[str, object]:
        """Expected metrics at any weightings.

        Raises:
            StudyError: There is too little to predict from.
        """
        with self._lock:
            self._fresh()
            if self._predictor is None:
                summary = self._summary(Wish())
                self._predictor = predictor(summary.surface if summary.outlook is None else summary.outlook.surface)
            return expected(self._predictor, points)

    def tasks(self) -> tuple[str, ...]:
        """Task names, in the study's order."""
        with Study.open(self._folder) as study:
            return look(study).surface.tasks

    def _fresh(self) -> str:
        now = self.revision()
        if now != self._revision:
            self._revision, self._states, self._summaries, self._predictor = now, {}, {}, None
        return now

    def _summary(self, wish: Wish) -> Summary:
        with Study.open(self._folder) as study:
            found = look(study, wish.prefer, None if wish.floors is None else list(wish.floors))
        return summarise(
            found.surface,
            name=found.name,
            method=found.method,
            preference=found.preference,
            floors=found.floors,
            provenance=found.provenance,
            costs=found.costs,
        )
