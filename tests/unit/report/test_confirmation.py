"""The joint run at the recommended weights beside its preview."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.confirmation import confirm_recommendation
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, uniform
from summaries import joint_row, with_rows

Study = Callable[..., Summary]
AB = ("a", "b")


def test_confirmation_holds_the_preview_against_the_joint_run(make: Study) -> None:
    found = confirm_recommendation(make(AB))
    assert found is not None
    assert found.weights == uniform(AB)
    assert found.difference == pytest.approx({"a": 0.02, "b": 0.02})
    assert found.previewed_value is not None
    assert found.joint_value - found.previewed_value == pytest.approx(0.02)
    assert found.better is None
    assert found.floors_met


def test_confirmation_admits_that_another_joint_run_is_better(make: Study) -> None:
    other = TaskWeights(AB, (0.25, 0.75))
    study = with_rows(make(AB, joint=[uniform(AB)]), joint_row(other, 0.95, 0.97))
    assert study.recommendation is not None
    found = confirm_recommendation(replace(study, recommendation=replace(study.recommendation, weights=uniform(AB))))
    assert found is not None
    assert found.better is not None
    assert found.better[0] == other
    assert found.better[1] == pytest.approx(0.96)


def test_equal_joint_runs_are_not_better(make: Study) -> None:
    study = make(AB, joint=[uniform(AB)])
    value = study.joint.values()[0, 0]
    found = confirm_recommendation(with_rows(study, joint_row(TaskWeights(AB, (0.25, 0.75)), value, value)))
    assert found is not None
    assert found.better is None


@pytest.mark.parametrize(
    ("floor", "kept"),
    [("a>=0.7", True), ("all>=0.79", True), ("all>=0.81", False), ("all>=88%", True), ("all>=95%", False)],
)
def test_floors_are_held_against_the_joint_run(make: Study, floor: str, kept: bool) -> None:
    found = confirm_recommendation(make(AB, joint=[uniform(AB)], floors=[floor], resolution=2))
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
        found = summarise(
            surface,
            name="s",
            method="preview",
            preference=Preference("mean", {}),
            floors=floors,
            provenance={},
            costs={},
        )
        confirmed = confirm_recommendation(found)
        assert confirmed is not None
        assert confirmed.floors_met is kept
        assert confirmed.joint_value == pytest.approx(-0.25)
