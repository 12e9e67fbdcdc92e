import pytest

from foretaste.errors import RecipeError
from foretaste.recipe import parse
from foretaste.sources.finetune_checks import check_task_names
from foretaste.sources.finetune_plan import Finetune
from foretaste.workflow.check import check

DIGITS = "name: a\nmodel: {source: digits}\n"
IMAGES = """name: a
model: {source: transformers, path: model, kind: image-classification}
tasks:
  one: {train: a, validation: a, image: i}
  two: {train: b, validation: b, image: i}
"""
CAUSAL = """name: a
model: {source: transformers, path: model, kind: causal-lm}
tasks:
  code: {train: a, validation: a}
  maths: {train: b, validation: b}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DIGITS + "finetune:\n  steps: 3\n  epochs: 2\n",
            "line 5, finetune.epochs: steps is 3 and epochs is 2; they say the same thing: remove one",
        ),
        (
            DIGITS + "finetune:\n  tasks:\n    low:\n      epochs: 2.5\n      steps: 3\n",
            "line 6, finetune.tasks.low.epochs: steps is 3 and epochs is 2.5; they say the same thing: remove one",
        ),
        (
            DIGITS + "finetune:\n  tasks:\n    low: {max_length: 64}\n",
            (
                "line 5, finetune.tasks.low.max_length: max_length is for texts of text-classification and causal-lm"
                " and seq2seq; remove this"
            ),
        ),
        (
            IMAGES + "finetune: {tasks: {one: {max_length: 64}}}\n",
            "line 6, finetune.tasks.one.max_length: max_length is for texts of",
        ),
        (
            CAUSAL + "finetune: {tasks: {cod: {steps: 64}}}\n",
            "line 6, finetune.tasks.cod: there is no task 'cod'; did you mean code?",
        ),
        (
            CAUSAL + "finetune: {tasks: {code: {step: 64}}}\n",
            "line 6, finetune.tasks.code.step: unknown field; did you mean steps?",
        ),
        (
            CAUSAL + "finetune: {tasks: {code: {steps: 0}}}\n",
            "line 6, finetune.tasks.code.steps: Input should be greater than or equal to 1; found 0",
        ),
        (
            CAUSAL + "finetune: {tasks: {code: {steps: yes}}}\n",
            "line 6, finetune.tasks.code.steps: should not be true or false",
        ),
        (
            CAUSAL + "finetune: {tasks: {code: {num_epochs: 3}}}\n",
            "line 6, finetune.tasks.code.num_epochs: unknown field; did you mean epochs? (instead of steps)",
        ),
    ],
)
def test_contradictions_name_the_field(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert message in str(caught.value)


def test_tasks_that_a_source_brings_are_checked_with_it() -> None:
    text = DIGITS + "finetune:\n  tasks:\n    hgih: {steps: 2}\n"
    with pytest.raises(RecipeError, match=r"^r\.yaml, line 5, finetune\.tasks\.hgih: there is no task 'hgih'; did you"):
        check(parse(text), text, "r.yaml")


def test_all_that_fits_passes() -> None:
    assert parse(CAUSAL + "finetune: {steps: 3, tasks: {code: {epochs: 2, max_length: 64}}}\n").finetune.epochs is None
    check_task_names(Finetune(), [])
