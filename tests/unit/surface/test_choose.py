from collections.abc import Sequence
from dataclasses import replace

import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.choose import Choice, choose
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

TASKS = ("a", "b")
UP = {task: Headline("accuracy") for task in TASKS}
MIXED = {"a": Headline("accuracy"), "b": Headline("error", higher_is_better=False)}
MEAN = Preference("mean", {})
GRID = lattice(TASKS, 4)  # a = 1, .75, .5, .25, 0
VALUES = [(0.9, 0.2), (0.85, 0.5), (0.7, 0.6), (0.5, 0.7), (0.1, 0.8)]


def surface(
    values: Sequence[tuple[float, float]] = VALUES,
    headlines: dict[str, Headline] = UP,
    grid: Sequence[TaskWeights] = GRID,
) -> Surface:
    rows = [
        Evaluation(
            w,
            {task: {head.metric: v} for (task, head), v in zip(headlines.items(), pair, strict=True)},
            Fidelity.PREVIEW,
            "simple",
        )
        for w, pair in zip(grid, values, strict=True)
    ]
    return Surface(headlines, tuple(rows))


def chosen(found: Choice) -> float:
    return found.weights["a"]


class TestWithoutFloors:
    def test_the_best_mean(self) -> None:
        found = choose(surface(), MEAN)  # means .55 .675 .65 .6 .45
        assert chosen(found) == 0.75
        assert found.expected == {"a": 0.85, "b": 0.5}
        assert found.value == pytest.approx(0.675)
        assert found.floors_met
        assert found.missing == 0.0

    def test_the_best_worst_task_and_the_best_weighted_mean(self) -> None:
        assert chosen(choose(surface(), Preference("worst", {}))) == 0.5
        assert chosen(choose(surface(), Preference.parse("b=1", TASKS))) == 0.0
        assert chosen(choose(surface(), Preference.parse("a=3,b=1", TASKS))) == 0.75

    def test_lower_is_better(self) -> None:
        found = choose(surface(headlines=MIXED), MEAN)  # (a - b) / 2: .35 .175 ...
        assert chosen(found) == 1.0
        assert found.expected == {"a": 0.9, "b": 0.2}
        assert found.value == pytest.approx(0.35)

    def test_ties_go_to_the_more_even_weights(self) -> None:
        assert chosen(choose(surface([(0.5, 0.5)] * 5), MEAN)) == 0.5
        found = choose(surface([(0.5, 0.5), (0.5, 0.5 + 1e-12), (0.4, 0.4), (0.5, 0.5), (0.5, 0.5)]), MEAN)
        assert chosen(found) in (0.25, 0.75)

    def test_only_weights_that_train_every_head_are_chosen(self) -> None:
        assert chosen(choose(replace(surface(headlines=MIXED), has_private_heads=True), MEAN)) == 0.75

    def test_single_task_metrics_may_be_given(self) -> None:
        found = choose(surface(VALUES[:3], grid=GRID[:3]), MEAN, [Floor("b", 0.9, True)], {"b": 0.6})
        assert chosen(found) == 0.5
        assert found.floors_met

    def test_no_previews(self) -> None:
        with pytest.raises(StudyError, match="no previews to recommend from"):
            choose(Surface(UP, ()), MEAN)


class TestFloors:
    def test_an_absolute_floor_narrows_the_choice(self) -> None:
        found = choose(surface(), MEAN, [Floor("b", 0.65, False)])
        assert chosen(found) == 0.25
        assert found.floors_met

    def test_a_floor_just_reached_is_met(self) -> None:
        assert chosen(choose(surface(), MEAN, [Floor("b", 0.6, False)])) == 0.5

    def test_a_relative_floor_is_a_share_of_the_single_task_metric(self) -> None:
        # single: a .9, b .8; 60% of them .54 and .48
        found = choose(surface(), Preference("worst", {}), [Floor("all", 0.6, True)])
        assert chosen(found) == 0.5
        assert found.floors_met
        found = choose(surface(), MEAN, [Floor("b", 0.99, True)])
        assert chosen(found) == 0.0

    def test_several_floors_must_all_hold(self) -> None:
        found = choose(surface(), Preference.parse("b=1", TASKS), [Floor("a", 0.5, False), Floor("b", 0.5, False)])
        assert chosen(found) == 0.25

    def test_floors_that_cannot_be_kept_are_missed_least(self) -> None:
        # shortfall of all >= .69: .49 .19 .09 .19 .59
        found = choose(surface(), Preference.parse("a=1", TASKS), [Floor("all", 0.69, False)])
        assert chosen(found) == 0.5
        assert not found.floors_met
        assert found.missing == pytest.approx(0.09)

    def test_an_error_must_stay_below_its_floor(self) -> None:
        found = choose(surface(headlines=MIXED), Preference.parse("a=1", TASKS), [Floor("b", 0.55, False)])
        assert chosen(found) == 1.0
        assert found.floors_met
        found = choose(surface(headlines=MIXED), Preference.parse("b=1", TASKS), [Floor("b", 0.1, False)])
        assert chosen(found) == 1.0
        assert not found.floors_met

    def test_a_relative_floor_lets_an_error_grow_by_its_inverse(self) -> None:
        values = [(0.9, 0.5), (0.8, 0.26), (0.7, 0.24), (0.6, 0.21), (0.1, 0.2)]  # 80% of an error of .2 allows .25
        found = choose(surface(values, MIXED), Preference.parse("a=1", TASKS), [Floor("b", 0.8, True)])
        assert chosen(found) == 0.5

    def test_a_relative_floor_needs_the_corner(self) -> None:
        with pytest.raises(StudyError, match="needs the preview at weights b=1"):
            choose(surface(VALUES[:3], grid=GRID[:3]), MEAN, [Floor("b", 0.9, True)])
