from dataclasses import replace

import torch

from foretaste.metric_kinds import Metric, ModelMetric, Predictions, SequenceMetric, TextMetric

PREDICTIONS = Predictions(
    torch.tensor([[1.0, 0.0], [2.0, 3.0]]),
    torch.tensor([[4, 5], [6, 7]]),
    torch.tensor([[4, 0], [5, 7]]),
    torch.tensor([[True, False], [True, True]]),
    (("a", "b"), ("c", "c")),
)


def test_of_labels_sees_those_that_count_in_one_row() -> None:
    metric = Metric("pairs", lambda predicted, labels: float(10 * predicted.sum() + labels.sum()))
    assert metric.of(PREDICTIONS) == 10 * (4 + 6 + 7) + 4 + 5 + 7


def test_of_sequences_sees_all() -> None:
    metric = SequenceMetric(
        "loss", lambda predictions: float((predictions.losses * predictions.counted).sum()), higher_is_better=False
    )
    assert (metric.of(PREDICTIONS), metric.higher_is_better) == (6.0, False)


def test_of_texts_sees_what_was_written_and_what_should_have_been() -> None:
    metric = TextMetric("same", lambda written, expected: float(written == ["a", "c"] and expected == ["b", "c"]))
    assert metric.of(PREDICTIONS) == 1.0


def test_of_the_model_is_the_value_that_the_judge_gave() -> None:
    assert (
        ModelMetric("arc:acc", higher_is_better=False).of(replace(PREDICTIONS, judged={"arc:acc": 0.25, "arc": 1.0}))
        == 0.25
    )
