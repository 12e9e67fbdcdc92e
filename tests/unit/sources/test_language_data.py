"""Files as people have them, from their columns to tokens."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import transformers

from checkpoints import Checkpoints, table
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.language import load
from foretaste.sources.language_data import data_warnings, read_data
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.problem import Problem
from foretaste.sources.request import TaskRequest
from foretaste.sources.tokens import EncodedRows, answer_of

QUESTION, REPLY = {"role": "user", "content": "good"}, {"role": "assistant", "content": "fine"}
PARTS = {**REPLY, "content": [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2}}}]}
OTHER_CALL = {**CALL, "tool_calls": [{"function": {"name": "greet", "arguments": {"who": "you"}}}]}
RESULT = {"role": "tool", "content": "great"}
TOOL = {"name": "add"}
FILES: Mapping[str, Sequence[Mapping[str, object]]] = {
    "chats": [{"messages": [QUESTION, REPLY]}],
    "parts": [{"messages": [QUESTION, PARTS]}, {"messages": [QUESTION, REPLY]}],
    "ShareGPT chats": [{"conversations": [{"from": "human", "value": "good"}, {"from": "gpt", "value": "fine"}]}],
    "prompts and completions of messages": [{"prompt": [QUESTION], "completion": [REPLY]}],
    "chats with tools": [
        {"messages": [QUESTION, CALL, RESULT, REPLY], "tools": [TOOL]},
        {"messages": [QUESTION, OTHER_CALL, RESULT, REPLY], "tools": None},
        {"messages": [QUESTION, PARTS], "tools": []},
    ],
    "developer": [{"messages": [{"role": "developer", "content": "dull"}, QUESTION, REPLY]}],
    "Alpaca rows": [{"instruction": "good", "input": "", "output": "fine"}],
    "prompts and completions": [{"prompt": "good", "completion": "fine"}],
    "whole texts": [{"text": "good fine"}],
}
TEMPLATE = (
    "{% if tools %}[tools]{{ tools | tojson }}{% endif %}{% for m in messages %}{% if m.role == 'developer' %}"
    "{{ raise_exception('none here') }}{% endif %}[{{ m.role }}]{{ m.content }}{% for call in m.tool_calls or [] %}"
    "{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    """A Llama whose chat template writes calls of tools, and refuses the developer."""
    folder = tmp_path_factory.mktemp("tools") / "llama"
    shutil.copytree(checkpoints.llama, folder)
    tokenizer = tokenizer_at(str(folder))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def plans(folder: Path) -> list[TaskRequest]:
    """Each form as a task, without a column named."""
    files = [str(table(folder / f"{place}.jsonl", list(rows))) for place, rows in enumerate(FILES.values())]
    metrics = (SEQUENCE_METRICS["perplexity"],)
    return [TaskRequest(f"task_{place}", file, file, metrics) for place, file in enumerate(files)]


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Problem:
    requests = plans(tmp_path_factory.mktemp("rows"))
    return load(str(checkpoint), "causal-lm", requests, max_length=96)


def rows_of(problem: Problem, name: str) -> EncodedRows:
    examples = problem.tasks[list(FILES).index(name)].train
    assert isinstance(examples, EncodedRows)
    return examples


def learned_text(tokenizer: transformers.PreTrainedTokenizerBase, labels: Sequence[int]) -> str:
    return str(tokenizer.decode([label for label in labels if label >= 0]))


def test_every_form_is_recognised_from_its_columns(problem: Problem) -> None:
    same = {"parts": "chats", "developer": "chats"}
    assert [rows_of(problem, name).form for name in FILES] == [same.get(name, name) for name in FILES]


@pytest.mark.parametrize("name", ["parts", "ShareGPT chats", "prompts and completions of messages"])
def test_forms_of_one_chat_are_the_same_tokens(problem: Problem, name: str) -> None:
    assert rows_of(problem, name).rows[0] == rows_of(problem, "chats").rows[0]


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("chats", 0, "fine</s>"),
        ("developer", 0, "fine</s>"),
        ("Alpaca rows", 0, "fine</s>"),
        ("prompts and completions", 0, "fine</s>"),
        ("whole texts", 0, "good fine</s>"),
        ("chats with tools", 0, 'add({"a": 2})</s>fine</s>'),
        ("chats with tools", 1, 'greet({"who": "you"})</s>fine</s>'),
        ("chats with tools", 2, "fine</s>"),
    ],
)
def test_answers_are_learned(checkpoint: Path, problem: Problem, name: str, place: int, text: str) -> None:
    assert learned_text(tokenizer_at(str(checkpoint)), rows_of(problem, name).rows[place].labels) == text


def test_tools_come_first(checkpoint: Path, problem: Problem) -> None:
    tokenizer = tokenizer_at(str(checkpoint))
    texts = [tokenizer.decode(row.inputs) for row in rows_of(problem, "chats with tools").rows]
    assert texts[0].startswith('[tools][{"name": "add"}][user]good')
    assert [text.startswith("[user]good") for text in texts] == [False, True, True]


def test_a_call_is_the_text_that_metrics_compare_with(checkpoint: Path, tmp_path: Path) -> None:
    file = str(table(tmp_path / "a.jsonl", [{"messages": [QUESTION, CALL]}]))
    requests = [TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],)) for name in "ab"]
    (row,) = load(str(checkpoint), "causal-lm", requests, max_length=64).tasks[0].train.rows  # type: ignore[attr-defined]
    assert row.reference == 'add({"a": 2})'
    assert answer_of([label >= 0 for label in row.labels]).stop == len(row.labels)


def test_a_developer_who_becomes_the_system_is_warned_of(problem: Problem) -> None:
    name = f"task_{list(FILES).index('developer')}"
    words = "rows of task {!r} have messages of the role 'developer', which the chat template does not know: they are"
    moved = [line for line in problem.warnings if words.format(name) in line]
    assert [line.split(" rows ")[0] for line in moved] == ["1 of 1 training", "1 of 1 validation"]


def test_columns_of_messages_are_part_of_a_task_s_fingerprint(checkpoint: Path, tmp_path: Path) -> None:
    rows = [{"prompt": [QUESTION], "chosen": [REPLY], "rejected": [{**REPLY, "content": "dull"}]}]
    file = str(table(tmp_path / "a.jsonl", rows))
    requests = [
        TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],), {"completion": name})
        for name in ("chosen", "rejected")
    ]
    chosen, rejected = load(str(checkpoint), "causal-lm", requests, max_length=64).tasks
    assert chosen.fingerprint != rejected.fingerprint


def test_tools_that_the_template_does_not_read_change_no_row(checkpoints: Checkpoints, tmp_path: Path) -> None:
    bare = {"messages": [QUESTION, REPLY]}
    fingerprints = []
    for rows in ([bare], [{**bare, "tools": [TOOL]}]):
        file = str(table(tmp_path / "a.jsonl", rows))
        requests = [TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],)) for name in "ab"]
        task = load(str(checkpoints.llama), "causal-lm", requests, max_length=64).tasks[0]
        fingerprints.append(task.train.rows)  # type: ignore[attr-defined]
    assert fingerprints[0] == fingerprints[1]


def test_data_are_read_before_there_is_a_model(tmp_path: Path) -> None:
    requests = plans(tmp_path)
    data = read_data("causal-lm", requests)
    assert [task.columns for task in data.values()][4] == {"messages": "messages", "tools": "tools"}
    assert [task.raw.whole for task in data.values()][:3] == [True, True, False]
    assert data_warnings([], {}, [], 8) == ()


@pytest.mark.parametrize(("count", "warned"), [(99, True), (100, False)])
def test_rows_that_are_cut_are_warned_of_if_they_are_more_than_one_in_a_hundred(
    checkpoints: Checkpoints, tmp_path: Path, count: int, warned: bool
) -> None:
    rows = [{"prompt": "a", "completion": "b"}] * (count - 1) + [{"prompt": "a " * 9, "completion": "b"}]
    file = str(table(tmp_path / "a.jsonl", rows))
    requests = [TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],)) for name in "ab"]
    problem = load(str(checkpoints.gpt2), "causal-lm", requests, max_length=8)
    assert any("are cut to max_length 8" in warning for warning in problem.warnings) is warned
