from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pytest

from checkpoints import Checkpoints, table
from foretaste.errors import DataError
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.data import Part
from foretaste.sources.formats import columns_of, shared_columns, standard_rows
from foretaste.sources.language import load
from foretaste.sources.request import TaskRequest

TURNS = [("human", "2 + 2?"), ("gpt", "4"), ("human", "3 + 3?"), ("gpt", "6")]
SHAREGPT = [{"conversations": [{"from": sender, "value": text} for sender, text in TURNS], "id": 1}]
ROLES = {"human": "user", "gpt": "assistant"}
MESSAGES = [{"role": ROLES[sender], "content": text} for sender, text in TURNS]
ALPACA = [
    {"instruction": "Add.", "input": "2 + 2", "output": "4"},
    {"instruction": "Greet.", "input": "", "output": "Hello"},
]
ALPACA_PROMPTS = [
    (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a"
        " response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n2 + 2\n\n###"
        " Response:\n"
    ),
    (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nGreet.\n\n### Response:\n"
    ),
]


def rows_of(rows: Sequence[Mapping[str, object]]) -> datasets.Dataset:
    return datasets.Dataset.from_list([dict(row) for row in rows])


def test_sharegpt_rows_become_messages() -> None:
    rows = standard_rows("causal-lm", rows_of(SHAREGPT), {}, "here")
    assert rows["messages"][:] == [MESSAGES]
    assert rows["id"][:] == [1]
    assert columns_of("causal-lm", {}, rows.column_names, "here") == {"messages": "messages"}
    named = standard_rows("causal-lm", rows_of(SHAREGPT), {"messages": "conversations"}, "here")
    assert named["conversations"][:] == [MESSAGES]


def test_what_else_sharegpt_rows_say_is_kept() -> None:
    chat = [{"from": "system", "value": "Be brief."}, {"from": "tool", "value": "x"}, {"from": "chatgpt", "value": "y"}]
    weighted = [{**each, "weight": place % 2} for place, each in enumerate(chat)]
    (found,) = standard_rows("causal-lm", rows_of([{"conversations": weighted}]), {}, "here")["messages"]
    assert [each["role"] for each in found] == ["system", "tool", "assistant"]
    assert [each["weight"] for each in found] == [0, 1, 0]
    told = standard_rows(
        "causal-lm", rows_of([{**SHAREGPT[0], "system": "Be brief."}, {**SHAREGPT[0], "system": ""}]), {}, "here"
    )
    assert [chat[0]["role"] for chat in told["messages"]] == ["system", "user"]
    (usual,) = standard_rows("causal-lm", rows_of([{"conversations": MESSAGES}]), {}, "here")["messages"]
    assert usual == MESSAGES


@pytest.mark.parametrize(
    ("kind", "source", "target"), [("causal-lm", "prompt", "completion"), ("seq2seq", "source", "target")]
)
def test_alpaca_rows_become_a_prompt_and_its_completion(kind: str, source: str, target: str) -> None:
    assert kind in ("causal-lm", "seq2seq")
    rows = standard_rows("causal-lm" if kind == "causal-lm" else "seq2seq", rows_of(ALPACA), {}, "here")
    assert rows[source][:] == ALPACA_PROMPTS
    assert rows[target][:] == ["4", "Hello"]
    assert sorted(rows.column_names) == sorted([source, target])


def test_alpaca_rows_without_inputs_and_with_histories() -> None:
    bare = [{"instruction": "Greet.", "output": "Hello", "history": []}]
    assert standard_rows("causal-lm", rows_of(bare), {}, "here")["prompt"][:] == ALPACA_PROMPTS[1:]
    with pytest.raises(
        DataError, match="here holds Alpaca rows with a 'history', which are not supported; write them as messages"
    ):
        standard_rows("causal-lm", rows_of([{**bare[0], "history": [["a", "b"]]}]), {}, "here")


def test_rows_of_usual_or_named_columns_stay_as_they_are() -> None:
    cases: list[tuple[Sequence[Mapping[str, object]], dict[str, str]]] = [
        ([{"messages": MESSAGES, "conversations": [{"from": "a"}]}], {}),
        ([{"text": "a", "instruction": "b", "output": "c"}], {}),
        (ALPACA, {"prompt": "instruction", "completion": "output"}),
        ([{"conversations": "text"}], {}),
        ([{"messages": MESSAGES}], {"messages": "messages"}),
    ]
    for rows, named in cases:
        whole = rows_of(rows)
        assert standard_rows("causal-lm", whole, named, "here") is whole
    whole = rows_of(SHAREGPT)
    assert standard_rows("seq2seq", whole, {}, "here") is whole


def test_preference_rows_are_named_for_what_they_are() -> None:
    with pytest.raises(
        DataError,
        match=r"^a\.jsonl holds preference rows .* not supported yet; .* 'completion: chosen', or 'messages: chosen'",
    ):
        columns_of("causal-lm", {}, ["prompt", "chosen", "rejected"], "a.jsonl")
    assert columns_of("causal-lm", {"completion": "chosen"}, ["prompt", "chosen"], "a") == {
        "prompt": "prompt",
        "completion": "chosen",
    }


def test_columns_are_those_that_both_files_have() -> None:
    train, other = rows_of([{"text": "a", "prompt": "b", "completion": "c"}]), rows_of([{"text": "a"}])
    parts = {"t": [Part(("tasks", "t", "train"), "a.csv", train), Part(("tasks", "t", "validation"), "b.csv", other)]}
    assert shared_columns("causal-lm", {"t": {}}, parts) == {"t": {"text": "text"}}
    with pytest.raises(DataError, match="has no columns 'prompt', 'completion'"):
        shared_columns("causal-lm", {"t": {"completion": "completion"}}, parts)


def test_tasks_of_sharegpt_and_of_messages_are_the_same(checkpoints: Checkpoints, tmp_path: Path) -> None:
    files = {
        "theirs": table(tmp_path / "theirs.jsonl", [dict(row) for row in SHAREGPT * 3]),
        "ours": table(tmp_path / "ours.jsonl", [{"messages": MESSAGES}] * 3),
    }
    plans = [TaskRequest(name, str(file), str(file), (SEQUENCE_METRICS["perplexity"],)) for name, file in files.items()]
    problem = load(str(checkpoints.llama), "causal-lm", plans, max_length=64)
    theirs, ours = (task.train[0] for task in problem.tasks)
    assert {key: value.tolist() for key, value in theirs.items()} == {
        key: value.tolist() for key, value in ours.items()
    }
    assert not problem.rows["theirs"].whole
    assert problem.rows["ours"].whole
