from dataclasses import replace

import numpy as np
import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.outlook import Outlook, outlook
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.recommend import SURE, Alternative, FloorChance, Recommendation, recommend
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, uniform

TASKS = ("a", "b")
UP = {task: Headline("accuracy") for task in TASKS}
MIXED = {"a": Headline("accuracy"), "b": Headline("error", higher_is_better=False)}
MEAN = Preference("mean", {})
GRID = lattice(TASKS, 8)


def row(
    weights: TaskWeights, fidelity: Fidelity, method: str, heads: dict[str, Headline], shift: float = 0.0
) -> Evaluation:
    """Best in the mean at a = 2/3: a is twice as high."""
    goodness = {"a": 0.2 + 0.6 * weights["a"] ** 0.5 - shift, "b": 0.2 + 0.42426 * weights["b"] ** 0.5 - shift}
    metrics = {
        task: {head.metric: goodness[task] if head.higher_is_better else 1 - goodness[task]}
        for task, head in heads.items()
    }
    return Evaluation(weights, metrics, fidelity, method)


def seen(joint: int = 9, heads: dict[str, Headline] = UP, previews: bool = True, inside: bool = False) -> Outlook:
    rows = [row(w, Fidelity.PREVIEW, "diagonal", heads, 0.05 * min(w.values())) for w in GRID if previews]
    rows += [row(w, Fidelity.JOINT, "joint", heads) for w in GRID[:joint]]
    return outlook(
        Surface(heads, tuple(rows), has_private_heads=inside), [w for w in GRID if not inside or min(w.values()) > 0]
    )


@pytest.fixture(scope="module")
def known() -> Outlook:
    return seen()


def best(found: Recommendation) -> float:
    return found.weights["a"]


def test_the_best_mean_with_its_interval(known: Outlook) -> None:
    found = recommend(known, MEAN)
    assert best(found) in (0.625, 0.75)  # .5671 and .5659
    truth = row(found.weights, Fidelity.JOINT, "joint", UP).metrics
    for task in TASKS:
        assert found.low[task] < found.expected[task] < found.high[task]
        assert found.expected[task] == pytest.approx(truth[task]["accuracy"], abs=0.02)
    assert found.value == pytest.approx(sum(found.expected.values()) / 2, abs=0.01)
    assert found.value_low < found.value < found.value_high
    assert found.confirmed
    assert found.floors == ()
    assert found.floors_met
    assert found.reason == "best expected value of the mean over tasks among 9 weightings"
    assert found.basis == "7 joint runs, 2 single-task models and previews (diagonal)"


def test_worst_weighted_and_knee(known: Outlook) -> None:
    assert best(recommend(known, Preference("worst", {}))) == 0.375  # a is .567 there, b .535
    assert best(recommend(known, Preference.parse("b=1", TASKS))) == 0.0
    assert best(recommend(known, Preference.parse("knee", TASKS))) == 0.5  # in units of .6 and .42 both are roots


def test_lower_is_better() -> None:
    found = recommend(seen(heads=MIXED), MEAN)
    assert best(found) in (0.625, 0.75)
    assert found.value == pytest.approx((found.expected["a"] - found.expected["b"]) / 2, abs=0.01)


def test_gain_against_uniform_weights(known: Outlook) -> None:
    found = recommend(known, Preference.parse("a=3,b=1", TASKS))
    assert found.gain is not None
    assert found.gain_low is not None
    assert found.gain_high is not None
    assert found.gain_low <= found.gain <= found.gain_high
    assert found.gain > 0
    parts = [_cut(known, part) for part in ("prediction", "draws", "measured")]
    apart = Outlook(known.surface, known.points[:3], known.predictor, *parts)  # type: ignore[arg-type]
    assert recommend(apart, MEAN).gain is None


def _cut(found: Outlook, part: str) -> object:
    if part == "prediction":
        old = found.prediction
        return replace(old, weights=old.weights[:3], means=old.means[:3], covariances=old.covariances[:, :3, :3])
    return getattr(found, part)[:, :3]


def test_among_some_weightings_alone(known: Outlook) -> None:
    assert best(recommend(known, MEAN, among=[GRID[0], GRID[-2]])) == 0.125
    assert best(recommend(known, MEAN, among=[GRID[3]])) == GRID[3]["a"]


def test_weights_with_a_joint_run_are_preferred_where_it_hardly_matters() -> None:
    found = recommend(seen(joint=3), MEAN)  # a = 1, .875 and .75
    assert found.confirmed == (found.weights in GRID[:3])
    flat = [replace(each, metrics={task: {"accuracy": 0.5} for task in TASKS}) for each in seen(joint=0).surface.rows]
    one = row(GRID[1], Fidelity.JOINT, "joint", UP)
    told = outlook(Surface(UP, (*flat, replace(one, metrics={task: {"accuracy": 0.5} for task in TASKS}))), GRID)
    assert recommend(told, MEAN).weights == GRID[1]


def test_floors_are_held_against_the_chance_that_they_hold(known: Outlook) -> None:
    free, floored = recommend(known, MEAN), recommend(known, MEAN, [Floor("b", 0.52, relative=False)])
    assert best(floored) < best(free)
    assert isinstance(floored.floors[0], FloorChance)
    assert floored.floors[0].chance >= SURE
    assert floored.chance == floored.floors[0].chance
    assert floored.floors_met
    assert "weightings that are likely (80%) to keep b>=0.52" in floored.reason


def test_floors_that_cannot_be_kept(known: Outlook) -> None:
    found = recommend(known, MEAN, [Floor("all", 0.7, relative=False)])
    assert not found.floors_met
    assert found.reason.startswith("no weighting is likely (80%) to keep all>=0.7; this one is likeliest to, at ")


def test_several_floors_hold_together_less_often_than_each(known: Outlook) -> None:
    found = recommend(known, MEAN, [Floor("a", 0.6, relative=False), Floor("b", 0.9, relative=True)])
    assert found.chance <= min(kept.chance for kept in found.floors)


def test_a_relative_floor_needs_its_corner() -> None:
    rows = [each for each in seen(joint=0).surface.rows if each.weights.corner is None]
    with pytest.raises(StudyError, match="needs the preview at weights b=1"):
        recommend(outlook(Surface(UP, tuple(rows)), GRID[1:-1]), MEAN, [Floor("b", 0.9, relative=True)])


def test_runners_up_are_apart_and_say_how_they_differ(known: Outlook) -> None:
    found = recommend(known, MEAN)
    chosen = [found.weights, *(other.weights for other in found.runners_up)]
    assert len(found.runners_up) == 3
    for place, weights in enumerate(chosen):
        assert all(abs(weights["a"] - other["a"]) >= 0.15 for other in chosen[:place])
    for other in found.runners_up:
        assert other.difference["a"] * (other.weights["a"] - best(found)) > 0
        assert other.undecided == (other.chance >= 0.1)
    assert recommend(known, MEAN, runners_up=1).runners_up == found.runners_up[:1]


def test_what_cannot_be_told_apart_is_said() -> None:
    unsure, sure = recommend(seen(joint=0), MEAN), recommend(seen(), MEAN)
    assert any(other.undecided for other in unsure.runners_up)
    assert not sure.runners_up[-1].undecided
    assert unsure.next_gain > sure.next_gain >= 0
    assert Alternative(uniform(TASKS), 0.5, 0.1, {}).undecided


def test_only_weights_that_train_every_head_are_recommended() -> None:
    found = recommend(seen(joint=0, inside=True), Preference.parse("a=1", TASKS))
    assert min(found.weights.values()) > 0


def test_only_weightings_to_choose_among_are_counted(known: Outlook) -> None:
    floors = [Floor("b", 0.1, False)]
    reason = recommend(known, MEAN, floors, among=GRID[2:5]).reason
    assert (
        reason
        == "best expected value of the mean over tasks among the 3 of 3 weightings that are likely (80%) to keep b>=0.1"
    )
    assert "the 1 of 1 weighting that is likely (80%)" in recommend(known, MEAN, floors, among=[GRID[3]]).reason
    assert recommend(known, MEAN, among=[GRID[3]]).reason.endswith("among 1 weighting")


def test_no_run_can_add_more_than_knowing_everything_would() -> None:
    heads = {task: Headline("perplexity", higher_is_better=False) for task in TASKS}
    rows = [
        Evaluation(
            w, {task: {"perplexity": float(np.exp(6 * (1 - w[task]) ** 2 + 0.1))} for task in TASKS}, fidelity, "simple"
        )
        for w in lattice(TASKS, 4)
        for fidelity in ([Fidelity.PREVIEW, Fidelity.JOINT] if w["a"] in (0.0, 0.5) else [Fidelity.PREVIEW])
    ]
    found = outlook(Surface(heads, tuple(rows)))
    assert 0 <= recommend(found, MEAN).next_gain <= found.most_to_gain(MEAN)
    assert found.most_to_gain(MEAN) < 10


def test_a_notebook_shows_weights_and_intervals() -> None:
    found = recommend(seen(), MEAN)._repr_html_()
    assert found.count("<tr>") == 1 + len(TASKS)
    assert "Recommended weights: best expected value" in found
