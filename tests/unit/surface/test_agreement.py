from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from foretaste.errors import StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.agreement import agreement, agreement_without_anchor, spearman
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

TASKS = ("a", "b")
UP = {task: Headline("accuracy") for task in TASKS}
MIXED = {"a": Headline("accuracy"), "b": Headline("error", higher_is_better=False)}
GRID = lattice(TASKS, 4)


def surface(
    headlines: dict[str, Headline], values: Sequence[tuple[float, float]], grid: Sequence[TaskWeights] = GRID
) -> Surface:
    rows = [
        Evaluation(
            weights,
            {
                task: {headline.metric: value, "loss": 2 * value}
                for (task, headline), value in zip(headlines.items(), pair, strict=True)
            },
            Fidelity.JOINT,
            "joint",
        )
        for weights, pair in zip(grid, values, strict=False)
    ]
    return Surface(headlines, tuple(rows))


SEEN = [(0.9, 0.1), (0.8, 0.5), (0.6, 0.6), (0.4, 0.7), (0.1, 0.8)]
REAL = [(0.9, 0.2), (0.7, 0.5), (0.7, 0.7), (0.5, 0.7), (0.2, 0.7)]


class TestKnownAnswers:
    FOUND = agreement(surface(UP, SEEN), surface(UP, REAL), "diagonal")

    def test_errors(self) -> None:
        assert self.FOUND.method == "diagonal"
        assert self.FOUND.points == 5
        assert self.FOUND.error == pytest.approx({"a": 0.08, "b": 0.06})
        assert self.FOUND.loss_error == pytest.approx({"a": 0.16, "b": 0.12})
        assert self.FOUND.mean_error == pytest.approx(0.07)

    def test_ranks(self) -> None:
        assert self.FOUND.rank["a"] == pytest.approx(spearmanr([9, 8, 6, 4, 1], [9, 7, 7, 5, 2]).statistic)
        assert self.FOUND.rank["b"] == pytest.approx(spearmanr([1, 5, 6, 7, 8], [2, 5, 7, 7, 7]).statistic)
        # means: seen .5 .65 .6 .55 .45, real .55 .6 .7 .6 .45; worst: seen .1 .5 .6 .4 .1, real .2 .5 .7 .5 .2
        assert self.FOUND.rank_mean == pytest.approx(spearmanr([50, 65, 60, 55, 45], [55, 60, 70, 60, 45]).statistic)
        assert self.FOUND.rank_worst == pytest.approx(spearmanr([1, 5, 6, 4, 1], [2, 5, 7, 5, 2]).statistic)

    def test_the_top_is_where_joint_is_best(self) -> None:
        # the best three joint means are .7 .6 .6, where the previews say .6 .65 .55
        assert self.FOUND.rank_top == pytest.approx(spearmanr([60, 65, 55], [70, 60, 60]).statistic)

    def test_regrets(self) -> None:
        # the previews' best mean is the second point, where joint has .6 of .7; their best worst is the third, joint's
        # too
        assert self.FOUND.regret_mean == pytest.approx(0.1)
        assert self.FOUND.regret_worst == pytest.approx(0.0)
        assert self.FOUND.spread == pytest.approx(0.25)


def test_lower_is_better_is_turned_round() -> None:
    seen, real = surface(MIXED, SEEN), surface(MIXED, REAL)
    found = agreement(seen, real)
    assert found.error == pytest.approx({"a": 0.08, "b": 0.06})
    assert found.rank["b"] == TestKnownAnswers.FOUND.rank["b"]
    # oriented means: seen .4 .15 0 -.15 -.35, real .35 .1 0 -.1 -.25: the same order, first best
    assert found.rank_mean == 1.0
    assert found.regret_mean == 0.0
    # oriented worst: seen -.1 -.5 -.6 -.7 -.8 and real -.2 -.5 -.7 -.7 -.7, both best at the first point
    assert found.regret_worst == 0.0
    assert found.spread == pytest.approx(0.6)


def test_a_preview_that_points_the_wrong_way_has_regret() -> None:
    found = agreement(
        surface(UP, [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)]), surface(UP, [(0.1, 0.1), (0.2, 0.2), (0.7, 0.3)])
    )
    assert found.rank_mean == -1.0
    assert found.regret_mean == pytest.approx(0.4)
    assert found.regret_worst == pytest.approx(0.2)


def test_only_weightings_with_both_count_and_seeds_are_averaged() -> None:
    joint = surface(UP, [(0.4, 0.4), (0.6, 0.8), (0.0, 0.0)], [GRID[1], GRID[1], GRID[2]])
    previews = surface(UP, [(0.3, 0.3), (0.3, 0.5)], [GRID[0], GRID[1]])
    found = agreement(previews, joint)
    assert found.points == 1
    assert found.error == pytest.approx({"a": 0.2, "b": 0.1})


def test_row_order_does_not_matter() -> None:
    turned = Surface(UP, surface(UP, SEEN).rows[::-1])
    assert agreement(turned, surface(UP, REAL), "diagonal") == TestKnownAnswers.FOUND


def test_the_top_is_a_quarter_of_many() -> None:
    grid = lattice(TASKS, 15)
    real = [(index / 15, index / 15) for index in range(16)]
    seen = [(a, b) if index < 12 else (1 - a, 1 - b) for index, (a, b) in enumerate(real)]
    found = agreement(surface(UP, seen, grid), surface(UP, real, grid))
    assert found.rank_top == -1.0
    assert found.rank_mean is not None
    assert found.rank_mean > -0.5


@pytest.mark.parametrize("levels", [3, 10, 1000])
def test_spearman_is_scipy_s_with_ties_too(levels: int) -> None:
    generator = np.random.default_rng(levels)
    left, right = generator.integers(levels, size=(2, 40)).astype(float)
    assert spearman(left, right) == pytest.approx(float(spearmanr(left, right).statistic), abs=1e-12)


class TestUndefinedRanks:
    def test_fewer_than_three_points(self) -> None:
        found = agreement(surface(UP, SEEN[:2]), surface(UP, REAL[:2]))
        assert found.points == 2
        assert (found.rank["a"], found.rank_mean, found.rank_worst, found.rank_top) == (None, None, None, None)

    def test_no_variation(self) -> None:
        found = agreement(surface(UP, [(0.5, x) for _, x in SEEN]), surface(UP, REAL))
        assert found.rank["a"] is None
        assert found.rank["b"] is not None

    def test_spearman_itself(self) -> None:
        assert spearman(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
        assert spearman(np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0])) is None
        assert spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0])) is None
        assert spearman(np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.2, 9.0])) == -1.0


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(StudyError, match="no weighting has both a preview and a joint run"):
        agreement(surface(UP, SEEN[:1]), surface(UP, REAL[:1], [GRID[3]]))
    with pytest.raises(StudyError, match="foretaste confirm"):
        agreement(Surface(UP, ()), Surface(UP, ()))


def test_a_preview_that_is_the_joint_run_itself_makes_no_error_smaller() -> None:
    known = agreement(surface(UP, [*SEEN[:-1], REAL[-1]]), surface(UP, REAL))
    others = agreement(surface(UP, SEEN[:-1]), surface(UP, REAL[:-1]))
    assert known.error == pytest.approx(others.error)
    assert known.loss_error == pytest.approx(others.loss_error)
    assert known.points == 5  # it may still be chosen, and is ranked with the others


def test_regret_averages_over_weightings_that_share_the_best_place() -> None:
    real = [(0.1, 0.1), (0.2, 0.2), (0.7, 0.3)]
    found = agreement(surface(UP, [(0.5, 0.5), (0.2, 0.8), (0.1, 0.1)]), surface(UP, real))
    assert found.regret_mean == pytest.approx(0.5 - (0.1 + 0.2) / 2)
    assert found.regret_worst == pytest.approx(0.3 - 0.1)


def test_the_joint_run_that_anchored_the_previews_does_not_judge_them() -> None:
    seen = surface(UP, [*SEEN[:2], REAL[2], *SEEN[3:]])
    found = agreement_without_anchor(seen, surface(UP, REAL), "anchored")
    others = [0, 1, 3, 4]
    assert (found.points, found.left_out) == (4, 1)
    direct = agreement(
        surface(UP, [SEEN[place] for place in others], [GRID[place] for place in others]), surface(UP, REAL), "anchored"
    )
    assert found == replace(direct, left_out=1)
    assert agreement_without_anchor(seen, surface(UP, REAL), "anchored", 10).left_out == 1
    assert agreement_without_anchor(seen, surface(UP, REAL), "kronecker") == agreement(
        seen, surface(UP, REAL), "kronecker"
    )


def test_a_joint_run_elsewhere_judges_anchored_previews_too() -> None:
    real = surface(UP, REAL[:2])
    assert agreement_without_anchor(surface(UP, SEEN), real, "anchored") == agreement(
        surface(UP, SEEN), real, "anchored"
    )


def test_where_no_other_is_left_nothing_is_known() -> None:
    found = agreement_without_anchor(surface(UP, SEEN), surface(UP, REAL[2:3], GRID[2:3]), "anchored")
    assert (found.points, found.left_out, found.rank_mean) == (0, 1, None)
    assert np.isnan([found.mean_error, found.regret_mean, found.spread]).all()
