"""What the explorer is given agrees with the summary."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from foretaste.report.explorer import explorer_state, grid_of, predict_at, study_page
from foretaste.report.summary import Summary
from foretaste.surface.predict import fit_predictor
from foretaste.surface.spline import Spline, places_of
from foretaste.surface.table import Headline, Surface
from foretaste.weights import corners, uniform

Study = Callable[..., Summary]
NAMES = ("a", "b", "c", "d")


def test_a_state_is_json_and_complete(make: Study) -> None:
    summary = make(NAMES[:3], floors=["all>=80%"])
    state = json.loads(json.dumps(explorer_state(summary), allow_nan=False))
    assert [task["name"] for task in state["tasks"]] == ["a", "b", "c"]
    assert state["tasks"][0]["single"] == pytest.approx(0.92)
    assert len(state["rows"]) == len(summary.surface.rows)
    assert state["rows"][0].keys() == {"weights", "fidelity", "method", "seed", "cost", "hash", "values"}
    assert state["preference"] == {"kind": "mean", "importance": {}, "text": "the mean over tasks", "measure": "value"}
    assert state["floors"] == ["all>=80% of its single-task metric"]
    assert state["prediction"]["resolution"] == 40
    assert state["facts"].startswith(
        "Tasks: a, b, c. 30 previews, 15 joint runs. Goal: the highest mean over tasks, with all>=80%"
    )


def test_of_many_tasks_the_recommendation_and_all_rows_are_among_what_is_stored(make: Study) -> None:
    summary = make(NAMES)
    assert summary.outlook is not None
    assert summary.recommendation is not None
    state = explorer_state(summary)["prediction"]
    for weights in (summary.recommendation.weights, *(row.weights for row in summary.surface.rows)):
        place = state["weights"].index(list(weights.values()))  # type: ignore[index]
        direct = fit_predictor(summary.outlook.surface).at([weights])
        assert state["median"][place] == pytest.approx(direct.median[0].tolist(), abs=1e-5)  # type: ignore[index]


def test_of_many_tasks_splines_lead_through_what_is_stored(make: Study) -> None:
    state = json.loads(json.dumps(explorer_state(make(NAMES))["prediction"]))
    points = np.array(state["weights"])
    for name, spline in state["splines"].items():
        found = Spline(places_of(points), np.array(spline["coefficients"]), np.array(spline["constants"]))
        np.testing.assert_allclose(found.at(points), state[name], atol=1e-4)


def test_the_stored_prediction_is_the_prediction(make: Study) -> None:
    summary = make(NAMES[:2])
    assert summary.outlook is not None
    state = explorer_state(summary)["prediction"]
    direct = fit_predictor(summary.outlook.surface).at([uniform(NAMES[:2])])
    place = state["weights"].index([0.5, 0.5])  # type: ignore[index]
    assert state["median"][place] == pytest.approx(direct.median[0].tolist(), abs=1e-5)  # type: ignore[index]
    assert state["high"][place] == pytest.approx(direct.high[0].tolist(), abs=1e-5)  # type: ignore[index]


def test_too_little_to_predict_from(make: Study) -> None:
    state = explorer_state(make(NAMES[:2], methods=(), joint=()))
    assert state["prediction"] is None
    assert state["recommendation"] is None


def test_grids_hold_corners_and_equal_weights() -> None:
    for count in (1, 2, 3, 4):
        points, resolution = grid_of(Surface({name: Headline("accuracy") for name in NAMES[:count]}, ()))
        assert set(corners(NAMES[:count])) <= set(points)
        assert (resolution == 0) == (count > 3)
        assert count == 3 or uniform(NAMES[:count]) in points


def test_many_weightings_are_predicted_in_parts(make: Study) -> None:
    summary = make(NAMES[:2])
    assert summary.outlook is not None
    learned = fit_predictor(summary.outlook.surface)
    points = grid_of(summary.surface)[0]
    whole = predict_at(learned, points)
    part = predict_at(learned, points[70:72])
    np.testing.assert_allclose(np.array(part["median"]), np.array(whole["median"])[70:72], atol=2e-6)


def test_a_page_without_rows_has_no_explorer(make: Study) -> None:
    assert "<script" not in study_page(make(NAMES[:2], methods=(), joint=()))


def test_on_a_lattice_what_was_evaluated_is_stored_apart(make: Study) -> None:
    summary = make(NAMES[:3], resolution=3, joint=[uniform(NAMES[:3])])
    assert summary.outlook is not None
    assert summary.recommendation is not None
    state = json.loads(json.dumps(explorer_state(summary)["prediction"]))
    known = state["known"]
    assert len(known["weights"]) == 10
    assert known["weights"][0] == list(summary.recommendation.weights.values())
    assert known["median"][0] == pytest.approx(list(summary.recommendation.expected.values()), abs=1e-6)
    assert known["low"][0] == pytest.approx(list(summary.recommendation.low.values()), abs=1e-6)
    assert list(uniform(NAMES[:3]).values()) not in state["weights"]


def test_there_is_one_prediction_of_a_study(make: Study) -> None:
    summary = make(NAMES[:2])
    assert summary.outlook is not None
    points = list(summary.outlook.points)
    np.testing.assert_allclose(
        predict_at(summary.outlook.predictor, points)["median"], summary.outlook.prediction.median, atol=1e-6
    )
