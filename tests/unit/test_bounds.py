"""What is beyond all means is refused at once, and the bound is named."""

import pytest

from foretaste import bounds
from foretaste.errors import RecipeError, WeightsError
from foretaste.recipe import parse
from foretaste.surface.searched import Budget

DIGITS = "name: a\nmodel: {source: digits}\n"


@pytest.mark.parametrize(
    ("text", "field", "bound"),
    [
        ("preview: {points: 1.0e+12}", "preview.points", "less than or equal to 100000"),
        ("joint: {points: 100000000}", "joint.points", "less than or equal to 10000"),
        ("finetune: {steps: 1000000000000000000000000000000}", "finetune.steps", "less than or equal to 1000000000"),
        ("finetune: {batch_size: 1000000000000000000000}", "finetune.batch_size", "less than or equal to 1000000"),
        ("finetune: {micro_batch: 1000000000000000000000}", "finetune.micro_batch", "less than or equal to 1000000"),
        ("finetune: {method: lora, r: 1.0e+9}", "finetune.r", "less than or equal to 65536"),
        ("finetune: {method: lora, alpha: 1.0e+300}", "finetune.alpha", "less than 1000000000000000000000000000000"),
        ("curvature: {batch_size: 1.0e+9}", "curvature.batch_size", "less than or equal to 1000000"),
        ("ensemble: {members: 1.0e+9}", "ensemble.members", "less than or equal to 1000"),
        ("preview: {points: 1e12}", "preview.points", "less than or equal to 100000; found '1e12'"),
        ("joint: {steps: 1.0e+30}", "joint.steps", "a whole number from 1 to 1000000000, or all"),
        ("preview: {batch_size: 1.0e+21}", "preview.batch_size", "less than or equal to 1000000"),
        ("seed: 9223372036854775808", "seed", "less than 4611686018427387904"),
        (f"seed: {10**40}", "seed", "less than 4611686018427387904"),
        ("snapshot_seconds: 1.0e+300", "snapshot_seconds", "less than 1"),
    ],
)
def test_recipes(text: str, field: str, bound: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(DIGITS + text)
    assert f"line 3, {field}: " in str(caught.value)
    assert bound in str(caught.value)


def test_names() -> None:
    with pytest.raises(
        RecipeError, match=r"line 1, name: String should have at most 200 characters; found 'nnn.*\.\.\."
    ):
        parse(f"name: {'n' * 300}\nmodel: {{source: digits}}\n")
    assert parse(f"name: {'n' * bounds.NAME}\nmodel: {{source: digits}}\n").name == "n" * 200
    task = "{train: a.jsonl, validation: b.jsonl, text: t}"
    model = "model: {source: transformers, path: x, kind: text-classification}"
    with pytest.raises(RecipeError, match="at most 200 characters"):
        parse(f"name: a\n{model}\ntasks: {{{'t' * 300}: {task}, b: {task}}}")


@pytest.mark.parametrize("number", ["1000000000000000000000", "9" * 5000, "100001"])
def test_budgets(number: str) -> None:
    with pytest.raises(WeightsError, match="is too large; give at most 100000"):
        Budget.parse(f"previews={number}")


def test_the_largest_that_can_be_asked_for() -> None:
    text = (
        f"seed: {bounds.SEED - 1}\npreview: {{points: {bounds.POINTS}}}\nfinetune: {{steps: {bounds.STEPS}, batch_size:"
        f" {bounds.BATCH}}}"
    )
    assert parse(DIGITS + text).seed == bounds.SEED - 1
