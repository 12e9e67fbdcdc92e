"""From a recipe to its model and tasks."""

import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import Checkpoints, checkpoints, offline, sentences, table
from foretaste.errors import DataError, RecipeError
from foretaste.loading import load
from foretaste.recipe import parse
from foretaste.sources.digits import digits
from foretaste.train.mixture import predict_alike

__all__ = ["checkpoints", "offline"]

DIGITS = "name: a\nmodel: {source: digits}\n"


def test_digits_follow_the_recipe_s_seed() -> None:
    text = DIGITS + "seed: 1\n"
    assert load(parse(text), text, "r.yaml").base() == digits(1).base()


def test_functions_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    code = (
        "from problems import blobs, linear\ndef made(count):\n    return linear(), [blobs(f't{i}', i) for i in"
        " range(count)]\n"
    )
    (tmp_path / "beside.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'beside:made', arguments: {count: 3}}\n"
    assert load(parse(text), text, str(tmp_path / "r.yaml")).names == ["t0", "t1", "t2"]


def test_errors_of_sources_name_the_recipe_s_line(tmp_path: Path) -> None:
    tasks = "".join(f"  {name}:\n    train: gone.csv\n    validation: gone.csv\n    text: t\n" for name in "ab")
    text = f"name: a\nmodel: {{source: transformers, path: x, kind: text-classification}}\ntasks:\n{tasks}"
    with pytest.raises(RecipeError, match=r"r\.yaml, line 5, tasks\.a\.train: gone\.csv does not exist"):
        load(parse(text), text, "r.yaml")
    text = "name: a\nmodel: {source: function, call: 'nowhere_at_all:f'}\n"
    with pytest.raises(DataError, match="No module named 'nowhere_at_all'"):
        load(parse(text), text, str(tmp_path / "r.yaml"))


@pytest.mark.parametrize("kind", ["text-classification", "causal-lm"])
def test_a_length_of_a_task_s_own_is_for_its_rows_alone(checkpoints: Checkpoints, tmp_path: Path, kind: str) -> None:
    """Tasks still share batches; the other task is the data that it was."""
    rows = [{**row, "text": f"{row['text']} {row['text']}"} for row in sentences(8, 0)]
    data = table(tmp_path / "a.jsonl", rows)
    column, folder = ("text: text", checkpoints.bert if kind.startswith("text") else checkpoints.gpt2)
    text = (
        f"name: a\nmodel: {{source: transformers, path: '{folder}', kind: {kind}, max_length: 32}}\ntasks:\n"
        + "".join(f"  {name}: {{train: {data}, validation: {data}, {column}}}\n" for name in "ab")
    )
    usual, own = (
        load(parse(whole), whole, "r.yaml").tasks
        for whole in (text, text + "finetune: {tasks: {b: {max_length: 4}}}\n")
    )
    longest = [max(len(task.train[place]["input_ids"]) for place in range(8)) for task in own]
    assert longest[1] == (4 if kind.startswith("text") else 3) < longest[0]
    assert own[0].identity == usual[0].identity
    assert own[1].identity != usual[1].identity
    assert predict_alike(own)


def test_a_fault_of_lora_names_its_line() -> None:
    text = DIGITS + "finetune:\n  method: lora\n  targets: [query]\n"
    with pytest.raises(
        RecipeError, match=r"r\.yaml, line 5, finetune\.targets: 'query' is the name of no layer; .* \[0, 2, 4\]"
    ):
        load(parse(text), text, "r.yaml")
    text = DIGITS + "finetune:\n  method: lora\n"
    with pytest.raises(
        RecipeError, match=r"r\.yaml, line 3, finetune\.targets: PEFT has no usual layers for a model of your own"
    ):
        load(parse(text), text, "r.yaml")


def test_lora_belongs_to_the_model() -> None:
    text = DIGITS + "finetune: {steps: 5, method: lora, r: 2, targets: all-linear}\n"
    loaded = load(parse(text), text, "r.yaml")
    assert all(".lora_" in name for name in loaded.trained)
    assert not loaded.has_private_heads


WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None  # as Python does for a package that cannot be imported
from foretaste.recipe import parse
from foretaste.loading import load
text = "{name: a, model: {source: digits}, finetune: {method: lora, targets: all-linear}}"
try:
    load(parse(text), text, "r.yaml")
except ValueError as error:
    print(error)
"""


def test_lora_without_peft_names_what_to_install() -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_PEFT], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(
        "r.yaml, line 1, finetune.method: finetuning by LoRA needs peft; install it with: pip install 'foretaste[lora]'"
    )


def test_bfloat16_is_for_params_that_stay_frozen() -> None:
    tasks = "".join(f"  {name}:\n    train: gone.csv\n    validation: gone.csv\n" for name in "ab")
    text = f"name: a\nmodel: {{source: transformers, path: x, kind: causal-lm, dtype: bfloat16}}\ntasks:\n{tasks}"
    with pytest.raises(RecipeError, match=r"r\.yaml, line 2, model\.dtype: dtype bfloat16 is for params that LoRA"):
        load(parse(text), text, "r.yaml")


def test_a_network_without_gradient_checkpointing_is_refused_at_the_field() -> None:
    text = DIGITS + "finetune: {gradient_checkpointing: true}\n"
    with pytest.raises(
        RecipeError, match=r"r\.yaml, line 3, finetune\.gradient_checkpointing: the model \(Sequential\)"
    ):
        load(parse(text), text, "r.yaml")


def test_number_format_attention_and_recomputing_are_no_part_of_the_question() -> None:
    tasks = "tasks: {a: {train: t, validation: v}, b: {train: u, validation: v}}\n"
    plain, other = (
        parse(f"name: a\nmodel: {{source: transformers, path: x, kind: causal-lm{more}}}\n{tasks}finetune: {{{last}}}")
        for more, last in (
            ("", "steps: 3"),
            (", dtype: float32, attention: eager", "steps: 3, gradient_checkpointing: true"),
        )
    )
    assert plain.identity() == other.identity()
    assert plain.finetune.numbers == other.finetune.numbers
