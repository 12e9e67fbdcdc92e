from dataclasses import replace

import transformers

from foretaste.loss.squared import Squared
from foretaste.metrics import METRICS
from foretaste.sources.kinds import TEXT_CLASSIFICATION
from foretaste.sources.transformers import predict_classes


def test_references_are_followed() -> None:
    kind = replace(TEXT_CLASSIFICATION, loss="foretaste.loss.squared:Squared")
    assert kind.new_loss() == Squared()
    assert kind.model_class is transformers.AutoModelForSequenceClassification
    assert kind.predictor() is predict_classes
    assert kind.metric_named("f1") is METRICS["f1"]


def test_a_kind_is_shown_in_one_line() -> None:
    assert "\n" not in repr(TEXT_CLASSIFICATION)
