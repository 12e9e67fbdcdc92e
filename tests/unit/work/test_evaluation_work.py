"""Evaluations as work, on toy rows: some are found, others made, several at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from foretaste.errors import Stopped
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params
from foretaste.simplex import lattice
from foretaste.store.study import key_of
from foretaste.weights import TaskWeights
from foretaste.work.context import Context, Unwatched
from foretaste.work.evaluation_work import EvaluationWork
from foretaste.work.observer import Observer
from foretaste.work.work import Work
from foretaste.workflow.session import Session
from statements import recorded_queries


class Counting(Unwatched):
    """Counts progress, and asks to stop after so much of it."""

    def __init__(self, until: int = 1 << 30) -> None:
        self.until, self.count = until, 0

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self.count += amount

    def stopping(self) -> bool:
        return self.count >= self.until


@dataclass(frozen=True)
class ToyRows(EvaluationWork):
    """Rows that say their weights, some at a time."""

    points: tuple[TaskWeights, ...]
    together: int = 1
    refused: str = ""

    stage = "toy rows"
    asked: ClassVar[list[list[str]]] = []

    def at_once(self, context: Context) -> int:
        return self.together

    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        return {"toy": weights.key}

    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        self.asked.append([weights.key for weights in points])
        if self.refused in self.asked[-1]:
            raise ValueError("broken")
        return [(row_at(weights), {"a/losses": torch.full((2,), weights["a"])}) for weights in points]


def row_at(weights: TaskWeights) -> Evaluation:
    return Evaluation(weights, {"a": {"loss": weights["a"]}}, Fidelity.PREVIEW, "simple")


POINTS = tuple(lattice("ab", 6))
KEYS = [weights.key for weights in POINTS]


@pytest.fixture(autouse=True)
def _forget() -> None:
    ToyRows.asked.clear()


def finish(session: Session, work: Work[Any], watch: Unwatched | None = None) -> object:
    return work.finish(session, Observer(watch or Unwatched(), work.size(session)))


def test_some_rows_are_made_at_once_and_others_found(session: Session) -> None:
    finish(session, ToyRows((POINTS[2], POINTS[5])))
    ToyRows.asked.clear()
    counting = Counting()
    assert finish(session, ToyRows(POINTS, together=2), counting) == tuple(row_at(weights) for weights in POINTS)
    assert ToyRows.asked == [[KEYS[0], KEYS[1]], [KEYS[3], KEYS[4]], [KEYS[6]]]
    assert counting.count == len(POINTS)
    finish(session, ToyRows(POINTS, together=9))
    assert len(ToyRows.asked) == 3
    works = session.study.all_work("evaluation")
    assert len({done.artefact for done in works}) == 7


def test_rows_that_are_there_are_found_by_one_query(session: Session) -> None:
    finish(session, ToyRows(POINTS, together=9))
    with recorded_queries() as queries:
        finish(session, ToyRows(POINTS))
    assert len(queries) == 1


def test_a_weighting_that_is_asked_for_twice_is_evaluated_once(session: Session) -> None:
    counting = Counting()
    rows = finish(session, ToyRows((POINTS[0], POINTS[1], POINTS[0]), together=9), counting)
    assert rows == (row_at(POINTS[0]), row_at(POINTS[1]), row_at(POINTS[0]))
    assert ToyRows.asked == [KEYS[:2]]
    assert counting.count == 3


def test_rows_stop_between_groups_and_go_on(session: Session) -> None:
    with pytest.raises(Stopped):
        finish(session, ToyRows(POINTS, together=2), Counting(until=2))
    assert ToyRows.asked == [KEYS[:2]]
    finish(session, ToyRows(POINTS, together=3))
    assert ToyRows.asked == [KEYS[:2], KEYS[2:5], KEYS[5:]]


def test_a_failure_keeps_the_rows_that_were_made_before(session: Session) -> None:
    with pytest.raises(ValueError, match="broken"):
        finish(session, ToyRows(POINTS, together=2, refused=KEYS[2]))
    assert len(session.study.all_work("evaluation")) == 2
    finish(session, ToyRows(POINTS, together=2))
    assert len(session.study.all_work("evaluation")) == len(POINTS)


def test_another_process_s_rows_are_found_while_one_waits(session: Session) -> None:
    """Rows that appear between looking and claiming are not made again."""
    work = ToyRows(POINTS[:3], together=3)

    class Late(Unwatched):
        def stopping(self) -> bool:
            inputs = {"toy": KEYS[1], "revision": 1}
            session.study.add_evaluation(
                key_of("evaluation", inputs), inputs, row_at(POINTS[1]), {"a/losses": torch.zeros(2)}
            )
            return False

    assert finish(session, work, Late()) == tuple(row_at(weights) for weights in POINTS[:3])
    assert ToyRows.asked == [[KEYS[0], KEYS[2]]]


def test_a_row_that_was_made_elsewhere_is_kept_once(session: Session) -> None:
    work, other = ToyRows(POINTS[:1]), replace(row_at(POINTS[0]), cost=9.0)
    assert work.keep(session, row_at(POINTS[0]), {"a/losses": torch.zeros(2)}) == row_at(POINTS[0])
    assert work.keep(session, other, {"a/losses": torch.zeros(2)}) == row_at(POINTS[0])
