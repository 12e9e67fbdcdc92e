from dataclasses import replace

import numpy as np
import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import dirichlet, lattice
from foretaste.surface.outlook import Outlook, can_predict, candidates, evaluated_weights, outlook, select_usable_rows
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.recommend import recommend
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, corners, uniform

TASKS = ("a", "b")
HEADS = {"a": Headline("accuracy"), "b": Headline("loss", higher_is_better=False)}
GRID = lattice(TASKS, 8)
MEAN = Preference("mean", {})


def row(weights: TaskWeights, fidelity: Fidelity, method: str, shift: float = 0.0) -> Evaluation:
    metrics = {
        "a": {"accuracy": 0.4 + 0.5 * weights["a"] ** 0.5 - shift},
        "b": {"loss": 1.5 - weights["b"] ** 0.5 + shift},
    }
    return Evaluation(weights, metrics, fidelity, method)


def made(joint: int = 3, method: str = "diagonal") -> Surface:
    rows = [row(w, Fidelity.PREVIEW, method, 0.1 * min(w.values())) for w in GRID]
    return Surface(HEADS, (*rows, *(row(w, Fidelity.JOINT, "joint") for w in GRID[2 : 2 + joint])))


@pytest.fixture(scope="module")
def found() -> Outlook:
    return outlook(made(), GRID)


def test_candidates_hold_what_was_evaluated_and_a_lattice() -> None:
    own = TaskWeights(TASKS, (0.123456, 0.876544))
    points = candidates(Surface(HEADS, (row(own, Fidelity.PREVIEW, "simple"),)))
    assert points[0] == uniform(TASKS)
    assert own in points
    assert len(points) == len(set(points)) > 190
    inside = candidates(Surface(HEADS, (), has_private_heads=True))
    assert all(min(weights.values()) > 0 for weights in inside)


def test_evaluated_and_tellable() -> None:
    surface = made(joint=0)
    assert evaluated_weights(surface) == GRID
    assert can_predict(surface)
    assert not can_predict(replace(surface, rows=surface.rows[3:5]))
    assert can_predict(replace(surface, rows=surface.rows[3:6]))
    assert can_predict(replace(surface, rows=surface.rows[:1]))  # a corner
    assert can_predict(replace(made(), rows=made().rows[-1:]))  # a joint run
    with pytest.raises(StudyError, match="nothing to predict"):
        outlook(Surface(HEADS, ()))


def test_rows_that_cannot_be_used_are_left_out() -> None:
    surface = made(method="simple")
    broken = replace(surface.rows[0], metrics={"a": {"accuracy": float("inf")}, "b": {"loss": 0.1}})
    partial = replace(surface.rows[0], metrics={"a": {"loss": 0.1}, "b": {"loss": 0.1}})
    other = replace(surface.rows[0], method="mixture")
    sharpened = replace(surface.rows[0], method="simple", steps=5, fidelity=Fidelity.SHARPENED)
    assert select_usable_rows(replace(surface, rows=(broken, partial, *surface.rows))).rows == surface.rows
    both = replace(surface, rows=(*surface.rows, other, sharpened))
    assert select_usable_rows(both, "simple").rows == (*surface.rows, sharpened)
    assert select_usable_rows(both, "mixture").rows == (*surface.rows[-3:], other)


def test_draws_are_spread_as_predicted(found: Outlook) -> None:
    inside = (found.measured >= found.prediction.low) & (found.measured <= found.prediction.high)
    assert 0.86 <= inside.mean() <= 0.94
    np.testing.assert_allclose(np.median(found.measured, axis=0), found.prediction.median, atol=0.01)


def test_a_preference_on_possible_surfaces(found: Outlook) -> None:
    values = found.values(MEAN)
    np.testing.assert_allclose(values, (found.draws[..., 0] - found.draws[..., 1]) / 2)
    beliefs = found.beliefs(MEAN)
    np.testing.assert_allclose(beliefs.covariance, np.cov(values.T), atol=1e-12)
    np.testing.assert_allclose(beliefs.mean, values.mean(0))
    assert (beliefs.noise > 0).all()


def test_missed_floors_are_taken_off_tenfold(found: Outlook) -> None:
    floors = [Floor("a", 0.8, relative=False)]
    beliefs = found.beliefs(MEAN, floors)
    most = np.ptp(found.values(MEAN).mean(0))
    expected = (found.values(MEAN) - np.minimum(10 * np.maximum(0.8 - found.draws[..., 0], 0), most)).mean(0)
    np.testing.assert_allclose(beliefs.mean, expected)


def test_chances_of_floors(found: Outlook) -> None:
    chances = found.chances([Floor("a", 0.6, relative=False), Floor("b", 0.9, relative=True)])
    assert chances.shape == (9, 2)
    assert chances[0, 0] > 0.99  # all the weight is a's
    assert chances[-1, 0] < 0.01
    assert chances[-1, 1] > 0.7  # the single-task model itself, measured anew
    assert found.singles == pytest.approx({"a": 0.9, "b": 0.5})


def test_the_front_of_two_opposed_tasks_is_everything(found: Outlook) -> None:
    assert found.on_front.shape == (9,)
    assert found.on_front[[0, -1]].min() > 0.5
    same = tuple(
        replace(each, metrics={**each.metrics, "b": {"loss": 1 - each.metrics["a"]["accuracy"]}})
        for each in made().rows
    )
    alone = outlook(Surface(HEADS, same), GRID)
    assert alone.on_front[0] > 0.9
    assert alone.on_front[4:].max() < 0.1


def test_joint_runs_and_places(found: Outlook) -> None:
    assert list(found.joint) == GRID[2:5]
    assert [found.points[found.places[weights]] for weights in corners(TASKS)] == corners(TASKS)


class TestMany:
    """Of thousands of weightings, those that matter and those that are spread out are looked at closely."""

    @staticmethod
    def surface(count: int) -> Surface:
        points = dirichlet("abc", count, np.random.default_rng(0))
        rows = [Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple") for w in points]
        rows += [replace(row, fidelity=Fidelity.JOINT, method="joint") for row in rows[7:9]]
        return Surface({task: Headline("accuracy") for task in "abc"}, tuple(rows))

    def test_few_are_all_there(self) -> None:
        surface = self.surface(290)
        assert evaluated_weights(surface) == list(dict.fromkeys(row.weights for row in surface.rows))

    def test_of_many_joint_runs_and_the_best_stay(self) -> None:
        surface = self.surface(3000)
        found = evaluated_weights(surface)
        assert 300 <= len(found) <= 360
        assert {row.weights for row in surface.where(Fidelity.JOINT).rows} <= set(found)
        values = surface.where(Fidelity.PREVIEW).values()
        for scores in (values.mean(1), values.min(1), values[:, 2]):
            assert surface.rows[int(scores.argmax())].weights in found
        nearest = [
            min(np.abs(np.subtract(list(row.weights.values()), list(w.values()))).max() for w in found)
            for row in surface.rows[::97]
        ]
        assert max(nearest) < 0.05

    def test_the_choice_is_as_good_as_among_all(self) -> None:
        surface = self.surface(1500)
        best = recommend(outlook(surface), Preference("mean", {}), among=evaluated_weights(surface))
        assert np.mean(list(best.expected.values())) == pytest.approx(surface.values().mean(1).max(), abs=2e-3)
