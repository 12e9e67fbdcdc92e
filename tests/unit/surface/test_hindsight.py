from dataclasses import replace

import numpy as np
import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.hindsight import PastPrediction, coverage, mean_error, predict_past_runs
from foretaste.surface.predict import predict
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, corners

TASKS = ("a", "b")
GRID = lattice(TASKS, 8)


def row(weights: TaskWeights, fidelity: Fidelity, method: str, shift: float = 0.0) -> Evaluation:
    return Evaluation(
        weights,
        {task: {"accuracy": 0.3 + 0.6 * share**0.5 - shift} for task, share in weights.items()},
        fidelity,
        method,
    )


PREVIEWS = tuple(row(w, Fidelity.PREVIEW, "diagonal", 0.2 * min(w.values())) for w in GRID)
JOINT = tuple(row(w, Fidelity.JOINT, "joint") for w in (GRID[4], GRID[2], GRID[5]))
SURFACE = Surface({task: Headline("accuracy") for task in TASKS}, (*PREVIEWS, *JOINT))


def test_only_what_was_known_before_counts() -> None:
    found = predict_past_runs(SURFACE)
    assert [each.weights for each in found] == [GRID[4], GRID[2], GRID[5]]
    before = predict(replace(SURFACE, rows=SURFACE.rows[:-2]), [GRID[2]])
    np.testing.assert_array_equal(found[1].expected, before.median[0])
    np.testing.assert_array_equal(found[1].low, before.low[0])
    np.testing.assert_array_equal(found[1].real, [0.3 + 0.6 * 0.75**0.5, 0.3 + 0.6 * 0.25**0.5])
    assert np.ptp([found[2].low, found[2].high], axis=0).max() < np.ptp([found[0].low, found[0].high], axis=0).max()


def test_the_last_runs_alone() -> None:
    assert [each.weights for each in predict_past_runs(SURFACE, most=1)] == [GRID[5]]


def test_a_run_of_another_seed_was_known_and_a_corner_is_no_joint_run() -> None:
    again = replace(JOINT[0], seed=1)
    single = row(corners(TASKS)[0], Fidelity.JOINT, "joint")
    assert len(predict_past_runs(replace(SURFACE, rows=(*SURFACE.rows, again, single)))) == 3


def test_what_came_before_everything_was_not_foretold() -> None:
    assert [each.weights for each in predict_past_runs(replace(SURFACE, rows=(JOINT[0], *PREVIEWS, JOINT[1])))] == [
        GRID[2]
    ]
    assert predict_past_runs(Surface(SURFACE.headlines, ())) == []


def test_coverage_and_error() -> None:
    expected, low, high, real = (np.array(numbers) for numbers in ([0.5, 0.5], [0.4, 0.4], [0.6, 0.6], [0.6, 0.8]))
    found = [PastPrediction(GRID[1], expected, low, high, real), PastPrediction(GRID[2], expected, low, high, expected)]
    assert [each.inside_count for each in found] == [1, 2]
    assert coverage(found) == 0.75
    assert mean_error(found) == pytest.approx(0.1)
    assert coverage([]) is None
    assert mean_error([]) is None
