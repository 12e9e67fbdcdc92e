import pytest

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.sources.language_metrics import harness_for, metric_named, metrics_named, metrics_of
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.request import HarnessMetric, TaskRequest
from foretaste.sources.texts import TEXT_METRICS
from foretaste.sources.tokens import Tokens


def test_metrics_come_from_three_places() -> None:
    assert metric_named("perplexity") is SEQUENCE_METRICS["perplexity"]
    assert metric_named("bleu") is TEXT_METRICS["bleu"]
    assert isinstance(metric_named("arc_easy:acc"), HarnessMetric)
    assert metrics_named(["chrf", "exact_match"]) == (metric_named("chrf"), metric_named("exact_match"))


def plan(*metrics: str) -> TaskRequest:
    return TaskRequest("a", "train.jsonl", "validation.jsonl", metrics_named(metrics))


def test_no_harness_is_made_for_metrics_of_foretaste(checkpoints: Checkpoints) -> None:
    tokens = Tokens(tokenizer_at(str(checkpoints.gpt2)), 16, 100)
    assert harness_for([plan("perplexity")], "causal-lm", tokens, None) is None
    assert list(metrics_of(plan("perplexity", "bleu"), None)) == list(metrics_named(["perplexity", "bleu"]))


def test_the_harness_is_refused_for_models_that_it_cannot_measure(checkpoints: Checkpoints) -> None:
    tokens = Tokens(tokenizer_at(str(checkpoints.gpt2)), 16, 100)
    with pytest.raises(DataError, match="are for causal-lm alone, not seq2seq; remove them") as caught:
        harness_for([plan("perplexity", "arc_easy:acc")], "seq2seq", tokens, None)
    assert caught.value.field == ("tasks",)


def test_metrics_of_classifiers_are_not_metrics_of_language_models() -> None:
    with pytest.raises(KeyError):
        metric_named(next(iter(METRICS)))
