import math
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from foretaste.engine import Unwatched
from foretaste.params import Params
from foretaste.plan import Preview
from foretaste.posterior.isotropic import Isotropic
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.fit import fit, prior_precision
from foretaste.workflow.judge import objective
from foretaste.workflow.made import Ready
from foretaste.workflow.methods import made
from foretaste.workflow.preview import preview, ready
from foretaste.workflow.session import Session
from foretaste.workflow.tune import around, chosen, tuned_precision


def tuned(session: Session) -> tuple[float, list[tuple[float, float]]]:
    fitted = fit(session)
    precision, done = tuned_precision(session, fitted, "diagonal", made(session, fitted, "diagonal"))
    assert done is not None
    return precision, [(decades, loss) for decades, loss in done.result["curve"]]


def test_the_chosen_prior_has_the_least_loss_on_its_curve(tuning: Session) -> None:
    precision, curve = tuned(tuning)
    best = min(curve, key=lambda point: point[1])
    assert precision == pytest.approx(10 ** best[0])
    assert len(curve) > 5
    assert curve == sorted(curve)


def _params(merged: Ready, weights: TaskWeights) -> Params:
    return merged.merge(weights).params


def test_the_curve_is_the_validation_loss_of_previews(tuning: Session) -> None:
    _, curve = tuned(tuning)
    fitted = fit(tuning)
    for decades, loss in (curve[0], curve[-1]):
        merged = made(tuning, fitted, "diagonal").under(around(tuning, 10**decades))
        assert loss == pytest.approx(objective(tuning, partial(_params, merged)), rel=1e-6)


def test_the_search_goes_on_beside_the_best_of_the_grid(session: Session) -> None:
    """Two valleys: the deeper one is found although a search of the whole range alone ends in the other."""

    def valleys(number: float) -> float:
        return min((number + 3) ** 2, 0.2 * (number - 3.4) ** 2 - 1)

    found = chosen(session, "valleys", {}, valleys, (-4.0, 4.0), also=(-4.0, -2.0, 0.0, 2.0, 4.0))
    assert found.result["value"] == pytest.approx(3.4, abs=0.2)


def test_the_search_is_around_the_mean_curvature(tuning: Session) -> None:
    _, curve = tuned(tuning)
    middle = math.log10(prior_precision(tuning.recipe, fit(tuning)))
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
    fixed = replace(session, recipe=session.recipe.model_copy(update={"preview": Preview.model_validate({"prior_precision": asked})}))
    fitted = fit(fixed)
    expected = prior_precision(fixed.recipe, fitted)
    assert tuned_precision(fixed, fitted, "diagonal", made(fixed, fitted, "diagonal")) == (expected, None)
    assert fixed.study.all_work("choice") == []
    assert asked in ("mean", expected)


def test_previews_are_made_with_the_choice_and_their_cost_holds_it(tuning: Session) -> None:
    precision, _ = tuned(tuning)
    fitted = fit(tuning)
    sites, merged = ready(tuning, fitted, "diagonal")
    assert isinstance(merged.prior.precision, Isotropic)
    assert merged.prior.precision.scale == precision
    (choice,) = tuning.study.all_work("choice")
    assert sites.seconds == pytest.approx(made(tuning, fitted, "diagonal").seconds + choice.seconds)
    preview(tuning, fitted, ["diagonal"], [uniform(tuning.problem.names)])
    assert tuning.study.all_work("evaluation")[0].inputs["prior_precision"] == precision


def test_numbers_named_beside_the_search_are_tried_and_the_first_wins_a_tie(session: Session) -> None:
    flat = chosen(session, "flat", {}, lambda number: 1.0, (0.0, 1.0), also=(0.25, 0.0))
    assert flat.result["value"] == 0.25
    ends = chosen(session, "slope", {}, lambda number: number, (0.0, 1.0), also=(0.0, 1.0))
    assert (ends.result["value"], ends.result["loss"]) == (0.0, 0.0)
    assert [ends.result["curve"][0], ends.result["curve"][-1]] == [[0.0, 0.0], [1.0, 1.0]]


def test_a_loss_that_is_not_finite_is_never_chosen(session: Session) -> None:
    found = chosen(session, "edge", {}, lambda number: math.nan if number < 0.5 else number, (0.0, 1.0), also=(0.0, 1.0))
    assert found.result["value"] >= 0.5
    assert all(math.isfinite(loss) for _, loss in found.result["curve"])


def test_every_number_tried_is_progress_and_a_choice_found_again_is_none(session: Session) -> None:
    seen: Counter[str] = Counter()

    class Counting(Unwatched):
        def begin(self, label: str, total: int) -> None:
            seen[f"of {label}"] += total

        def advance(self, amount: int, note: str = "") -> None:
            seen["done"] += amount

    for _ in range(2):
        chosen(replace(session, watch=Counting()), "a number", {}, lambda number: number**2, (-1.0, 1.0), also=(0.0, 1.0))
        assert seen["done"] == seen["of a number"] > 2


def test_the_prior_is_around_what_tasks_have(session: Session) -> None:
    names = frozenset(list(around(session, 1.0).mean)[:2])
    tasks = tuple(replace(task, names=names) for task in session.problem.tasks)
    fewer = replace(session, problem=replace(session.problem, tasks=tasks))
    assert set(around(fewer, 1.0).mean) == names
