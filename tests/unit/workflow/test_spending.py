"""An account counts what a study holds, whoever added it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.store.study import StudyStore
from foretaste.surface.outlook import select_usable_rows
from foretaste.surface.searched import Budget
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.spending import Account
from statements import recorded_queries

EMPTY = Surface({task: Headline("accuracy") for task in "ab"}, ())


def row(
    weights: TaskWeights,
    fidelity: Fidelity = Fidelity.PREVIEW,
    method: str = "simple",
    cost: float = 1.0,
    steps: int = 0,
) -> Evaluation:
    return Evaluation(weights, {task: {"accuracy": 0.5} for task in "ab"}, fidelity, method, 0, cost, steps=steps)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[StudyStore]:
    with StudyStore.create(tmp_path / "s") as study:
        yield study


def add(study: StudyStore, *rows: Evaluation) -> None:
    known = len(study.evaluations_after(0)[0])
    study.add_evaluations([(str(place), {}, each, {}) for place, each in enumerate(rows, start=known)])


def test_a_weighting_counts_once_for_each_method(study: StudyStore) -> None:
    account = Account(study, EMPTY)
    assert account.spent(("simple",), "") == Budget(0, 0, 0)
    add(study, row(uniform("ab")), replace(row(uniform("ab")), seed=1), row(uniform("ab"), method="diagonal"))
    assert account.spent(("simple", "diagonal"), "") == Budget(0, 2, 0)
    assert account.spent(("simple", "simple"), "") == Budget(0, 1, 0)
    assert account.spent(("kronecker",), "") == Budget(0, 0, 0)


def test_joint_runs_of_one_task_are_not_counted_and_cost_as_others(study: StudyStore) -> None:
    account = Account(study, EMPTY)
    add(study, row(corners("ab")[0], Fidelity.JOINT, "joint", 3.0), row(uniform("ab"), Fidelity.JOINT, "joint", 5.0))
    assert account.spent((), "").joint == 1
    assert account.mean_cost(Fidelity.JOINT, "joint") == 4.0


def test_sharpened_previews_are_counted_by_their_method(study: StudyStore) -> None:
    account = Account(study, EMPTY)
    add(
        study,
        row(uniform("ab"), Fidelity.SHARPENED, cost=2.0, steps=4),
        row(uniform("ab"), Fidelity.SHARPENED, steps=9),
    )
    assert account.spent(("simple",), "simple+4") == Budget(0, 0, 1)
    assert account.spent(("simple",), "") == Budget(0, 0, 0)
    assert account.mean_cost(Fidelity.SHARPENED, "simple+4") == 2.0
    assert account.mean_cost(Fidelity.SHARPENED, "simple+5") is None


def test_rows_without_a_headline_metric_are_left_out(study: StudyStore) -> None:
    account = Account(study, EMPTY)
    add(study, replace(row(uniform("ab")), metrics={"a": {"accuracy": 0.5}, "b": {"accuracy": float("inf")}}))
    assert account.surface().rows == ()
    assert account.spent(("simple",), "") == Budget(0, 0, 0)


def test_it_follows_what_other_processes_add(study: StudyStore) -> None:
    account = Account(study, EMPTY)
    with StudyStore.open(study.path) as other:
        for place, weights in enumerate(lattice("ab", 5)):
            add(other, row(weights, cost=float(place)))
            assert account.spent(("simple",), "").previews == place + 1
            assert account.previewed("simple") == set(lattice("ab", 5)[: place + 1])
            assert account.mean_cost(Fidelity.PREVIEW, "simple") == mean(range(place + 1))
            assert account.surface() == select_usable_rows(study.surface(EMPTY.headlines))


def test_counting_is_one_query_of_the_rows_that_are_new(study: StudyStore) -> None:
    add(study, *(row(weights) for weights in lattice("ab", 50)))
    account = Account(study, EMPTY)
    account.surface()
    with recorded_queries() as queries:
        assert account.spent(("simple",), "").previews == 51
    (query,) = queries
    assert "WHERE evaluations.id > ?" in query
