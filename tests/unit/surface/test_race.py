import math

import numpy as np
import pytest

from foretaste.surface.preference import Floor, Preference
from foretaste.surface.race import ERROR, Goal, Tally, compare_candidates
from foretaste.surface.table import Array, Headline

MEAN, WORST = Preference("mean", {}), Preference("worst", {})
HEADS = {task: Headline("accuracy") for task in "ab"}
LEVEL = 0.01


def tallies(right: Array, whole: int | None = None) -> dict[str, Tally]:
    """`[A, T, m]` of right and wrong answers."""
    size = right.shape[2]
    return {task: Tally(right[:, place].astype(float), np.ones(size), whole or size) for place, task in enumerate("ab")}


def drawn(chances: Array, size: int, seed: int) -> Array:
    """`[A, T, m]`: answers that are right with these chances `[A, T]`; hard examples are hard for all."""
    random = np.random.default_rng(seed)
    return np.asarray(random.random((1, chances.shape[1], size)) < chances[:, :, None])


def independent(chances: Array, size: int, seed: int) -> Array:
    return np.asarray(np.random.default_rng(seed).random((*chances.shape, size)) < chances[:, :, None])


def test_the_metric_is_a_ratio_of_sums() -> None:
    tally = Tally(np.array([[2.0, 0.0, 3.0]]), np.array([2.0, 1.0, 3.0]), 9)
    assert tally.metric(np.ones((1, 3))).tolist() == [[5 / 6]]
    assert tally.metric(np.array([[0.0, 2.0, 1.0]])).tolist() == [[3 / 5]]
    perplexed = Tally(np.array([[2.0, 4.0], [1e6, 1e6]]), np.array([2.0, 2.0]), 9, exponential=True)
    assert perplexed.metric(np.ones((1, 2)))[0].tolist() == [
        pytest.approx(math.exp(1.5)),
        pytest.approx(math.exp(700.0)),
    ]


@pytest.mark.parametrize("preference", [MEAN, WORST, Preference("weighted", {"a": 0.3, "b": 0.7})])
def test_who_is_clearly_worse_is_beaten(preference: Preference) -> None:
    chances = np.array([[0.9, 0.9], [0.5, 0.5], [0.9, 0.9], [0.88, 0.9]])
    found = compare_candidates(tallies(drawn(chances, 100, 0), 800), Goal(HEADS, preference), LEVEL)
    assert found.leader in (0, 2)
    assert found.beaten.tolist() == [False, True, False, False]
    assert not found.missing.any()
    assert found.behind[found.leader] == found.low[found.leader] == found.high[found.leader] == 0
    assert 0 < found.low[1] < found.behind[1] < found.high[1]
    assert (found.low <= found.behind).all()


def test_the_worst_task_decides_where_it_is_preferred() -> None:
    chances = np.array([[0.7, 0.7], [0.95, 0.4]])
    right = independent(chances, 200, 1)
    assert compare_candidates(tallies(right), Goal(HEADS, WORST), LEVEL, beyond=True).beaten.tolist() == [False, True]
    assert not compare_candidates(tallies(right), Goal(HEADS, MEAN), LEVEL, beyond=True).beaten.any()


def test_less_may_be_better() -> None:
    heads = {task: Headline("perplexity", higher_is_better=False) for task in "ab"}
    random = np.random.default_rng(0)
    losses = random.gamma(2.0, size=(1, 2, 80)) + np.array([0.0, 0.5])[:, None, None]
    seen = {task: Tally(losses[:, place], np.full(80, 4.0), 400, exponential=True) for place, task in enumerate("ab")}
    found = compare_candidates(seen, Goal(heads, MEAN), LEVEL)
    assert found.leader == 0
    assert found.beaten.tolist() == [False, True]


def test_pairs_say_more_than_two_samples_would() -> None:
    """The same difference: on the same hard examples it is sure, on others it is not."""
    chances = np.array([[0.62, 0.62], [0.5, 0.5]])
    paired, apart = (make(chances, 100, 3) for make in (drawn, independent))
    assert compare_candidates(tallies(paired, 800), Goal(HEADS, MEAN), LEVEL).beaten[1]
    found = compare_candidates(tallies(apart, 800), Goal(HEADS, MEAN), LEVEL)
    assert found.high[1] - found.low[1] > 0.2


def test_the_more_was_seen_the_surer_it_is() -> None:
    right = independent(np.array([[0.6, 0.6], [0.5, 0.5]]), 100, 5)
    ends = [
        compare_candidates(tallies(right, whole), Goal(HEADS, MEAN), LEVEL).high[1] for whole in (100, 110, 200, 10**6)
    ]
    beyond = compare_candidates(tallies(right), Goal(HEADS, MEAN), LEVEL, beyond=True)
    assert ends == sorted(ends)
    assert ends[0] == pytest.approx(
        compare_candidates(tallies(right), Goal(HEADS, MEAN), LEVEL).behind[1]
    )  # nothing is left to see
    assert ends[3] == pytest.approx(float(beyond.high[1]), rel=1e-3)


def test_equals_are_never_beaten() -> None:
    right = np.repeat(independent(np.array([[0.6, 0.6]]), 100, 0), 4, axis=0)
    found = compare_candidates(tallies(right, 800), Goal(HEADS, MEAN), LEVEL)
    assert not found.beaten.any()
    assert not found.behind.any()


def test_one_alone_leads() -> None:
    found = compare_candidates(tallies(independent(np.array([[0.6, 0.6]]), 50, 0), 800), Goal(HEADS, MEAN), LEVEL)
    assert (found.leader, found.beaten.tolist()) == (0, [False])


def test_only_who_may_lead_does() -> None:
    right = drawn(np.array([[0.9, 0.9], [0.8, 0.8], [0.3, 0.3]]), 100, 0)
    found = compare_candidates(tallies(right, 800), Goal(HEADS, MEAN), LEVEL, eligible=[False, True, True])
    assert found.leader == 1
    assert found.behind[0] < 0
    assert found.beaten.tolist() == [False, False, True]
    assert compare_candidates(tallies(right, 800), Goal(HEADS, MEAN), LEVEL, leader=2).leader == 2


class TestFloors:
    CHANCES = np.array([[0.9, 0.5], [0.7, 0.75], [0.6, 0.68], [0.7, 0.3]])

    def test_they_come_first(self) -> None:
        goal = Goal(HEADS, MEAN, [Floor("b", 0.6, False)])
        found = compare_candidates(tallies(drawn(self.CHANCES, 300, 0), 2400), goal, LEVEL)
        assert found.leader == 1
        assert found.beaten.tolist() == [True, False, True, True]
        assert found.missing.tolist() == [True, False, False, False]  # the last is behind anyway
        assert found.behind[0] == pytest.approx(0.025, abs=0.03)

    def test_a_leader_that_may_miss_them_beats_none_by_its_value(self) -> None:
        chances, free = np.array([[0.9, 0.75], [0.6, 0.76]]), Goal(HEADS, MEAN)
        seen = tallies(drawn(chances, 300, 0), 2400)
        assert compare_candidates(seen, free, LEVEL).beaten.tolist() == [False, True]
        found = compare_candidates(
            seen, Goal(HEADS, MEAN, [Floor("b", float(seen["b"].added[0].mean()), False)]), LEVEL
        )
        assert found.leader == 0
        assert not found.beaten.any()

    def test_none_keeps_them(self) -> None:
        goal = Goal(HEADS, MEAN, [Floor("all", 0.99, False)])
        found = compare_candidates(tallies(drawn(self.CHANCES, 300, 0), 2400), goal, LEVEL)
        assert found.leader == 1  # misses least
        assert found.beaten.tolist() == found.missing.tolist() == [True, False, True, True]

    def test_relative_ones_need_the_single_task_models(self) -> None:
        goal = Goal(HEADS, MEAN, [Floor("a", 0.9, True)], {"a": 0.95, "b": 0.8})
        assert goal.measures(np.array([[0.9, 0.5]])).tolist() == [pytest.approx(0.7), pytest.approx(0.9 - 0.855)]


@pytest.mark.parametrize("preference", [MEAN, WORST])
def test_the_best_stops_as_rarely_as_is_said(preference: Preference) -> None:
    """Six candidates that are equal but for chance: the hardest case. 40 races of three looks."""
    races, whole, lost = 40, 160, 0
    for seed in range(races):
        right = independent(np.full((6, 2), 0.8), whole, seed)
        full = Goal(HEADS, preference).measures(right.mean(2))
        running = np.arange(6)
        for look in range(1, 4):
            seen = right[running, :, : whole * look // 4]
            found = compare_candidates(tallies(seen, whole), Goal(HEADS, preference), ERROR / 3, seed=look)
            running = running[~found.beaten]
        lost += full[running].max() < full.max()
    assert lost <= races * ERROR + 3 * math.sqrt(races * ERROR)


def test_the_same_seed_says_the_same() -> None:
    right = independent(np.full((3, 2), 0.7), 60, 0)
    one, other = (compare_candidates(tallies(right, 800), Goal(HEADS, MEAN), LEVEL, seed=4) for _ in range(2))
    assert one.low.tolist() == other.low.tolist()
