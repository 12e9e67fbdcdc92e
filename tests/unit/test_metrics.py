import math

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, r2_score
from sklearn.metrics import mean_absolute_error as absolute_error

from foretaste.loss.class_labels import IGNORED
from foretaste.metric_kinds import AnyMetric, Metric, ModelMetric, Predictions, TextMetric
from foretaste.metrics import (
    LABEL_SET_METRICS,
    METRICS,
    REGRESSION_METRICS,
    SEQUENCE_METRICS,
    accuracy,
    exact_match,
    example_sums,
    f1,
    macro_f1,
    mcc,
    mean_absolute_error,
    perplexity,
    r2,
)
from laws import random

LABELS = torch.randint(0, 3, (7, 5), generator=random(2))
LABELS[0, 2:] = IGNORED
LABELS[3] = IGNORED


class TestMetrics:
    @pytest.mark.parametrize("classes", [2, 3, 7])
    @pytest.mark.parametrize("seed", range(3))
    def test_they_agree_with_scikit_learn(self, classes: int, seed: int) -> None:
        predicted, labels = torch.randint(0, classes, (2, 40), generator=random(seed))
        average = "binary" if classes == 2 else "macro"
        assert f1(predicted, labels) == f1_score(labels.numpy(), predicted.numpy(), average=average)
        assert mcc(predicted, labels) == pytest.approx(matthews_corrcoef(labels.numpy(), predicted.numpy()))
        assert accuracy(predicted, labels) == pytest.approx(
            sum(p == y for p, y in zip(predicted, labels, strict=True)) / 40
        )

    @pytest.mark.parametrize("metric", METRICS)
    def test_perfect_predictions_score_one(self, metric: str) -> None:
        labels = torch.tensor([0, 1, 2, 1])
        assert METRICS[metric].compute(labels, labels) == 1.0
        assert METRICS[metric].higher_is_better

    def test_a_single_class_is_no_reason_to_fail_or_warn(self) -> None:
        zeros, ones = torch.zeros(3).long(), torch.ones(3).long()
        assert (f1(zeros, zeros), f1(ones, ones)) == (0.0, 1.0)
        assert (mcc(zeros, zeros), mcc(ones, ones), mcc(zeros, ones)) == (0.0, 0.0, 0.0)

    def test_a_class_that_is_never_predicted_does_not_warn(self) -> None:
        assert f1(torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2])) == pytest.approx(1 / 6)


class TestSequenceMetrics:
    def test_directions(self) -> None:
        assert {name: metric.higher_is_better for name, metric in SEQUENCE_METRICS.items()} == {
            "perplexity": False,
            "token_accuracy": True,
            "exact_match": True,
        }

    def test_a_perplexity_beyond_numbers_is_a_large_number(self) -> None:
        bad = Predictions(torch.full((1, 2), 1e6), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2).bool())
        assert perplexity(bad) == math.exp(700)

    @pytest.mark.parametrize("wrong", [[], [(0, 1)], [(0, 1), (0, 0)], [(0, 1), (1, 0), (4, 2)]])
    def test_one_wrong_token_spoils_its_row(self, wrong: list[tuple[int, int]]) -> None:
        predicted = LABELS.clone()
        predicted[predicted == IGNORED] = 1
        for place in wrong:
            predicted[place] = 9
        rows = {row for row, _ in wrong}
        seen = Predictions(torch.zeros(7, 5), predicted, LABELS, LABELS != IGNORED)
        assert exact_match(seen) == pytest.approx(1 - len(rows) / 6)  # one has no labels


def seen_tokens(count: int = 30) -> Predictions:
    labels, predicted = torch.randint(0, 3, (2, count, 4), generator=random(0))
    labels[torch.rand(labels.shape, generator=random(1)) < 0.3] = IGNORED
    labels[0] = IGNORED
    lost = torch.rand(labels.shape, generator=random(2)).double()
    return Predictions(torch.where(labels == IGNORED, 0.0, lost), predicted, labels, labels != IGNORED)


class TestNumbers:
    """Of regression, with targets that are missing."""

    def seen(self) -> Predictions:
        targets, predicted = torch.randn(2, 20, 3, generator=random(0))
        targets[4:9, 1] = torch.nan
        return Predictions(torch.zeros(20, 3).double(), predicted, targets, ~targets.isnan())

    def test_they_agree_with_scikit_learn_number_by_number(self) -> None:
        seen = self.seen()
        pairs = [
            (seen.labels[seen.counted[:, d], d].numpy(), seen.predicted[seen.counted[:, d], d].numpy())
            for d in range(3)
        ]
        assert r2(seen) == pytest.approx(sum(r2_score(*pair) for pair in pairs) / 3)
        flat = seen.labels[seen.counted].numpy(), seen.predicted[seen.counted].numpy()
        assert mean_absolute_error(seen) == pytest.approx(absolute_error(*flat))

    def test_too_few_targets_are_no_reason_to_fail_or_warn(self) -> None:
        one = Predictions(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1).bool())
        assert (r2(one), mean_absolute_error(one)) == (0.0, 1.0)
        none = Predictions(
            torch.zeros(2, 1), torch.zeros(2, 1), torch.full((2, 1), torch.nan), torch.zeros(2, 1).bool()
        )
        assert (r2(none), mean_absolute_error(none)) == (0.0, 0.0)

    def test_directions(self) -> None:
        found = {name: metric.higher_is_better for name, metric in REGRESSION_METRICS.items()}
        assert found == {"r2": True, "mean_absolute_error": False}


class TestLabelSets:
    def test_they_agree_with_scikit_learn(self) -> None:
        predicted, sets = torch.randint(0, 2, (2, 20, 4), generator=random(0))
        seen = Predictions(torch.zeros(20, 4), predicted, sets.float(), torch.ones(20, 4).bool())
        assert macro_f1(seen) == pytest.approx(f1_score(sets.numpy(), predicted.numpy(), average="macro"))
        assert exact_match(seen) == pytest.approx(accuracy_score(sets.numpy(), predicted.numpy()))
        assert set(LABEL_SET_METRICS) == {"macro_f1", "exact_match"}

    @pytest.mark.parametrize("label", [0.0, 1.0])
    def test_a_label_that_all_or_none_have_does_not_warn(self, label: float) -> None:
        sets, guess = torch.full((3, 1), label), torch.full((3, 1), int(label))
        assert macro_f1(Predictions(torch.zeros(3, 1), guess, sets, torch.ones(3, 1).bool())) == label
        assert macro_f1(Predictions(torch.zeros(3, 1), 1 - guess, sets, torch.ones(3, 1).bool())) == 0.0

    def test_labels_that_nobody_knows_are_left_out(self) -> None:
        sets, predicted = torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), torch.tensor([[1, 0], [0, 1]])
        seen = Predictions(torch.zeros(2, 2), predicted, sets, ~sets.isnan())
        assert (macro_f1(seen), exact_match(seen)) == (1.0, 1.0)


@pytest.mark.parametrize(
    "metric",
    [
        METRICS["accuracy"],
        REGRESSION_METRICS["mean_absolute_error"],
        *SEQUENCE_METRICS.values(),
        Metric("right", accuracy),
    ],
    ids=lambda metric: metric.name,
)
def test_what_examples_add_makes_the_metric(metric: AnyMetric) -> None:
    seen = seen_tokens()
    found = example_sums(metric, seen)
    assert found is not None
    assert found.added.shape == found.counts.shape == (30,)
    ratio = float(found.added.sum() / found.counts.sum())
    assert (math.exp(ratio) if found.exponential else ratio) == pytest.approx(metric.of(seen), rel=1e-12)
    half = Predictions(seen.losses[10:], seen.predicted[10:], seen.labels[10:], seen.counted[10:])
    parts = example_sums(metric, half)
    assert parts is not None
    assert torch.equal(parts.added, found.added[10:])


@pytest.mark.parametrize(
    "metric",
    [
        METRICS["f1"],
        METRICS["mcc"],
        REGRESSION_METRICS["r2"],
        LABEL_SET_METRICS["macro_f1"],
        Metric("accuracy", lambda predicted, labels: 0.5),
        TextMetric("bleu", lambda written, wanted: 1.0),
        ModelMetric("acc"),
    ],
)
def test_of_other_metrics_nobody_knows(metric: AnyMetric) -> None:
    assert example_sums(metric, seen_tokens()) is None
