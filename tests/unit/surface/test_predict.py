from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import dirichlet, lattice
from foretaste.surface.predict import fit_predictor, predict
from foretaste.surface.prediction import Prediction
from foretaste.surface.table import Array, Headline, Surface
from foretaste.weights import TaskWeights, corners, uniform

TASKS = ("a", "b", "c")
UP = {task: Headline("accuracy") for task in TASKS}
GRID = lattice(TASKS, 6)
HIDDEN = [weights for weights in GRID if weights.corner is None]
KNOWN = [
    TaskWeights(TASKS, shares)
    for shares in ([1 / 3] * 3, [0.5, 0.5, 0.0], [0.1, 0.3, 0.6], [0.0, 0.3, 0.7], [0.7, 0.1, 0.2])
]


def truth(weights: TaskWeights, task: str) -> float:
    """What joint finetuning gives: it falls off steeply where the task loses its weight."""
    return float(0.3 + 0.6 * weights[task] ** 0.3)


def worse(weights: TaskWeights, task: str) -> float:
    """What a preview gives: less inside, the same at corners."""
    return truth(weights, task) * (1 - 0.9 * (1 - max(weights.values())) * weights[task])


def rows(
    points: Sequence[TaskWeights], fidelity: Fidelity, method: str, noise: float = 0.0, seed: int = 0
) -> list[Evaluation]:
    random, value = np.random.default_rng(seed), truth if fidelity == Fidelity.JOINT else worse
    return [
        Evaluation(
            weights,
            {
                task: {
                    "accuracy": (level := value(weights, task) + noise * random.standard_normal()),
                    "loss": 2 * (1 - level),
                }
                for task in weights
            },
            fidelity,
            method,
            seed,
        )
        for weights in points
    ]


def surface(*parts: Sequence[Evaluation], has_private_heads: bool = False) -> Surface:
    return Surface(UP, tuple(row for part in parts for row in part), has_private_heads)


def real(points: Sequence[TaskWeights]) -> Array:
    return np.array([[truth(weights, task) for task in TASKS] for weights in points])


def correlation(drawn: Array) -> float:
    """Of the first two tasks."""
    return float(np.asarray(np.corrcoef(drawn.T))[0, 1])


def covered(found: Prediction) -> float:
    expected = real(found.weights)
    return float(((found.low <= expected) & (expected <= found.high)).mean())


SIMPLE, DIAGONAL = rows(GRID, Fidelity.PREVIEW, "simple"), rows(GRID, Fidelity.PREVIEW, "diagonal", 0.01)
JOINT = rows(KNOWN, Fidelity.JOINT, "joint")
SURFACE = surface(SIMPLE, DIAGONAL, JOINT)
FOUND = predict(SURFACE, HIDDEN)


class TestWithJointRuns:
    def test_it_is_nearer_than_the_previews(self) -> None:
        previews = np.array([[worse(weights, task) for task in TASKS] for weights in HIDDEN])
        assert np.abs(FOUND.median - real(HIDDEN)).mean() < 0.4 * np.abs(previews - real(HIDDEN)).mean()

    def test_the_truth_is_in_the_interval(self) -> None:
        assert covered(FOUND) > 0.8

    def test_it_is_sure_where_it_knows(self) -> None:
        known, unknown = predict(SURFACE, KNOWN[:1]), predict(SURFACE, [TaskWeights(TASKS, [0.0, 1 / 6, 5 / 6])])
        assert known.median == pytest.approx(real(KNOWN[:1]), abs=0.02)
        assert (known.high - known.low).mean() < (unknown.high - unknown.low).mean()

    def test_loss_is_another_metric(self) -> None:
        found = predict(SURFACE, HIDDEN, "loss")
        assert np.abs(found.median - 2 * (1 - real(HIDDEN))).mean() < 0.1
        assert (found.low > 0).all()

    def test_what_it_rests_on(self) -> None:
        assert FOUND.basis == "5 joint runs, 3 single-task models and previews (diagonal, simple)"
        for task in TASKS:
            error = FOUND.errors[task]
            assert error is not None
            assert 0 < error < 0.1
            assert sum(FOUND.shares[task].values()) == pytest.approx(1.0)


class TestWithoutJointRuns:
    FOUND = predict(surface(SIMPLE), HIDDEN)

    def test_the_interval_is_wide_and_says_why(self) -> None:
        assert (self.FOUND.high - self.FOUND.low).mean() > 3 * (FOUND.high - FOUND.low).mean()
        assert covered(self.FOUND) > 0.8
        assert "the intervals rest on how far previews were off in other studies" in self.FOUND.basis
        assert self.FOUND.errors == dict.fromkeys(TASKS)

    def test_tasks_are_off_together(self) -> None:
        drawn = self.FOUND.draw(500)[:, len(HIDDEN) // 2]
        assert correlation(drawn) > 0.9
        assert 0.2 < correlation(FOUND.draw(500)[:, len(HIDDEN) // 2]) < 0.7  # joint runs tell of each task by itself

    def test_tasks_are_off_in_the_direction_of_their_metrics(self) -> None:
        mixed = replace(
            surface(SIMPLE),
            headlines={"a": Headline("accuracy"), "b": Headline("loss", False), "c": Headline("accuracy")},
        )
        drawn = predict(mixed, [uniform(TASKS)]).draw(500)[:, 0]
        assert correlation(drawn) < -0.9

    def test_the_corners_are_known(self) -> None:
        assert predict(surface(SIMPLE), corners(TASKS)).median == pytest.approx(real(corners(TASKS)), abs=0.01)


class TestDraws:
    def test_they_have_the_mean_and_the_interval(self) -> None:
        drawn = FOUND.draw(4000, measured=True)
        assert drawn.shape == (4000, len(HIDDEN), 3)
        assert np.quantile(drawn, 0.5, axis=0) == pytest.approx(FOUND.median, abs=0.01)
        assert np.quantile(drawn, 0.05, axis=0) == pytest.approx(FOUND.low, abs=0.015)
        assert np.quantile(drawn, 0.95, axis=0) == pytest.approx(FOUND.high, abs=0.015)

    def test_the_interval_has_the_noise_of_a_run(self) -> None:
        found = predict(HARD["other seeds at the same weightings"], KNOWN)
        low, high = np.quantile(found.draw(4000, measured=True), (0.05, 0.95), axis=0)
        assert (high - low).mean() == pytest.approx((found.high - found.low).mean(), rel=0.03)
        assert (found.high - found.low).mean() > 2 * 0.02

    def test_without_the_noise_of_a_run_they_differ_less(self) -> None:
        assert FOUND.draw(500).std(0).mean() < FOUND.draw(500, measured=True).std(0).mean()

    def test_the_seed_decides(self) -> None:
        assert (FOUND.draw(3, 1) == FOUND.draw(3, 1)).all()
        assert (FOUND.draw(3, 1) != FOUND.draw(3, 2)).any()


class TestOrder:
    def test_of_rows(self) -> None:
        turned = predict(replace(SURFACE, rows=SURFACE.rows[::-1]), HIDDEN)
        assert turned.median == pytest.approx(FOUND.median, abs=1e-6)
        assert turned.high == pytest.approx(FOUND.high, abs=1e-6)

    def test_of_tasks(self) -> None:
        turned = predict(replace(SURFACE, headlines={task: UP[task] for task in "cab"}), HIDDEN)
        assert turned.median[:, [1, 2, 0]] == pytest.approx(FOUND.median, abs=1e-6)
        assert turned.low[:, [1, 2, 0]] == pytest.approx(FOUND.low, abs=1e-6)
        assert turned.errors == pytest.approx(FOUND.errors)


def of(value: float, points: Sequence[TaskWeights] = GRID, fidelity: Fidelity = Fidelity.PREVIEW) -> list[Evaluation]:
    return [
        Evaluation(weights, {task: {"accuracy": value} for task in TASKS}, fidelity, str(fidelity))
        for weights in points
    ]


HARD = {
    "one joint run": surface(SIMPLE, JOINT[:1]),
    "all joint runs at one weighting": surface(
        SIMPLE, *(rows(KNOWN[:1], Fidelity.JOINT, "joint", 0.01, seed) for seed in range(4))
    ),
    "other seeds at the same weightings": surface(
        SIMPLE, *(rows(KNOWN, Fidelity.JOINT, "joint", 0.02, seed) for seed in range(3))
    ),
    "joint runs alone": surface(JOINT),
    "one joint run alone": surface(JOINT[:1]),
    "corners alone": surface(rows(corners(TASKS), Fidelity.JOINT, "joint")),
    "perfect metrics": surface(of(1.0), of(1.0, KNOWN, Fidelity.JOINT)),
    "no success at all": surface(of(0.0), of(0.0, KNOWN, Fidelity.JOINT)),
    "constant previews": surface(of(0.5), JOINT),
    "previews without corners": surface(rows(HIDDEN, Fidelity.PREVIEW, "diagonal"), JOINT),
    "previews twice": surface(SIMPLE, SIMPLE, JOINT),
    "heads of their own": surface(SIMPLE, JOINT, has_private_heads=True),
    "heads of their own, no joint run": surface(SIMPLE, has_private_heads=True),
    "sharpened": surface(
        SIMPLE, [replace(row, steps=5) for row in rows(GRID[::2], Fidelity.SHARPENED, "simple")], JOINT
    ),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("metric", [None, "accuracy"])
def test_hard_surfaces(name: str, metric: str | None) -> None:
    found = predict(HARD[name], GRID, metric)
    assert found.median.shape == (len(GRID), 3)
    assert ((found.low >= 0) & (found.low <= found.median) & (found.median <= found.high) & (found.high <= 1)).all()
    assert np.isfinite(found.draw(5)).all()
    assert (np.abs(found.high - found.low).max(0) > 0).all()


def test_constant_metrics_stay_what_they_are() -> None:
    assert predict(HARD["perfect metrics"], GRID).median == pytest.approx(1.0, abs=1e-3)


def test_two_tasks_and_ten() -> None:
    for tasks in ("ab", "abcdefghij"):
        points = (
            corners(tasks) + [uniform(tasks)] + [weights for weights in lattice(tasks, 2) if weights.corner is None]
        )
        parts = rows(points, Fidelity.PREVIEW, "simple"), rows(points[-3:], Fidelity.JOINT, "joint")
        found = predict(
            Surface({task: Headline("accuracy") for task in tasks}, tuple(row for part in parts for row in part)),
            points,
        )
        expected = np.array([[truth(weights, task) for task in tasks] for weights in points])
        assert np.abs(found.median - expected).mean() < 0.08


def test_with_heads_of_their_own_a_run_without_a_task_says_nothing_of_it() -> None:
    face = KNOWN[1]
    assert face["c"] == 0
    told = [
        replace(row, metrics={**row.metrics, "c": {"accuracy": 0.99}}) if row.weights == face else row for row in JOINT
    ]
    for inside in (True, False):
        one, other = (
            predict(surface(SIMPLE, joint, has_private_heads=inside), HIDDEN).median[:, 2] for joint in (JOINT, told)
        )
        assert (np.abs(one - other).max() < 0.02) == inside


def test_a_row_that_lacks_the_metric_is_left_out() -> None:
    lacking = replace(JOINT[0], metrics={**JOINT[0].metrics, "b": {"loss": 9.0}})
    missing = replace(JOINT[1], metrics={"a": {"accuracy": 0.0}})
    found, expected = (
        predict(surface(SIMPLE, [lacking, missing], JOINT[2:]), HIDDEN),
        predict(surface(SIMPLE, JOINT[2:]), HIDDEN),
    )
    assert found.median == pytest.approx(expected.median)


def test_previews_at_few_weightings_are_left_out() -> None:
    few = rows(GRID[:3], Fidelity.PREVIEW, "kronecker", 0.3)
    assert predict(surface(SIMPLE, few, JOINT), HIDDEN).basis == predict(surface(SIMPLE, JOINT), HIDDEN).basis


def test_a_joint_run_at_a_corner_counts_before_a_preview_there() -> None:
    trained = [
        replace(row, metrics={task: {"accuracy": 0.4} for task in TASKS})
        for row in rows(corners(TASKS), Fidelity.JOINT, "joint")
    ]
    found = predict(surface(SIMPLE, trained), corners(TASKS))
    assert found.median == pytest.approx(0.4, abs=0.02)
    assert found.basis.startswith("only 3 single-task models")


def test_simple_averaging_is_the_single_task_model() -> None:
    other = [
        replace(row, metrics={task: {"accuracy": 0.2} for task in TASKS})
        for row in rows(GRID, Fidelity.PREVIEW, "diagonal")
    ]
    assert predict(surface(other, SIMPLE, JOINT), corners(TASKS)).median == pytest.approx(
        real(corners(TASKS)), abs=0.02
    )
    assert predict(surface(other, JOINT), corners(TASKS)).median == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    broken = replace(JOINT[2], metrics={**JOINT[2].metrics, "b": {"accuracy": value}})
    with pytest.raises(
        StudyError, match=rf"accuracy of task 'b' is {value} in the row joint joint at a=0.1,b=0.3,c=0.6"
    ):
        fit_predictor(surface(SIMPLE, JOINT, [broken]))


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(StudyError, match="nothing to predict bleu from; preview at least 4 weightings"):
        fit_predictor(SURFACE, "bleu")


def test_a_perplexity_is_never_expected_below_one() -> None:
    heads = {task: Headline("perplexity", higher_is_better=False) for task in "ab"}
    points = lattice("ab", 4)
    made = [(w, Fidelity.PREVIEW) for w in points] + [(points[2], Fidelity.JOINT)]
    rows = [
        Evaluation(w, {t: {"perplexity": 1.0 + (1 - w[t]) ** 2} for t in "ab"}, fidelity, "simple")
        for w, fidelity in made
    ]
    found = predict(Surface(heads, tuple(rows)), lattice("ab", 10))
    assert found.low.min() >= 1
    assert found.draw(100, measured=True).min() >= 1


def test_one_is_not_many() -> None:
    rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in "ab"}, Fidelity.JOINT, "joint") for w in lattice("ab", 2)[:2]]
    assert (
        predict(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 2)).basis
        == "1 joint run, 1 single-task model"
    )


class TestDomains:
    """What is mixed need not be what is judged: five sources of a corpus, two benchmarks."""

    NAMES = ("code", "papers", "web", "books", "wiki")
    HEADS: ClassVar = {
        "maths": Headline("loss", higher_is_better=False),
        "chat": Headline("win rate"),
    }

    def row(self, weights: TaskWeights, fidelity: Fidelity, method: str) -> Evaluation:
        """The smaller model is .2 worse everywhere, and learns .7 times as much from a source."""
        share = 1.0 if fidelity == Fidelity.JOINT else 0.7
        maths = 3 - share * (1.5 * weights["papers"] ** 0.5 + weights["code"] ** 0.5)
        chat = 0.2 + 0.4 * share * (weights["web"] + weights["books"]) ** 0.5
        off = 0.0 if fidelity == Fidelity.JOINT else 0.2
        return Evaluation(weights, {"maths": {"loss": maths + off}, "chat": {"win rate": chat}}, fidelity, method)

    def test_cheap_runs_and_a_few_joint_runs_predict_the_others(self) -> None:
        points = dirichlet(self.NAMES, 60, np.random.default_rng(1))
        rows = [self.row(weights, Fidelity.PREVIEW, "proxy-60m") for weights in points[:40]]
        rows += [self.row(weights, Fidelity.JOINT, "joint") for weights in points[40:50]]
        unseen = [self.row(weights, Fidelity.JOINT, "joint") for weights in points[50:]]
        surface = Surface(self.HEADS, tuple(rows), domains=self.NAMES)
        assert surface.alphas().shape == (50, 5)
        prediction = predict(surface, [row.weights for row in unseen])
        real = replace(surface, rows=tuple(unseen)).values()
        assert prediction.median.shape == (10, 2)
        error, spread = np.abs(prediction.median - real).mean(0), real.std(0)
        assert (error < 0.4 * spread).all()
        assert ((prediction.low <= real) & (real <= prediction.high)).mean() > 0.7

    def test_a_cheap_run_at_a_corner_is_not_the_single_task_model(self) -> None:
        rows = [self.row(weights, Fidelity.PREVIEW, "proxy-60m") for weights in corners(self.NAMES)]
        surface = Surface(self.HEADS, tuple(rows), domains=self.NAMES)
        assert surface.singles() == {}
        more = [
            self.row(weights, Fidelity.PREVIEW, "proxy-60m")
            for weights in dirichlet(self.NAMES, 20, np.random.default_rng(2))
        ]
        trained = [self.row(weights, Fidelity.JOINT, "joint") for weights in corners(self.NAMES)[:2]]
        predictor = fit_predictor(Surface(self.HEADS, (*rows, *more, *trained), domains=self.NAMES))
        assert predictor.basis == "2 joint runs, previews (proxy-60m)"
