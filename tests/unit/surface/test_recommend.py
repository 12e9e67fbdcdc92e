from collections.abc import Sequence

import numpy as np
import pytest

from foretaste.errors import StudyError, WeightsError
from foretaste.surface.recommend import Floor, Preference, Recommendation, recommend
from foretaste.surface.table import Headline, Surface
from foretaste.task import Evaluation, Fidelity
from foretaste.weights import TaskWeights, corners, lattice

TASKS = ("a", "b")
UP = {task: Headline("accuracy") for task in TASKS}
MIXED = {"a": Headline("accuracy"), "b": Headline("error", higher_is_better=False)}
MEAN = Preference("mean", {})
GRID = lattice(TASKS, 4)  # a = 1, .75, .5, .25, 0
VALUES = [(0.9, 0.2), (0.85, 0.5), (0.7, 0.6), (0.5, 0.7), (0.1, 0.8)]


def surface(
    values: Sequence[tuple[float, float]] = VALUES, headlines: dict[str, Headline] = UP, grid: Sequence[TaskWeights] = GRID
) -> Surface:
    rows = [
        Evaluation(w, {task: {head.metric: v} for (task, head), v in zip(headlines.items(), pair, strict=True)}, Fidelity.PREVIEW, "simple")
        for w, pair in zip(grid, values, strict=True)
    ]
    return Surface(headlines, tuple(rows))


def chosen(found: Recommendation) -> float:
    return found.weights["a"]


class TestPreference:
    def test_parse(self) -> None:
        assert Preference.parse("mean", TASKS) == Preference("mean", {})
        assert Preference.parse("worst", TASKS) == Preference("worst", {})
        assert Preference.parse(" b = 3 ", TASKS) == Preference("weighted", {"a": 0.0, "b": 1.0})
        assert Preference.parse("b=1,a=3", TASKS) == Preference("weighted", {"a": 0.75, "b": 0.25})

    @pytest.mark.parametrize("text", ["", "best", "a", "a=1=2", "a=x", "a=1,,b=2"])
    def test_what_cannot_be_read_shows_how(self, text: str) -> None:
        with pytest.raises(WeightsError, match="is not understood; write mean, worst, or for example a=2,b=1"):
            Preference.parse(text, TASKS)

    @pytest.mark.parametrize("text", ["a=0", "a=-1,b=2", "c=1", "a=nan", "a=inf", "a=1,c=0"])
    def test_numbers_that_say_nothing_are_refused(self, text: str) -> None:
        with pytest.raises(WeightsError, match="needs numbers of at least 0, one above 0, for tasks among a, b"):
            Preference.parse(text, TASKS)

    def test_of(self) -> None:
        values = np.array([[0.2, 0.8], [0.6, 0.6]])
        np.testing.assert_allclose(MEAN.of(values), [0.5, 0.6])
        np.testing.assert_allclose(Preference("worst", {}).of(values), [0.2, 0.6])
        np.testing.assert_allclose(Preference.parse("b=3,a=1", TASKS).of(values), [0.65, 0.6])

    def test_as_text(self) -> None:
        assert str(MEAN) == "the mean over tasks"
        assert str(Preference("worst", {})) == "the worst task"
        assert str(Preference.parse("b=3,a=1", TASKS)) == "the mean weighted a 25%, b 75%"


class TestFloor:
    @pytest.mark.parametrize(
        ("text", "expected", "shown"),
        [
            ("b>=0.85", Floor("b", 0.85, False), "b>=0.85"),
            (" all >= 97% ", Floor("all", 0.97, True), "all>=97% of its single-task metric"),
            ("a>=97.5%", Floor("a", 0.975, True), "a>=97.5000% of its single-task metric"),
            ("a>=-1e-1", Floor("a", -0.1, False), "a>=-0.1"),
            ("all>=0", Floor("all", 0.0, False), "all>=0"),
        ],
    )
    def test_parse_and_back(self, text: str, expected: Floor, shown: str) -> None:
        found = Floor.parse(text, TASKS)
        assert found.task == expected.task
        assert found.bound == pytest.approx(expected.bound)
        assert found.relative == expected.relative
        assert str(found) == shown

    @pytest.mark.parametrize(
        "text", ["", "b", "b>0.85", "b=0.85", "b>=", "b>=x", "b>=1e", "b>=1e999", "c>=0.5", "b>=0.5 a>=0.5", "all>=0%", "a>=-5%"]
    )
    def test_what_cannot_be_read_shows_how(self, text: str) -> None:
        with pytest.raises(WeightsError, match=r"is not understood; write a>=0\.85 or all>=97%, with tasks among a, b"):
            Floor.parse(text, TASKS)


class TestWithoutFloors:
    def test_the_best_mean(self) -> None:
        found = recommend(surface(), MEAN)  # means .55 .675 .65 .6 .45
        assert chosen(found) == 0.75
        assert found.expected == {"a": 0.85, "b": 0.5}
        assert found.value == pytest.approx(0.675)
        assert found.gain == pytest.approx(0.025)
        assert found.floors_met
        assert found.method == "simple"
        assert found.reason == "best preview of the mean over tasks among 5 weightings"
        assert [(weights["a"], value) for weights, value in found.runners_up] == [(0.5, 0.65), (0.25, 0.6), (1.0, 0.55)]

    def test_the_best_worst_task_and_the_best_weighted_mean(self) -> None:
        assert chosen(recommend(surface(), Preference("worst", {}))) == 0.5
        assert chosen(recommend(surface(), Preference.parse("b=1", TASKS))) == 0.0
        assert chosen(recommend(surface(), Preference.parse("a=3,b=1", TASKS))) == 0.75

    def test_lower_is_better(self) -> None:
        found = recommend(surface(headlines=MIXED), MEAN)  # (a - b) / 2: .35 .175 ...
        assert chosen(found) == 1.0
        assert found.expected == {"a": 0.9, "b": 0.2}
        assert found.value == pytest.approx(0.35)

    def test_ties_go_to_the_more_even_weights(self) -> None:
        assert chosen(recommend(surface([(0.5, 0.5)] * 5), MEAN)) == 0.5
        found = recommend(surface([(0.5, 0.5), (0.5, 0.5 + 1e-12), (0.4, 0.4), (0.5, 0.5), (0.5, 0.5)]), MEAN)
        assert chosen(found) in (0.25, 0.75)

    def test_runners_up_are_as_many_as_asked_for(self) -> None:
        assert len(recommend(surface(), MEAN, runners_up=1).runners_up) == 1
        assert len(recommend(surface(), MEAN, runners_up=9).runners_up) == 4

    def test_no_gain_is_named_without_a_preview_near_uniform_weights(self) -> None:
        assert recommend(surface([(1.0, 0.0), (0.0, 1.0)], grid=corners(TASKS)), MEAN).gain is None

    def test_no_previews(self) -> None:
        with pytest.raises(StudyError, match="no previews to recommend from"):
            recommend(Surface(UP, ()), MEAN)


class TestFloors:
    def test_an_absolute_floor_narrows_the_choice(self) -> None:
        found = recommend(surface(), MEAN, [Floor("b", 0.65, False)])
        assert chosen(found) == 0.25
        assert found.floors_met
        assert found.reason == "best preview of the mean over tasks among the 2 of 5 weightings that keep b>=0.65"

    def test_a_floor_just_reached_is_met(self) -> None:
        assert chosen(recommend(surface(), MEAN, [Floor("b", 0.6, False)])) == 0.5

    def test_a_relative_floor_is_a_share_of_the_single_task_metric(self) -> None:
        # single: a .9, b .8; 60% of them .54 and .48
        found = recommend(surface(), Preference("worst", {}), [Floor("all", 0.6, True)])
        assert chosen(found) == 0.5
        assert found.floors_met
        found = recommend(surface(), MEAN, [Floor("b", 0.99, True)])
        assert chosen(found) == 0.0

    def test_several_floors_must_all_hold(self) -> None:
        found = recommend(surface(), Preference.parse("b=1", TASKS), [Floor("a", 0.5, False), Floor("b", 0.5, False)])
        assert chosen(found) == 0.25
        assert found.reason.endswith("among the 3 of 5 weightings that keep a>=0.5 and b>=0.5")

    def test_floors_that_cannot_be_kept_are_missed_least(self) -> None:
        # shortfall of all >= .69: .49 .19 .09 .19 .59
        found = recommend(surface(), Preference.parse("a=1", TASKS), [Floor("all", 0.69, False)])
        assert chosen(found) == 0.5
        assert not found.floors_met
        assert found.reason == "no previewed weighting keeps all>=0.69; this one misses by 0.09, the least"

    def test_an_error_must_stay_below_its_floor(self) -> None:
        found = recommend(surface(headlines=MIXED), Preference.parse("a=1", TASKS), [Floor("b", 0.55, False)])
        assert chosen(found) == 1.0
        assert found.floors_met
        found = recommend(surface(headlines=MIXED), Preference.parse("b=1", TASKS), [Floor("b", 0.1, False)])
        assert chosen(found) == 1.0
        assert not found.floors_met

    def test_a_relative_floor_lets_an_error_grow_by_its_inverse(self) -> None:
        values = [(0.9, 0.5), (0.8, 0.26), (0.7, 0.24), (0.6, 0.21), (0.1, 0.2)]  # 80% of an error of .2 allows .25
        found = recommend(surface(values, MIXED), Preference.parse("a=1", TASKS), [Floor("b", 0.8, True)])
        assert chosen(found) == 0.5

    def test_a_relative_floor_needs_the_corner(self) -> None:
        with pytest.raises(StudyError, match="needs the preview at weights b=1"):
            recommend(surface(VALUES[:3], grid=GRID[:3]), MEAN, [Floor("b", 0.9, True)])
