"""Summaries: what is computed from the rows, and what JSON says of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.report.confirmation import confirm_recommendation
from foretaste.report.records import study_record
from foretaste.report.summary import Summary, summarise, verdict
from foretaste.surface.agreement import Agreement
from foretaste.surface.preference import Floor, Preference
from foretaste.weights import TaskWeights, uniform
from summaries import with_rows

Study = Callable[..., Summary]
AB = ("a", "b")


def _found(
    points: int = 12, error: float = 0.01, rank: float | None = 0.9, regret: float = 0.0, spread: float = 0.1
) -> Agreement:
    return Agreement("simple", points, {"a": error}, {"a": error}, {"a": rank}, rank, -1.0, rank, regret, 0.05, spread)


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
    assert confirm_recommendation(found) is None


def test_joint_runs_at_other_weights_are_no_agreement(make: Study) -> None:
    assert make(AB, joint=[TaskWeights(AB, (0.4, 0.6))]).agreements == ()


def test_a_recommendation_may_rest_on_one_method_alone(make: Study) -> None:
    found = make(AB)
    only = summarise(
        found.surface,
        name="s",
        method="simple",
        preference=Preference("mean", {}),
        floors=(),
        provenance={},
        costs={},
        only="simple",
    )
    assert only.recommendation is not None
    assert only.recommendation.basis == "3 joint runs, 2 single-task models and previews (simple)"


def test_without_any_row_nothing_is_recommended(make: Study) -> None:
    found = make(AB, methods=(), joint=())
    assert found.recommendation is None
    assert found.chosen is None
    assert confirm_recommendation(found) is None
    assert found.values(found.previews).shape == (0,)


def test_a_relative_floor_needs_its_corner(make: Study) -> None:
    surface = replace(make(AB, resolution=6).surface, rows=make(AB, resolution=6).surface.rows[1:5])
    floors = [Floor("all", 0.9, relative=True)]
    with pytest.raises(StudyError, match="single-task"):
        summarise(
            surface,
            name="s",
            method="simple",
            preference=Preference("mean", {}),
            floors=floors,
            provenance={},
            costs={},
        )


@pytest.mark.parametrize(
    ("found", "lead"),
    [
        (_found(points=4), "Too few joint runs to judge: 4 weightings have"),
        (_found(points=1, rank=None), "Too few joint runs to judge: 1 weighting has"),
        (_found(), "Trust the ranking and the numbers: the rank correlation of the mean is 0.90 at 12 weightings"),
        (_found(error=0.08), "Trust the ranking, not the numbers: "),
        (_found(regret=0.05), "Use the previews to narrow the choice, not to settle it: "),
        (_found(rank=0.6), "Use the previews to narrow the choice, not to settle it: "),
        (_found(rank=0.1), "The numbers are close, the ranking is not: "),
        (_found(rank=-0.5, error=0.08), "Do not choose by these previews: the rank correlation of the mean is -0.50"),
        (_found(rank=None), "Do not choose by these previews: their mean gives no ranking at 12 weightings"),
        (_found(spread=0.0, rank=None), "There is nothing to choose: "),
    ],
)
def test_verdict(found: Agreement, lead: str) -> None:
    assert verdict(found).startswith(lead)


def test_verdict_names_error_spread_and_regret() -> None:
    text = verdict(_found(error=0.03, regret=0.02))
    assert "off by 0.030 on average; the mean of the joint runs varies by 0.100" in text
    assert text.endswith("gives up 0.020 against the best joint run.")
    assert verdict(_found()).endswith("The weighting with the best previewed mean is also the best of the joint runs.")


def test_verdict_of_the_worst_task_uses_its_own_numbers() -> None:
    text = verdict(_found(), worst=True)
    assert "rank correlation of the worst task is -1.00" in text
    assert "Choosing by the previewed worst task gives up 0.050" in text


def _anchored(make: Study, *, joint: int = 5) -> Summary:
    """At equal weights the preview is the joint run, elsewhere it is off."""
    made = make(AB, methods=("simple", "anchored"))
    runs = [row for row in made.surface.rows if row.fidelity == Fidelity.JOINT]
    at = {row.weights: row.metrics for row in runs if row.weights == uniform(AB)}
    rows = [
        replace(row, metrics=at.get(row.weights, row.metrics)) if row.method == "anchored" else row
        for row in made.surface.rows
    ]
    kept = [row for row in rows if row.fidelity != Fidelity.JOINT] + sorted(
        runs, key=lambda row: row.weights != uniform(AB)
    )[:joint]
    return with_rows(replace(made, surface=replace(made.surface, rows=())), *kept)


def test_the_joint_run_that_anchored_the_previews_neither_judges_nor_confirms_them(make: Study) -> None:
    found = _anchored(make)
    simple, anchored = found.agreements
    assert (simple.points, simple.left_out, anchored.points, anchored.left_out) == (5, 0, 4, 1)
    assert anchored.mean_error == pytest.approx(0.02)
    assert verdict(anchored).startswith(
        "Too few joint runs to judge: 4 weightings (not counting the joint run that anchored the previews) have both"
    )
    seen = confirm_recommendation(found)
    assert seen is not None
    assert (seen.anchored, seen.difference, seen.value_difference) == (True, {}, None)
    assert study_record(found)["confirmation"]["anchored"] is True
    other = confirm_recommendation(replace(found, method="simple"))
    assert other is not None
    assert other.value_difference == pytest.approx(0.02)


def test_an_anchor_alone_tells_nothing(make: Study) -> None:
    found = _anchored(make, joint=1).agreements[1]
    assert (found.points, found.left_out) == (0, 1)
    assert verdict(found).endswith(
        "0 weightings (not counting the joint run that anchored the previews) have both a preview and a joint run, and"
        " it takes at least 5."
    )
