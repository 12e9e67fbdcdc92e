from collections.abc import Mapping

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.metric_kinds import Metric
from foretaste.metrics import METRICS
from foretaste.simplex import lattice
from foretaste.surface.table import Headline, Surface, headlines
from foretaste.task import Rows, Task
from foretaste.weights import TaskWeights, corners, uniform
from laws import normal

AB = ("a", "b")
HEADLINES = {"a": Headline("accuracy"), "b": Headline("error", higher_is_better=False)}


def row(
    weights: TaskWeights, a: float, b: float, method: str = "joint", seed: int = 0, cost: float = 0.0
) -> Evaluation:
    metrics: Mapping[str, Mapping[str, float]] = {"a": {"loss": 1 - a, "accuracy": a}, "b": {"loss": b, "error": b}}
    return Evaluation(weights, metrics, Fidelity.JOINT if method == "joint" else Fidelity.PREVIEW, method, seed, cost)


def test_headlines_are_the_first_metrics() -> None:
    rows = Rows(normal(2, 1), normal(2).long())
    low = Metric("error", lambda predicted, labels: 0.0, higher_is_better=False)
    tasks = [Task("a", rows, rows, [METRICS["f1"], low]), Task("b", rows, rows, [low, METRICS["f1"]])]
    assert headlines(tasks) == {"a": Headline("f1", True, 2, 2), "b": Headline("error", False, 2, 2)}


def test_columns_follow_the_studys_order() -> None:
    surface = Surface(HEADLINES, (row(corners(AB)[0], 0.9, 0.4), row(uniform(AB), 0.8, 0.3)))
    assert surface.tasks == AB
    assert surface.signs.tolist() == [1.0, -1.0]
    assert surface.alphas().tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert surface.values().tolist() == [[0.9, 0.4], [0.8, 0.3]]
    np.testing.assert_allclose(surface.values("loss"), [[0.1, 0.4], [0.2, 0.3]])


def test_no_rows_have_the_right_shape() -> None:
    surface = Surface(HEADLINES, ())
    assert surface.values().shape == surface.alphas().shape == (0, 2)
    assert surface.methods() == []
    assert surface.averaged().rows == ()


def test_rows_are_chosen_by_fidelity_and_method() -> None:
    rows = (
        row(uniform(AB), 1, 0),
        row(uniform(AB), 2, 0, "simple"),
        row(uniform(AB), 3, 0, "diagonal"),
        row(uniform(AB), 4, 0, "simple"),
    )
    surface = Surface(HEADLINES, rows)
    assert surface.methods() == ["simple", "diagonal"]
    assert surface.where(Fidelity.PREVIEW, "simple").rows == (rows[1], rows[3])
    assert surface.where(Fidelity.PREVIEW).rows == rows[1:]
    assert surface.where(Fidelity.JOINT).rows == rows[:1]
    assert surface.where(Fidelity.SHARPENED).rows == ()


def test_seeds_are_averaged_per_weighting() -> None:
    one, two = corners(AB)
    surface = Surface(
        HEADLINES, (row(one, 0.2, 0.4, seed=0, cost=1.0), row(two, 0.7, 0.1), row(one, 0.4, 0.8, seed=1, cost=3.0))
    )
    averaged = surface.averaged()
    assert [each.weights for each in averaged.rows] == [one, two]
    np.testing.assert_allclose(averaged.values(), [[0.3, 0.6], [0.7, 0.1]])
    np.testing.assert_allclose(averaged.values("loss"), [[0.7, 0.6], [0.3, 0.1]])
    assert averaged.rows[0].cost == 2.0
    assert len(surface.rows) == 3


def test_the_first_row_at_some_weights() -> None:
    rows = (row(uniform(AB), 1, 0), row(uniform(AB), 2, 0))
    assert Surface(HEADLINES, rows).at(TaskWeights(AB, (0.5 + 1e-12, 0.5 - 1e-12))) is rows[0]
    assert Surface(HEADLINES, rows).at(corners(AB)[0]) is None


def test_a_notebook_shows_the_rows() -> None:
    rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "<joint>") for w in lattice("ab", 40)]
    found = Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows))._repr_html_()
    assert found.count("<tr>") == 31
    assert "and 11 more" in found
    assert "<joint>" not in found


def test_a_metric_that_some_rows_lack_is_averaged_over_the_others() -> None:
    """As results that were told may lack the loss."""
    weights = uniform(AB)
    told = Evaluation(weights, {"a": {"accuracy": 0.6}, "b": {}}, Fidelity.JOINT, "joint", 1, 4.0)
    for rows in ((row(weights, 0.8, 0.3), told), (told, row(weights, 0.8, 0.3))):
        (mean,) = Surface(HEADLINES, rows).averaged().rows
        assert mean.metrics["a"] == {"accuracy": np.mean([0.8, 0.6]), "loss": 1 - 0.8}
        assert mean.metrics["b"] == {"error": 0.3, "loss": 0.3}
