import pytest
from pydantic import BaseModel

from foretaste.errors import RecipeError
from foretaste.field_names import _ELSEWHERE, suggestion
from foretaste.plan import Finetune, Preview, Recipe
from foretaste.recipe import parse
from foretaste.sources.plans import Harness, TaskData, TransformersModel

HEAD = "name: a\nmodel: {source: digits}\n"
FIELDS: dict[str, type[BaseModel]] = {
    "model": TransformersModel,
    "model.harness": Harness,
    "tasks.NAME": TaskData,
    "finetune": Finetune,
    "preview": Preview,
}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("finetune: {lora_alpha: 3}", "finetune.lora_alpha: unknown field; did you mean alpha?"),
        ("lora_alpha: 3", "lora_alpha: unknown field; did you mean finetune.alpha?"),
        ("finetune: {num_epochs: 3}", "did you mean epochs? (instead of steps)"),
        ("finetune: {gradient_accumulation_steps: 4}", "did you mean micro_batch? (rows per backward pass"),
        ("finetune: {lr: 1.0e-3}", "did you mean learning_rate?"),
        ("finetune: {leraning_rate: 1.0e-3}", "did you mean learning_rate?"),
        ("steps: 3", "did you mean finetune.steps or joint.steps?"),
        ("finetune: {points: 3}", "did you mean preview.points or joint.points?"),
        ("finetune: {modules_to_save: [score]}", "unknown field; new heads are trained whole"),
        (
            "finetune: {zzz: 1}",
            "there are steps, epochs, batch_size, learning_rate, optimizer, weight_decay, prior_precision, warmup and",
        ),
        ("joint: {zzz: 1}", "there are points, realise, steps"),
    ],
)
def test_what_was_meant(text: str, answer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(HEAD + text + "\n", "r.yaml")
    assert answer in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", list(_ELSEWHERE))
def test_every_name_of_another_tool_leads_to_a_field_that_is_there(name: str) -> None:
    field, note = _ELSEWHERE[name]
    place, _, own = field.rpartition(".")
    assert (own in FIELDS[place].model_fields) if field else note
    assert suggestion(name, "", list(Recipe.model_fields), {})
