import datetime
from collections.abc import Mapping, Sequence

import pytest
import yaml
from pydantic import ValidationError

from foretaste.plan import LORA, Recipe
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import CAUSAL_LM, IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION
from foretaste.sources.plans import TaskData, TransformersModel

DIGITS: Mapping[str, object] = {"name": "a", "model": {"source": "digits"}}
TEXT = """name: a
model: {source: transformers, path: model, kind: text-classification}
tasks:
  movies: {train: movies.jsonl, validation: movies.jsonl, text: text}
  news: {train: news.jsonl, validation: organisation/news, text: [premise, hypothesis]}
"""


def plan(text: str) -> Recipe:
    return Recipe.model_validate(yaml.safe_load(text))


def digits(change: Mapping[str, object]) -> Recipe:
    return Recipe.model_validate({**DIGITS, **change})


def test_floors_and_preferences_are_read_for_the_tasks_there_are() -> None:
    recipe = digits({"recommend": {"prefer": "low=1", "floors": ["high>=0.5"]}})
    recipe.check_goal(["low", "high"])
    for field, tasks in (("prefer", ["high"]), ("floors", ["low"])):
        with pytest.raises(ValueError, match="tasks among") as caught:
            recipe.check_goal(tasks)
        assert getattr(caught.value, "field", None) == ("recommend", field)


def test_a_plan_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        digits({}).seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "kind", "expected"),
    [
        ({"text": "a"}, TEXT_CLASSIFICATION, ("a",)),
        ({"text": ["a", "b"]}, TEXT_CLASSIFICATION, ("a", "b")),
        ({"image": "c"}, IMAGE_CLASSIFICATION, ("c",)),
        ({}, TEXT_CLASSIFICATION, ()),
    ],
)
def test_input_columns(change: Mapping[str, object], kind: ModelKind, expected: Sequence[str]) -> None:
    assert TaskData.model_validate({"train": "t", "validation": "v", **change}).request("task", kind).inputs == expected


LANGUAGE = """name: a
model: {source: transformers, path: model, kind: causal-lm}
tasks:
  chats: {train: chats.jsonl, validation: chats.jsonl}
  sums: {train: sums.jsonl, validation: sums.jsonl, prompt: question, metrics: [exact_match, perplexity]}
"""


def test_a_language_model_s_tasks_are_judged_by_perplexity_where_they_do_not_say() -> None:
    assert {name: task.metrics for name, task in plan(LANGUAGE).tasks.items()} == {
        "chats": ["perplexity"],
        "sums": ["exact_match", "perplexity"],
    }
    assert plan(TEXT).tasks["movies"].metrics == ["accuracy"]
    for wrong in ("[a, b]", "{a: b}"):
        with pytest.raises(ValidationError, match="tasks"):
            plan(LANGUAGE.partition("tasks:")[0] + f"tasks: {wrong}\n")


def test_a_language_model_s_columns() -> None:
    tasks = plan(LANGUAGE).tasks
    assert [tasks[name].request(name, CAUSAL_LM).columns for name in ("chats", "sums")] == [{}, {"prompt": "question"}]
    assert [each.row for each in (plan(LANGUAGE).model, plan(TEXT).model) if isinstance(each, TransformersModel)] == [
        CAUSAL_LM,
        TEXT_CLASSIFICATION,
    ]


def test_the_identity_of_a_classification_study_is_what_it_was() -> None:
    """Studies made before there were language models go on: what is new is left out, or None, which is the same."""
    identity = plan(TEXT).identity()
    assert {key for key, value in identity["model"].items() if value is not None} == {
        "source",
        "kind",
        "head",
        "max_length",
    }
    assert {key for key, value in identity["tasks"]["movies"].items() if value is not None} == {
        "text",
        "label",
        "metrics",
        "splits",
    }


def test_the_date_of_chats_and_columns_of_tools_are_no_part_of_an_older_study_s_identity() -> None:
    text = TEXT.replace("text-classification", "causal-lm").replace(", text: [premise, hypothesis]", "")
    older, dated = plan(text), plan(text.replace("path: model", "path: model, date: 2026-01-31"))
    assert isinstance(dated.model, TransformersModel)
    assert dated.model.request(0).date == datetime.date(2026, 1, 31)
    assert dated.identity() == older.identity()
    assert not {"date", "tools"} & {*older.identity()["model"], *older.identity()["tasks"]["movies"]}
    with_tools = plan(text.replace("text: text", "messages: chat, tools: functions")).identity()["tasks"]["movies"]
    assert (with_tools["messages"], with_tools["tools"]) == ("chat", "functions")


def test_the_identity_of_a_study_has_what_the_harness_measures_by() -> None:
    """Not where its tasks are, whose content the data's fingerprint holds, nor how much fits into a pass."""
    text = LANGUAGE.replace("perplexity]", "arc_easy:acc]")
    assert plan(text).identity()["model"]["harness"] is None

    def said(harness: str) -> object:
        return plan(text.replace("kind:", f"harness: {harness}, kind:")).identity()["model"]["harness"]

    assert said("{tasks: folder, batch_size: 2}") is None
    assert said("{tasks: folder, num_fewshot: 0, limit: 3}") == {"num_fewshot": 0, "limit": 3}


@pytest.mark.parametrize("value", ["auto", "mean", 0.5, 0, -1.0, float("inf"), "most"])
def test_the_prior_s_precision_is_a_word_or_a_number_above_0(value: object) -> None:
    if value in ("auto", "mean", 0.5):
        assert digits({"preview": {"prior_precision": value}}).preview.prior_precision == value
    else:
        with pytest.raises(ValidationError, match=r"preview.prior_precision"):
            digits({"preview": {"prior_precision": value}})


@pytest.mark.parametrize(("text", "steps"), [("all", "all"), ("9", 9), (9, 9), (9.0, 9), (None, None)])
def test_a_joint_run_has_a_number_of_steps_or_those_of_all_tasks(text: object, steps: object) -> None:
    assert digits({"joint": {"steps": text}}).joint.steps == steps


FREE: Mapping[str, object] = {
    "name": "b",
    "snapshot_seconds": 1,
    "recommend": {"prefer": "worst", "floors": ["all>=90%"]},
    "preview": {"methods": ["simple"], "points": 3, "batch_size": 1},
    "joint": {"points": 0},
    "finetune": {"track": "mlflow"},
}
BOUND: Sequence[Mapping[str, object]] = [
    {"seed": 1},
    {"model": {"source": "function", "call": "m:f"}},
    {"finetune": {"steps": 1}},
    {"finetune": {"batch_norm": "freeze"}},
    {"curvature": {"labels": "exact"}},
    {"curvature": {"batch_size": 1}},
    {"preview": {"prior_precision": 1.0}},
    {"joint": {"realise": "loss"}},
    {"joint": {"steps": 1}},
    {"joint": {"steps": "all"}},
    {"finetune": {"epochs": 1}},
    {"finetune": {"tasks": {"low": {"learning_rate": 1}}}},
]


def test_identity_is_what_numbers_depend_on() -> None:
    whole = digits({}).identity()
    assert [key for key, value in FREE.items() if digits({key: value}).identity() != whole] == []
    assert [change for change in BOUND if digits(change).identity() == whole] == []


def test_places_of_files_are_not_part_of_the_identity() -> None:
    moved = plan(TEXT.replace("path: model", "path: other").replace("movies.jsonl", "else.jsonl"))
    assert moved.identity() == plan(TEXT).identity() != plan(TEXT.replace("text: text", "text: body")).identity()


def test_lora_s_defaults_are_written_out_and_full_is_what_is_left_out() -> None:
    said = digits({"finetune": {"method": "lora", "r": "8"}})
    assert said == digits(
        {"finetune": {"method": "lora", "r": 8, "alpha": 16, "dropout": 0, "rslora": False, "train_a": True}}
    )
    assert digits({"finetune": {"method": "lora"}}).finetune.alpha == 32
    usual = digits({})
    assert usual == digits({"finetune": {"method": "full"}})
    assert {getattr(usual.finetune, name) for name in LORA} == {None}
    assert not set(usual.finetune.numbers) & set(LORA)


@pytest.mark.parametrize(
    "change",
    [
        {"r": 0},
        {"alpha": 0},
        {"dropout": 1},
        {"targets": []},
        {"targets": "some"},
        {"method": "dora"},
        {"rank": 4},
        {"r": "a"},
    ],
)
def test_lora_s_bounds(change: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError):
        digits({"finetune": {"method": "lora", **change}})


def test_a_recipe_of_before_lora_asks_the_same_question() -> None:
    """What such a study remembers lacks the fields; an absent key and None are equal there."""
    found = digits({}).identity()["finetune"]
    assert all(found[name] is None for name in LORA)


def test_freezing_is_left_out_by_default_and_no_number_of_training() -> None:
    assert digits({}).finetune.freeze is None
    found = digits({"finetune": {"freeze": ["0"]}})
    assert found.finetune.freeze == ["0"]
    assert not {"freeze", "track"} & set(found.finetune.numbers)
    assert found.identity()["finetune"]["freeze"] == ["0"]
    with pytest.raises(ValidationError, match="at least 1 item"):
        digits({"finetune": {"freeze": []}})
