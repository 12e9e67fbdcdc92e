from pathlib import Path

import pytest

from checkpoints import Checkpoints, chats, language_recipe, table
from foretaste.errors import TaskError
from foretaste.loading import load
from foretaste.readable import sections_of
from foretaste.recipe import parse, read
from foretaste.workflow.show_row import show_row
from summaries import words


def test_a_row_of_a_chat(tmp_path: Path, checkpoints: Checkpoints) -> None:
    data = table(tmp_path / "a.jsonl", chats(4, 0)), table(tmp_path / "b.jsonl", chats(2, 1))
    recipe = language_recipe(tmp_path / "r.yaml", checkpoints.llama, "causal-lm", {"a": data, "b": data})
    shown = show_row(load(*read(recipe), str(recipe)), "b", 3)
    answer = chats(4, 0)[2]["messages"][1]["content"]
    assert [text for text, learned in shown.text if learned] == [f"{answer}</s>\n"]
    record = shown.to_dict()
    assert (record["task"], record["row"], record["rows"], record["form"]) == ("b", 3, 4, "chats")
    assert record["text"][1] == {"text": f"{answer}</s>\n", "learned": True}
    assert record["facts"]["learned tokens"] < record["facts"]["tokens"]
    assert words(sections_of(shown)).startswith("Row 3 of 4 of task b form chats tokens ")
    assert words(sections_of(shown)).endswith("cut to max_length no")
    assert f"⟦{answer}" in shown._repr_html_()


def test_a_row_of_numbers() -> None:
    text = "{name: a, model: {source: digits}}"
    problem = load(parse(text), text, "r.yaml")
    shown = show_row(problem, "mid")
    assert (shown.number, shown.text) == (1, ())
    assert shown.facts == {"inputs": "tensor of 64", "label": int(problem.tasks[1].train[0]["labels"])}


@pytest.mark.parametrize(
    ("task", "number", "message"),
    [
        ("nil", 1, "there is no task 'nil'; the tasks are low, mid, high"),
        ("low", 301, "task 'low' has 300 training rows, and row 301 is none of them"),
        ("low", 0, "task 'low' has 300 training rows, and row 0 is none of them"),
    ],
)
def test_tasks_and_rows_that_are_not_there(task: str, number: int, message: str) -> None:
    text = "{name: a, model: {source: digits}}"
    with pytest.raises(TaskError) as caught:
        show_row(load(parse(text), text, "r.yaml"), task, number)
    assert str(caught.value) == message
