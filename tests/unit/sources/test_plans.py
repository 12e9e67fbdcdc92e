import pytest
from pydantic import ValidationError

from foretaste.sources.kinds import CAUSAL_LM, IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION
from foretaste.sources.plans import TaskData, TransformersModel, suit_kind
from foretaste.sources.request import HarnessOptions, ModelRequest

DATA = {"train": "t", "validation": "v"}


def test_a_model_is_requested_as_the_recipe_says() -> None:
    fields = {"source": "transformers", "path": "m", "kind": CAUSAL_LM.name, "unit": "example", "harness": {"limit": 3}}
    model = TransformersModel.model_validate(fields)
    assert model.row is CAUSAL_LM
    assert model.request(7) == ModelRequest("m", unit="example", harness=HarnessOptions(limit=3), seed=7)


def test_a_task_is_requested_as_the_recipe_says() -> None:
    task = TaskData.model_validate(
        {**DATA, "text": ["a", "b"], "label": "c", "labels": ["x", 1], "metrics": ["f1"], "max_train": 3}
    )
    request = task.request("news", TEXT_CLASSIFICATION)
    assert (request.inputs, request.label, request.labels, request.max_train) == (("a", "b"), "c", ("x", 1), 3)
    assert [metric.name for metric in request.metrics] == ["f1"]
    assert task.named_roles() == {"text", "label", "labels"}
    assert task.request("news", IMAGE_CLASSIFICATION).inputs == ()


def test_tasks_get_their_kind_s_headline() -> None:
    assert suit_kind(CAUSAL_LM, DATA) == {**DATA, "metrics": ["perplexity"]}
    assert suit_kind(CAUSAL_LM, {**DATA, "metrics": ["bleu"]}) == {**DATA, "metrics": ["bleu"]}
    assert suit_kind(TEXT_CLASSIFICATION, DATA) == DATA


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValidationError, match="Input should be 'accuracy', 'f1'"):
        TaskData.model_validate({**DATA, "metrics": ["rouge"]})
