import math
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from foretaste.methods.method import prior_of
from foretaste.methods.site_set import Merger
from foretaste.methods.tune import PriorPrecision, choose_number, prior_precision, tuned_precision
from foretaste.params import Params
from foretaste.plan import Preview
from foretaste.posterior.isotropic import Isotropic
from foretaste.weights import TaskWeights, uniform
from foretaste.work.context import Unwatched
from foretaste.work.judge import objective
from foretaste.work.results import Choice
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session


def tuned(session: Session) -> tuple[float, list[tuple[float, float]]]:
    session.finish([PriorPrecision("diagonal")])
    precision, done = tuned_precision(session, "diagonal", prepare(session, "diagonal"))
    assert done is not None
    return precision, [(decades, loss) for decades, loss in Choice.of(done).curve]


def test_the_chosen_prior_has_the_least_loss_on_its_curve(tuning: Session) -> None:
    precision, curve = tuned(tuning)
    best = min(curve, key=lambda point: point[1])
    assert precision == pytest.approx(10 ** best[0])
    assert len(curve) > 5
    assert curve == sorted(curve)


def _params(merged: Merger, weights: TaskWeights) -> Params:
    return merged.merge(weights).params


def test_the_curve_is_the_validation_loss_of_previews(tuning: Session) -> None:
    _, curve = tuned(tuning)
    for decades, loss in (curve[0], curve[-1]):
        merged = prepare(tuning, "diagonal").under(prior_of(tuning, 10**decades))
        assert loss == pytest.approx(objective(tuning, partial(_params, merged)), rel=1e-6)


def best_of(curve: list[tuple[float, float]]) -> float:
    return min(curve, key=lambda point: point[1])[0]


def test_the_search_goes_on_beside_the_best_of_the_grid() -> None:
    """Two valleys: the deeper one is found although a search of the whole range alone ends in the other."""

    def valleys(number: float) -> float:
        return min((number + 3) ** 2, 0.2 * (number - 3.4) ** 2 - 1)

    assert best_of(choose_number(valleys, (-4.0, -2.0, 0.0, 2.0, 4.0), (-4.0, 4.0))) == pytest.approx(3.4, abs=0.2)


def test_the_search_is_around_the_mean_curvature(tuning: Session) -> None:
    _, curve = tuned(tuning)
    middle = math.log10(prior_precision(tuning))
    assert all(abs(decades - middle) <= 4 for decades, _ in curve)
    assert min(decades for decades, _ in curve) < middle < max(decades for decades, _ in curve)


def test_a_choice_is_found_again(tuning: Session) -> None:
    first = tuned(tuning)
    before = tuning.study.all_work()
    assert tuned(tuning) == first
    assert tuning.study.all_work() == before
    assert len(tuning.study.all_work("choice")) == 1


def test_other_sites_are_tuned_on_their_own(tuning: Session) -> None:
    tuned(tuning)
    first, *rest = tuning.problem.tasks
    tuned(replace(tuning, problem=replace(tuning.problem, tasks=(replace(first, fingerprint="other"), *rest))))
    assert len(tuning.study.all_work("choice")) == 2


@pytest.mark.parametrize("asked", [0.02, "mean"])
def test_a_fixed_value_is_taken_as_it_is(session: Session, asked: float | str) -> None:
    fixed = replace(
        session,
        recipe=session.recipe.model_copy(update={"preview": Preview.model_validate({"prior_precision": asked})}),
    )
    sites = prepare(fixed, "diagonal")
    expected = prior_precision(fixed)
    assert tuned_precision(fixed, "diagonal", sites) == (expected, None)
    assert fixed.study.all_work("choice") == []
    assert asked in ("mean", expected)


def test_previews_are_made_with_the_choice_and_their_cost_holds_it(tuning: Session) -> None:
    precision, _ = tuned(tuning)
    sites, merged = prepare_merger(tuning, "diagonal")
    assert isinstance(merged.prior.precision, Isotropic)
    assert merged.prior.precision.scale == precision
    (choice,) = tuning.study.all_work("choice")
    assert sites.seconds == pytest.approx(prepare(tuning, "diagonal").seconds + choice.seconds)
    preview(tuning, ["diagonal"], [uniform(tuning.problem.names)])
    assert tuning.study.all_work("evaluation")[0].inputs["prior_precision"] == precision


def test_numbers_named_beside_the_search_are_tried_and_the_first_wins_a_tie() -> None:
    assert best_of(choose_number(lambda number: 1.0, (0.25, 0.0), (0.0, 1.0))) == 0.25
    curve = choose_number(lambda number: number, (0.0, 1.0), (0.0, 1.0))
    assert curve[:2] == [(0.0, 0.0), (1.0, 1.0)]
    assert best_of(curve) == 0.0


def test_a_loss_that_is_not_finite_is_never_chosen() -> None:
    curve = choose_number(lambda number: math.nan if number < 0.5 else number, (0.0, 1.0), (0.0, 1.0))
    assert best_of(curve) >= 0.5
    assert all(math.isfinite(loss) for _, loss in curve)


def test_every_number_tried_is_progress_and_a_choice_found_again_is_none(tuning: Session) -> None:
    class Counting(Unwatched):
        def __init__(self) -> None:
            self.units: Counter[str] = Counter()

        def begin(self, label: str, total: int) -> None:
            self.stage = label
            self.units[f"of {label}"] += total

        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
            self.units[self.stage] += amount

    for _ in range(2):
        counting = Counting()
        replace(tuning, watch=counting).finish([PriorPrecision("diagonal")])
        assert counting.units["prior precision"] == counting.units["of prior precision"] == 9


def test_the_prior_is_around_what_tasks_have(session: Session) -> None:
    names = frozenset(list(prior_of(session, 1.0).mean)[:2])
    tasks = tuple(replace(task, names=names) for task in session.problem.tasks)
    fewer = replace(session, problem=replace(session.problem, tasks=tasks))
    assert set(prior_of(fewer, 1.0).mean) == names
