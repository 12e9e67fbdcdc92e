import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from foretaste.evaluate import evaluate
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params, average
from foretaste.simplex import lattice
from foretaste.surface.mergeability import Corner, Pair, corner_of, pairs_of, paths
from foretaste.surface.table import Headline, Surface
from foretaste.train.finetune import finetune
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, corners
from problems import blobs

ACCURACY = Headline("accuracy")
LINE = (0.0, 0.25, 0.5, 0.75, 1.0)


def surface(
    tasks: str, metrics: Callable[[TaskWeights, str], Mapping[str, float]], points: list[TaskWeights] | None = None
) -> Surface:
    rows = [
        Evaluation(w, {t: metrics(w, t) for t in tasks}, Fidelity.PREVIEW, "simple")
        for w in points or paths(list(tasks))
    ]
    return Surface(dict.fromkeys(tasks, ACCURACY), tuple(rows))


def pair(
    own: tuple[float, float],
    half: tuple[float, float],
    losses: tuple[float, ...] = (1.0, 0.5, 1.0),
    headline: Headline = ACCURACY,
    own_loss: float = 0.4,
) -> Pair:
    shares = (0.0, 0.5, 1.0) if len(losses) == 3 else LINE
    return Pair(
        ("a", "b"),
        shares,
        losses,
        dict(zip("ab", own, strict=True)),
        dict(zip("ab", half, strict=True)),
        own_loss,
        dict.fromkeys("ab", headline),
    )


class TestPaths:
    @pytest.mark.parametrize(("tasks", "count"), [("ab", 5), ("abc", 12), ("abcd", 22)])
    def test_corners_and_three_points_between_each_two(self, tasks: str, count: int) -> None:
        found = paths(list(tasks))
        assert len(found) == len(set(found)) == count
        assert found[: len(tasks)] == corners(list(tasks))
        assert all(sum(share > 0 for share in weights.values()) == 2 for weights in found[len(tasks) :])

    def test_they_are_all_that_pairs_need(self) -> None:
        found = pairs_of(surface("abc", lambda w, t: {"loss": 1.0, "accuracy": w[t]}))
        assert [each.tasks for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
        assert {each.shares for each in found} == {LINE}


class TestPairs:
    def test_losses_are_the_mean_of_the_two_tasks_alone(self) -> None:
        found = pairs_of(
            surface(
                "abc", lambda w, t: {"loss": {"a": 1 - w["a"], "b": 2 * (1 - w["b"]), "c": 100.0}[t], "accuracy": w[t]}
            )
        )[0]
        assert found.losses == pytest.approx([(share + 2 * (1 - share)) / 2 for share in LINE])
        assert found.own_loss == 0.0
        assert (found.own, found.half) == ({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.5})

    def test_the_barrier_is_the_largest_rise_above_the_line(self) -> None:
        found = pair((1, 1), (1, 1), (1.0, 1.0, 2.0, 3.5, 3.0))
        assert found.barrier == pytest.approx(1.0)
        assert (found.peak, found.half_loss) == (0.75, 2.0)
        assert found.is_barred
        assert found.verdict == "fails"

    @pytest.mark.parametrize("losses", [(1.0, 0.4, 1.0), (1.0, 1.5, 2.0), (3.0, 2.0, 1.0)])
    def test_below_the_line_there_is_none(self, losses: tuple[float, ...]) -> None:
        found = pair((1, 1), (1, 1), losses)
        assert (found.barrier, found.is_barred) == (0.0, False)

    def test_a_barrier_within_a_twentieth_of_the_loss_is_none_that_counts(self) -> None:
        assert [pair((1, 1), (1, 1), (1.0, rise, 1.0)).verdict for rise in (1.04, 1.06)] == ["sound", "fails"]

    def test_a_loss_that_is_no_number_bars_the_way(self) -> None:
        found = pair((1, 1), (1, 1), (1.0, math.nan, 1.0))
        assert (found.barrier, found.peak, found.verdict) == (math.inf, 0.5, "fails")

    @pytest.mark.parametrize(
        ("half", "verdict"),
        [(0.9, "sound"), (0.875, "sound"), (0.86, "loses"), (0.5, "loses"), (0.44, "fails"), (0.0, "fails")],
    )
    def test_verdicts_by_what_is_kept(self, half: float, verdict: str) -> None:
        assert pair((0.9, 0.9), (half, half)).verdict == verdict

    @pytest.mark.parametrize(
        ("half", "verdict"), [(10.0, "sound"), (11.5, "sound"), (12.5, "loses"), (99.0, "loses"), (101.0, "fails")]
    )
    def test_verdicts_where_less_is_better(self, half: float, verdict: str) -> None:
        found = pair((10.0, 10.0), (half, half), headline=Headline("perplexity", higher_is_better=False))
        assert found.kept == pytest.approx(10 / half)
        assert found.verdict == verdict

    def test_one_task_may_make_up_for_the_other(self) -> None:
        found = pair((0.9, 0.8), (0.88, 0.84))
        assert found.kept == pytest.approx((0.88 / 0.9 + 0.84 / 0.8) / 2)
        assert found.verdict == "sound"
        assert pair((0.9, 0.8), (0.7, 0.8)).verdict == "loses"

    def test_below_zero_nothing_is_kept(self) -> None:
        assert pair((0.8, 0.8), (-0.2, 0.8), headline=Headline("mcc")).kept == 0.5

    @pytest.mark.parametrize(("loss", "verdict"), [(0.47, "sound"), (0.5, "loses"), (3.0, "loses")])
    def test_a_metric_without_shares_leaves_the_loss(self, loss: float, verdict: str) -> None:
        found = pair((0.0, -1.0), (0.5, 0.5), (9.0, loss, 9.0), own_loss=0.4)
        assert found.kept is None
        assert found.verdict == verdict

    def test_rows_that_are_there_are_enough(self) -> None:
        """A lattice has half-way points where its resolution is even, and quarters where it is a multiple of four."""

        def metrics(weights: TaskWeights, task: str) -> Mapping[str, float]:
            return {"loss": 1.0, "accuracy": weights[task]}

        by_resolution = {
            n: [each.shares for each in pairs_of(surface("ab", metrics, lattice("ab", n)))] for n in (3, 4, 6)
        }
        assert by_resolution == {3: [], 4: [LINE], 6: [(0.0, 0.5, 1.0)]}


@cache
def trained() -> tuple[nn.Module, list[Params]]:
    """A network, and what two orders of the same examples make of it."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    training = Training(steps=300, batch_size=20, learning_rate=0.03)
    return net, [finetune(net, None, blobs("a", 3, count=200), replace(training, seed=seed)).params for seed in (0, 1)]


class TestRealNetworks:
    """The line between a network and others that learned the same."""

    @staticmethod
    def between(net: nn.Module, one: Params, other: Params) -> Pair:
        task = blobs("a", 3, count=200)
        rows = []
        for weights in paths("ab"):
            params = {name: average([(weights["a"], one[name]), (weights["b"], other[name])]) for name in one}
            found = evaluate(net, params, [task])["a"].metrics
            rows.append(Evaluation(weights, {"a": found, "b": found}, Fidelity.PREVIEW, "simple"))
        return pairs_of(Surface({"a": ACCURACY, "b": ACCURACY}, tuple(rows)))[0]

    def test_from_one_start_there_is_no_barrier_and_averaging_is_sound(self) -> None:
        net, runs = trained()
        found = self.between(net, *runs)
        assert not found.is_barred
        assert found.verdict == "sound"

    def test_with_its_units_in_another_order_there_is_one(self) -> None:
        """The same function at both ends, so every rise is barrier."""
        net, (own, _) = trained()
        turned = {
            "0.weight": own["0.weight"].roll(5, 0),
            "0.bias": own["0.bias"].roll(5, 0),
            "2.weight": own["2.weight"].roll(5, 1),
        }
        found = self.between(net, own, {**own, **turned})
        assert found.losses[0] == pytest.approx(found.losses[-1], rel=1e-4)
        assert found.is_barred
        assert 0 < found.peak < 1
        assert found.verdict == "fails"


class TestCorners:
    @staticmethod
    def rows(shift: float) -> list[Evaluation]:
        return [
            Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t] - shift} for t in w}, Fidelity.PREVIEW, "mixture")
            for w in corners("ab")
        ]

    def found(self, shift: float, **alone: float) -> Corner:
        known = {task: {"loss": 1.0, "accuracy": 1.0, **alone} for task in "ab"}
        return corner_of("mixture", self.rows(shift), known, dict.fromkeys("ab", ACCURACY))

    def test_the_same_but_for_rounding(self) -> None:
        assert self.found(0.0).exact
        assert self.found(1e-8).exact
        assert self.found(0.0).off == {"a": 0.0, "b": 0.0}

    def test_others(self) -> None:
        found = self.found(0.02)
        assert not found.exact
        assert found.off == pytest.approx({"a": -0.02, "b": -0.02})

    def test_every_metric_counts_that_the_preview_has(self) -> None:
        assert not self.found(0.0, loss=1.1).exact
        assert self.found(0.0, bleu=30.0).exact  # an ensemble has none
