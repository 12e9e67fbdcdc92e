"""Summaries: what is computed from the rows, and what JSON says of it."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary, confirmation, summarise, to_json, verdict
from foretaste.surface.agreement import Agreement
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, uniform

Study = Callable[..., Summary]
AB = ("a", "b")


def _found(points: int = 12, error: float = 0.01, rank: float | None = 0.9, regret: float = 0.0, spread: float = 0.1) -> Agreement:
    return Agreement("simple", points, {"a": error}, {"a": error}, {"a": rank}, rank, -1.0, rank, regret, 0.05, spread)


def _again(summary: Summary, *rows: Evaluation) -> Summary:
    """The summary with more rows."""
    surface = replace(summary.surface, rows=(*summary.surface.rows, *rows))
    return summarise(
        surface,
        name=summary.name,
        method=summary.method,
        preference=summary.preference,
        floors=summary.floors,
        provenance=summary.provenance,
        costs=summary.costs,
    )


def _joint(weights: TaskWeights, a: float, b: float) -> Evaluation:
    return Evaluation(weights, {"a": {"loss": 1.0, "accuracy": a}, "b": {"loss": 1.0, "accuracy": b}}, Fidelity.JOINT, "joint")


def test_recommends_from_the_named_method_and_compares_every_method(make: Study) -> None:
    found = make(AB)
    assert found.recommendation is not None
    assert found.recommendation.weights == uniform(AB)
    assert found.recommendation.basis == "3 joint runs, 2 single-task models and previews (diagonal, simple)"
    assert [agreement.method for agreement in found.agreements] == ["simple", "diagonal"]
    assert found.trust is found.agreements[1]
    assert found.trust.mean_error == pytest.approx(0.02)
    assert found.trust.points == 5
    assert found.single == pytest.approx({"a": 0.92, "b": 0.92})


def test_without_joint_runs_nothing_is_compared(make: Study) -> None:
    found = make(AB, joint=())
    assert found.agreements == ()
    assert found.trust is None
    assert confirmation(found) is None


def test_joint_runs_at_other_weights_are_no_agreement(make: Study) -> None:
    assert make(AB, joint=[TaskWeights(AB, (0.4, 0.6))]).agreements == ()


def test_a_recommendation_may_rest_on_one_method_alone(make: Study) -> None:
    found = make(AB)
    only = summarise(
        found.surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}, only="simple"
    )
    assert only.recommendation is not None
    assert only.recommendation.basis == "3 joint runs, 2 single-task models and previews (simple)"


def test_without_any_row_nothing_is_recommended(make: Study) -> None:
    found = make(AB, methods=(), joint=())
    assert found.recommendation is None
    assert found.chosen is None
    assert confirmation(found) is None
    assert found.values(found.previews).shape == (0,)


def test_a_relative_floor_needs_its_corner(make: Study) -> None:
    surface = replace(make(AB, resolution=6).surface, rows=make(AB, resolution=6).surface.rows[1:5])
    floors = [Floor("all", 0.9, relative=True)]
    with pytest.raises(StudyError, match="single-task"):
        summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=floors, provenance={}, costs={})


def test_confirmation_holds_the_preview_against_the_joint_run(make: Study) -> None:
    found = confirmation(make(AB))
    assert found is not None
    assert found.weights == uniform(AB)
    assert found.difference == pytest.approx({"a": 0.02, "b": 0.02})
    assert found.previewed_value is not None
    assert found.joint_value - found.previewed_value == pytest.approx(0.02)
    assert found.better is None
    assert found.floors_met


def test_confirmation_admits_that_another_joint_run_is_better(make: Study) -> None:
    other = TaskWeights(AB, (0.25, 0.75))
    study = _again(make(AB, joint=[uniform(AB)]), _joint(other, 0.95, 0.97))
    assert study.recommendation is not None
    found = confirmation(replace(study, recommendation=replace(study.recommendation, weights=uniform(AB))))
    assert found is not None
    assert found.better is not None
    assert found.better[0] == other
    assert found.better[1] == pytest.approx(0.96)


def test_equal_joint_runs_are_not_better(make: Study) -> None:
    study = make(AB, joint=[uniform(AB)])
    value = study.joint.values()[0, 0]
    found = confirmation(_again(study, _joint(TaskWeights(AB, (0.25, 0.75)), value, value)))
    assert found is not None
    assert found.better is None


@pytest.mark.parametrize(
    ("floor", "kept"), [("a>=0.7", True), ("all>=0.79", True), ("all>=0.81", False), ("all>=88%", True), ("all>=95%", False)]
)
def test_floors_are_held_against_the_joint_run(make: Study, floor: str, kept: bool) -> None:
    found = confirmation(make(AB, joint=[uniform(AB)], floors=[floor], resolution=2))
    assert found is not None
    assert found.joint["a"] == pytest.approx(0.5 + 0.4 * 0.5**0.5 + 0.02)
    assert found.floors_met is kept


def test_a_relative_floor_on_a_loss_is_an_upper_bound() -> None:
    points = [TaskWeights(AB, pair) for pair in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))]
    losses = {points[0]: (0.2, 0.9), points[1]: (0.25, 0.25), points[2]: (0.9, 0.2)}
    rows = [
        Evaluation(w, {t: {"loss": losses[w][i]} for i, t in enumerate(AB)}, fidelity, str(fidelity))
        for fidelity in (Fidelity.PREVIEW, Fidelity.JOINT)
        for w in points
    ]
    surface = Surface({task: Headline("loss", higher_is_better=False) for task in AB}, tuple(rows))
    for share, kept in ((0.75, True), (0.9, False)):
        floors = [Floor("all", share, relative=True)]
        found = summarise(surface, name="s", method="preview", preference=Preference("mean", {}), floors=floors, provenance={}, costs={})
        confirmed = confirmation(found)
        assert confirmed is not None
        assert confirmed.floors_met is kept
        assert confirmed.joint_value == pytest.approx(-0.25)


@pytest.mark.parametrize(
    ("found", "lead"),
    [
        (_found(points=4), "Too few points to tell: 4 weightings have"),
        (_found(points=1, rank=None), "Too few points to tell: 1 weighting has"),
        (_found(), "Trust the ranking and the numbers: rank correlation of the mean 0.90 at 12 weightings"),
        (_found(error=0.08), "Trust the ranking, not the numbers: "),
        (_found(regret=0.05), "Use the previews to narrow the choice, not to settle it: "),
        (_found(rank=0.6), "Use the previews to narrow the choice, not to settle it: "),
        (_found(rank=0.1), "The numbers are close, the ranking is not: "),
        (_found(rank=-0.5, error=0.08), "Do not choose by these previews: rank correlation of the mean -0.50"),
        (_found(rank=None), "Do not choose by these previews: their mean has no ranking to compare at 12 weightings"),
        (_found(spread=0.0, rank=None), "There is nothing to choose: "),
    ],
)
def test_verdict(found: Agreement, lead: str) -> None:
    assert verdict(found).startswith(lead)


def test_verdict_names_error_spread_and_regret() -> None:
    text = verdict(_found(error=0.03, regret=0.02))
    assert "off by 0.030 on average, where the joint mean varies by 0.100" in text
    assert text.endswith("gives up 0.020 against the best of these joint runs.")
    assert verdict(_found()).endswith("The weighting with the best previewed mean also has the best joint one.")


def test_verdict_of_the_worst_task_uses_its_own_numbers() -> None:
    text = verdict(_found(), worst=True)
    assert "rank correlation of the worst task -1.00" in text
    assert "Taking the best previewed worst task gives up 0.050" in text


def test_json_is_complete(make: Study) -> None:
    document = json.loads(json.dumps(to_json(make(AB, floors=["all>=80%"], preference="a=1,b=1")), allow_nan=False))
    assert len(document["rows"]) == 15
    first = document["rows"][0]
    assert first["weights"] == {"a": 1.0, "b": 0.0}
    assert (first["fidelity"], first["method"], first["seed"], first["cost"]) == ("preview", "simple", 0, 2.0)
    assert first["metrics"]["a"] == {"loss": 0.0, "accuracy": 0.9}
    assert document["tasks"]["a"] == {"metric": "accuracy", "higher_is_better": True, "examples": None}
    assert document["floors"] == ["all>=80% of its single-task metric"]
    assert document["recommendation"]["weights"] == {"a": 0.5, "b": 0.5}
    assert document["recommendation"]["runners_up"][0].keys() == {"weights", "value", "chance", "difference", "undecided"}
    assert document["recommendation"]["floors"] == [{"floor": "all>=80% of its single-task metric", "chance": 1.0}]
    assert len(document["prediction"]["median"]) == len(document["prediction"]["weights"]) == 5
    assert document["prediction"]["low"][0][0] <= document["prediction"]["median"][0][0] <= document["prediction"]["high"][0][0]
    assert document["confirmation"]["difference"]["a"] == pytest.approx(0.02)
    assert document["confirmation"]["better"] is None
    assert document["agreements"][1]["verdict"].startswith("Trust the ranking")
    assert len(document["front"]["preview"]) == len(document["front"]["joint"]) == 5
    assert (document["provenance"], document["costs"]) == ({"seed": "0", "torch": "2.8"}, {"previews": 75.0})


def test_json_has_no_nan(make: Study) -> None:
    row = _joint(TaskWeights(AB, (0.4, 0.6)), math.nan, math.inf)
    document = to_json(_again(make(AB, joint=()), row))
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["rows"][-1]["metrics"]["a"]["accuracy"] is None
    assert json.loads(text)["rows"][-1]["metrics"]["b"]["accuracy"] is None


def test_json_of_an_empty_study() -> None:
    surface = Surface({"a": Headline("accuracy")}, ())
    found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    document = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert document["recommendation"] is None
    assert document["confirmation"] is None
    assert document["rows"] == document["agreements"] == []


def _anchored(make: Study, *, joint: int = 5) -> Summary:
    """At equal weights the preview is the joint run, elsewhere it is off."""
    made = make(AB, methods=("simple", "anchored"))
    runs = [row for row in made.surface.rows if row.fidelity == Fidelity.JOINT]
    at = {row.weights: row.metrics for row in runs if row.weights == uniform(AB)}
    rows = [replace(row, metrics=at.get(row.weights, row.metrics)) if row.method == "anchored" else row for row in made.surface.rows]
    kept = [row for row in rows if row.fidelity != Fidelity.JOINT] + sorted(runs, key=lambda row: row.weights != uniform(AB))[:joint]
    return _again(replace(made, surface=replace(made.surface, rows=())), *kept)


def test_the_joint_run_that_anchored_the_previews_neither_judges_nor_confirms_them(make: Study) -> None:
    found = _anchored(make)
    simple, anchored = found.agreements
    assert (simple.points, simple.left_out, anchored.points, anchored.left_out) == (5, 0, 4, 1)
    assert anchored.mean_error == pytest.approx(0.02)
    assert verdict(anchored).startswith("Too few points to tell: 4 weightings (without the one that anchored the previews) have both")
    seen = confirmation(found)
    assert seen is not None
    assert (seen.anchored, seen.difference, seen.value_difference) == (True, {}, None)
    assert to_json(found)["confirmation"]["anchored"] is True  # type: ignore[index]
    other = confirmation(replace(found, method="simple"))
    assert other is not None
    assert other.value_difference == pytest.approx(0.02)


def test_an_anchor_alone_tells_nothing(make: Study) -> None:
    found = _anchored(make, joint=1).agreements[1]
    assert (found.points, found.left_out) == (0, 1)
    assert verdict(found).endswith(
        "0 weightings (without the one that anchored the previews) have both a preview and a joint run, at least 5 are needed."
    )


def test_what_is_to_be_minded_is_in_json(make: Study) -> None:
    made = make(AB)
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")}
    mixed = replace(made, surface=replace(made.surface, headlines=heads))
    assert (made.caution, made.measure, made.wanted) == ("", "value", "the mean over tasks")
    assert str(to_json(mixed)["caution"]).startswith("The tasks have different metrics")
    assert mixed.measure == mixed.wanted == "value (loss counts with a minus)"
