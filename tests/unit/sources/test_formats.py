from collections.abc import Mapping, Sequence

import datasets
import pytest

from foretaste.errors import DataError
from foretaste.sources.data import Part
from foretaste.sources.formats import columns_of, shared_columns


def rows_of(rows: Sequence[Mapping[str, object]]) -> datasets.Dataset:
    return datasets.Dataset.from_list([dict(row) for row in rows])


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


@pytest.mark.parametrize(
    ("named", "there", "columns"),
    [
        ({}, ["messages", "tools"], {"messages": "messages", "tools": "tools"}),
        ({"tools": "functions"}, ["messages", "functions"], {"messages": "messages", "tools": "functions"}),
        ({"messages": "chat"}, ["chat", "tools"], {"messages": "chat", "tools": "tools"}),
        ({}, ["prompt", "completion", "tools"], {"prompt": "prompt", "completion": "completion"}),
    ],
)
def test_tools_belong_to_chats(named: Mapping[str, str], there: Sequence[str], columns: Mapping[str, str]) -> None:
    assert columns_of("causal-lm", named, there, "x") == columns


def test_tools_are_in_both_files() -> None:
    with_tools, without = rows_of([{"messages": [], "tools": "[]"}]), rows_of([{"messages": []}])
    for one, other in ((with_tools, without), (without, with_tools)):
        parts = {"t": [Part(("tasks", "t", "train"), "a", one), Part(("tasks", "t", "validation"), "b", other)]}
        with pytest.raises(DataError, match="has no column 'tools'"):
            shared_columns("causal-lm", {"t": {}}, parts)
    parts = {"t": [Part(("tasks", "t", part), "a", with_tools) for part in ("train", "validation")]}
    assert shared_columns("causal-lm", {"t": {}}, parts) == {"t": {"messages": "messages", "tools": "tools"}}
