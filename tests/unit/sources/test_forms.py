from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pytest

from checkpoints import Checkpoints, table
from foretaste.errors import DataError
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.formats import columns_of
from foretaste.sources.forms import form_name, standard_rows
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
    rows = standard_rows("causal-lm", rows_of(SHAREGPT), {}, "here").rows
    assert rows["messages"][:] == [MESSAGES]
    assert rows["id"][:] == [1]
    assert columns_of("causal-lm", {}, rows.column_names, "here") == {"messages": "messages"}
    named = standard_rows("causal-lm", rows_of(SHAREGPT), {"messages": "conversations"}, "here").rows
    assert named["conversations"][:] == [MESSAGES]


def test_what_else_sharegpt_rows_say_is_kept() -> None:
    chat = [{"from": "system", "value": "Be brief."}, {"from": "tool", "value": "x"}, {"from": "chatgpt", "value": "y"}]
    weighted = [{**each, "weight": place % 2} for place, each in enumerate(chat)]
    (found,) = standard_rows("causal-lm", rows_of([{"conversations": weighted}]), {}, "here").rows["messages"]
    assert [each["role"] for each in found] == ["system", "tool", "assistant"]
    assert [each["weight"] for each in found] == [0, 1, 0]
    told = standard_rows(
        "causal-lm", rows_of([{**SHAREGPT[0], "system": "Be brief."}, {**SHAREGPT[0], "system": ""}]), {}, "here"
    ).rows
    assert [chat[0]["role"] for chat in told["messages"]] == ["system", "user"]
    (usual,) = standard_rows("causal-lm", rows_of([{"conversations": MESSAGES}]), {}, "here").rows["messages"]
    assert usual == MESSAGES


@pytest.mark.parametrize(
    ("kind", "source", "target"), [("causal-lm", "prompt", "completion"), ("seq2seq", "source", "target")]
)
def test_alpaca_rows_become_a_prompt_and_its_completion(kind: str, source: str, target: str) -> None:
    assert kind in ("causal-lm", "seq2seq")
    rows = standard_rows("causal-lm" if kind == "causal-lm" else "seq2seq", rows_of(ALPACA), {}, "here").rows
    assert rows[source][:] == ALPACA_PROMPTS
    assert rows[target][:] == ["4", "Hello"]
    assert sorted(rows.column_names) == sorted([source, target])


def test_alpaca_rows_without_inputs_and_with_histories() -> None:
    bare = [{"instruction": "Greet.", "output": "Hello", "history": []}]
    assert standard_rows("causal-lm", rows_of(bare), {}, "here").rows["prompt"][:] == ALPACA_PROMPTS[1:]
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
        assert standard_rows("causal-lm", whole, named, "here").rows is whole
    whole = rows_of(SHAREGPT)
    assert standard_rows("seq2seq", whole, {}, "here").rows is whole


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


QUESTION, REPLY = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}


def test_prompts_and_completions_of_messages_become_chats_whose_completions_are_learned() -> None:
    pairs = [{"prompt": [QUESTION, REPLY, QUESTION], "completion": [REPLY], "id": 1}]
    read = standard_rows("causal-lm", rows_of(pairs), {}, "here")
    (chat,) = read.rows["messages"]
    assert [(message["content"], message.get("weight")) for message in chat] == [
        ("2 + 2?", None),
        ("4", 0),
        ("2 + 2?", None),
        ("4", None),
    ]
    assert (read.form, read.converted, read.joined) == (
        "prompts and completions of messages",
        True,
        ("prompt", "completion"),
    )
    assert sorted(read.rows.column_names) == ["id", "messages"]
    renamed = rows_of([{"q": [QUESTION], "a": [REPLY], "messages": "x"}])
    named = standard_rows("causal-lm", renamed, {"prompt": "q", "completion": "a"}, "here")
    assert named.rows["messages"][:] == [[QUESTION, REPLY]]
    assert (named.columns, named.joined) == ({}, ("q", "a"))


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"prompt": "a", "completion": "b"}], {}),
        ([{"prompt": "a", "completion": [REPLY]}], {}),
        ([{"prompt": [QUESTION], "completion": [REPLY], "messages": [QUESTION, REPLY]}], {}),
        ([{"prompt": [QUESTION], "completion": [REPLY], "text": "a"}], {"text": "text"}),
    ],
)
def test_other_prompts_and_completions_stay(rows: list[dict[str, object]], named: dict[str, str]) -> None:
    whole = rows_of(rows)
    assert standard_rows("causal-lm", whole, named, "here").rows is whole


def test_calls_and_results_of_tools_in_sharegpt_rows() -> None:
    turns = [("human", "2 + 2?"), ("function_call", '{"name": "add"}'), ("observation", "4"), ("gpt", "It is 4.")]
    chat = [{"from": sender, "value": text} for sender, text in turns]
    read = standard_rows("causal-lm", rows_of([{"conversations": chat, "tools": "[]"}]), {}, "here")
    (messages,) = read.rows["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"] == '{"name": "add"}'
    assert read.form == "ShareGPT chats"


def test_forms_have_names() -> None:
    assert [form_name(roles) for roles in (["messages", "tools"], ["text"], ["score", "text"])] == [
        "chats with tools",
        "whole texts",
        "score and text",
    ]
    assert standard_rows("causal-lm", rows_of(ALPACA), {}, "here").form == "Alpaca rows"
    assert standard_rows("causal-lm", rows_of([{"messages": [QUESTION, REPLY]}]), {}, "here").form == ""
