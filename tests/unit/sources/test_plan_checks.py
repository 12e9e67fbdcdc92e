from collections.abc import Mapping

import pytest

from foretaste.errors import RecipeError
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import CAUSAL_LM, SEQ2SEQ, TEXT_CLASSIFICATION
from foretaste.sources.plan_checks import check_columns, check_harness, check_lists, check_metrics, check_model
from foretaste.sources.plans import TaskData, TransformersModel

FIELD = ("tasks", "news")


def task(**fields: object) -> TaskData:
    return TaskData.model_validate({"train": "t", "validation": "v", **fields})


def model(kind: ModelKind, **fields: object) -> TransformersModel:
    return TransformersModel.model_validate({"source": "transformers", "path": "m", "kind": kind.name, **fields})


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"text": ["a", "a"]}, "text", "'a' appears twice"),
        ({"text": ["a", "b", "c"]}, "text", "3 text columns are named"),
        ({"labels": ["a"]}, "labels", "at least two labels"),
    ],
)
def test_lists(fields: Mapping[str, object], field: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        check_lists(task(**fields), FIELD)
    assert caught.value.field == (*FIELD, field)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (TEXT_CLASSIFICATION, {}, "needs the name of the text column"),
        (TEXT_CLASSIFICATION, {"text": "a", "prompt": "b"}, "has no use for 'prompt'; it reads text, label, labels"),
        (CAUSAL_LM, {"text": ["a", "b"]}, "reads one text column"),
        (
            CAUSAL_LM,
            {"text": "a", "messages": "b"},
            "name one kind of rows: prompt and completion, or messages, or text",
        ),
        (SEQ2SEQ, {"columns": {"score": "b"}}, "has no use for 'score'; it reads source, target"),
    ],
)
def test_columns(kind: ModelKind, fields: Mapping[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_columns(kind, task(**fields), FIELD)


def test_tools_belong_to_chats() -> None:
    for fields in ({"tools": "functions"}, {"messages": "chat", "tools": "functions"}):
        check_columns(CAUSAL_LM, task(**fields), FIELD)
    for kind, names in ((CAUSAL_LM, {"prompt": "q"}), (SEQ2SEQ, {})):
        with pytest.raises(RecipeError, match=r"name one kind of rows: prompt|seq2seq has no use for 'tools'"):
            check_columns(kind, task(tools="functions", **names), FIELD)


def test_metrics_are_the_kind_s() -> None:
    check_metrics(CAUSAL_LM, task(metrics=["perplexity", "arc_easy:acc"]), FIELD)
    with pytest.raises(RecipeError, match="is for causal-lm alone, not seq2seq"):
        check_metrics(SEQ2SEQ, task(metrics=["arc_easy:acc"]), FIELD)
    with pytest.raises(RecipeError, match="seq2seq is not judged by f1; choose from perplexity"):
        check_metrics(SEQ2SEQ, task(metrics=["f1"]), FIELD)


def test_options_of_the_model_suit_its_kind() -> None:
    check_model(model(CAUSAL_LM, unit="token", max_new_tokens=3))
    for kind, fields, message in (
        (SEQ2SEQ, {"head": "shared"}, "has no heads to share"),
        (TEXT_CLASSIFICATION, {"unit": "token"}, "unit 'token' is for causal-lm and seq2seq"),
        (TEXT_CLASSIFICATION, {"max_new_tokens": 3}, "max_new_tokens 3 is for causal-lm and seq2seq"),
        (SEQ2SEQ, {"date": "2026-01-31"}, "date 2026-01-31 is for the chats of causal-lm; remove this"),
    ):
        with pytest.raises(RecipeError, match=message):
            check_model(model(kind, **fields))


def test_options_of_the_harness_need_a_metric_of_it() -> None:
    harness = model(CAUSAL_LM, harness={"limit": 3})
    check_harness(harness, {"news": task(metrics=["arc_easy:acc"])})
    with pytest.raises(RecipeError, match="no task is judged by a metric of lm-evaluation-harness"):
        check_harness(harness, {"news": task(metrics=["perplexity"])})
