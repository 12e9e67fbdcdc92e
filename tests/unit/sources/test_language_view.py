from collections.abc import Sequence
from pathlib import Path

import pytest

from checkpoints import Checkpoints, table
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.language import load
from foretaste.sources.language_view import LanguageRows, learned_runs
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.problem import Problem
from foretaste.sources.request import TaskRequest

QUESTION, REPLY = {"role": "user", "content": "good film"}, {"role": "assistant", "content": "fine"}
CHAT: list[dict[str, object]] = [{"messages": [QUESTION, {**REPLY, "weight": 0}, QUESTION, REPLY]}]


def problem_of(checkpoint: Path, kind: str, folder: Path, rows: Sequence[dict[str, object]], most: int) -> Problem:
    file = str(table(folder / "rows.jsonl", rows))
    plans = [TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],)) for name in "ab"]
    return load(str(checkpoint), kind, plans, max_length=most)


def test_a_chat_is_written_as_the_template_writes_it(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = problem_of(checkpoints.llama, "causal-lm", tmp_path, CHAT, 64)
    row = problem.view.row(problem.tasks[0], 0)
    whole = tokenizer_at(str(checkpoints.llama)).apply_chat_template(CHAT[0]["messages"], tokenize=False)
    assert "".join(text for text, _ in row.text) == whole
    assert [text for text, learned in row.text if learned] == ["fine</s>\n"]
    count = len(tokenizer_at(str(checkpoints.llama))(whole, add_special_tokens=False)["input_ids"])
    learned = len(tokenizer_at(str(checkpoints.llama))("fine</s>\n", add_special_tokens=False)["input_ids"])
    assert row.facts == {"tokens": count, "learned tokens": learned, "cut to max_length": False}


def test_a_row_that_is_too_long_says_what_it_lost(checkpoints: Checkpoints, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": "good ", "completion": "fine " * 9}]
    whole, cut = (problem_of(checkpoints.gpt2, "causal-lm", tmp_path, rows, most).view.row for most in (64, 8))
    task = problem_of(checkpoints.gpt2, "causal-lm", tmp_path, rows, 64).tasks[0]
    short = problem_of(checkpoints.gpt2, "causal-lm", tmp_path, rows, 8).tasks[0]
    before, after = whole(task, 0).facts, cut(short, 0).facts
    assert (after["tokens"], after["cut to max_length"]) == (8, True)
    assert after["tokens before it is cut"] == before["tokens"]
    # The first token that is left has nothing before it, so that it is not learned, though the answer begins with it.
    assert after["learned tokens cut off"] == before["learned tokens"] - after["learned tokens"] - 1  # type: ignore[operator]


def test_a_translation_is_a_source_and_a_target(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = problem_of(checkpoints.t5, "seq2seq", tmp_path, [{"source": "good film", "target": "fine"}], 32)
    row = problem.view.row(problem.tasks[1], 0)
    assert row.text == [("good film</s>", False), ("fine</s>", True)]
    assert row.form == "sources and targets"
    assert set(row.facts) == {"tokens of the source", "learned tokens", "cut to max_length"}


def test_a_check_tells_forms_and_lengths(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = problem_of(checkpoints.llama, "causal-lm", tmp_path, CHAT, 64)
    told = problem.view.describe(problem.tasks[0])
    row = problem.view.row(problem.tasks[0], 0)
    lengths = dict.fromkeys(("median", "p95", "longest"), row.facts["tokens"])
    learned = row.facts["learned tokens"]
    assert isinstance(learned, int)
    assert told == {
        "form": "chats",
        "tokens": {"rows": 2, **lengths, "cut": 0, "learned": 2 * learned, "lost": 0},
    }
    assert isinstance(problem.view, LanguageRows)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_runs_are_the_whole_text_in_parts(checkpoints: Checkpoints, name: str) -> None:
    tokenizer = tokenizer_at(str(getattr(checkpoints, name)))
    ids = tokenizer("good film is dull", add_special_tokens=False)["input_ids"]
    for place in range(len(ids) + 1):
        runs = learned_runs(tokenizer, ids, [spot >= place for spot in range(len(ids))])
        assert "".join(text for text, _ in runs) == "good film is dull"
        assert [counts for _, counts in runs] == [False] * (place > 0) + [True] * (place < len(ids))


def test_a_character_of_two_runs_is_not_lost_in_silence(checkpoints: Checkpoints) -> None:
    tokenizer = tokenizer_at(str(checkpoints.gpt2))
    ids = tokenizer("ä", add_special_tokens=False)["input_ids"]
    assert len(ids) == 2
    assert learned_runs(tokenizer, ids, [False, True]) == [("\ufffd", False), ("\ufffd", True)]
