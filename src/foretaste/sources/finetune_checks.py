"""Checks of a recipe's finetuning across fields: contradictions, and what does not suit the tasks or the model."""

from collections.abc import Sequence

from foretaste.errors import RecipeError
from foretaste.field_names import nearest
from foretaste.sources.finetune_plan import LORA, Finetune
from foretaste.sources.kinds import kinds, list_names
from foretaste.sources.plans import RecipePart, TransformersModel

__all__ = ["check_finetune", "check_task_names"]


def check_finetune(plan: Finetune, model: RecipePart) -> None:
    """Check that fields on finetuning do not contradict each other, and that the model can use them.

    Args:
        plan: The recipe's part on finetuning.
        model: The recipe's part on the model.

    Raises:
        RecipeError: A field contradicts another, or does not suit the model; it is named.

    >>> from foretaste.sources.plans import DigitsModel
    >>> check_finetune(Finetune(steps=3, epochs=2), DigitsModel(source="digits"))
    Traceback (most recent call last):
    ...
    foretaste.errors.RecipeError: steps is 3 and epochs is 2; they say the same thing: remove one
    """
    if plan.method is None and (fields := [name for name in LORA if getattr(plan, name) is not None]):
        raise RecipeError(f"{fields[0]} is for LoRA; remove this, or set method: lora").at("finetune", fields[0])
    if plan.method is not None and plan.freeze is not None:
        raise RecipeError("LoRA trains nothing but its factors and new heads anyway; remove this").at(
            "finetune", "freeze"
        )
    if "steps" in plan.model_fields_set and plan.epochs is not None:
        raise _twice(plan.steps, plan.epochs).at("finetune", "epochs")
    for name, own in (plan.tasks or {}).items():
        if own.steps is not None and own.epochs is not None:
            raise _twice(own.steps, own.epochs).at("finetune", "tasks", name, "epochs")
        if own.max_length is not None and not (isinstance(model, TransformersModel) and model.row.reads_text):
            able = list_names(kind for kind in kinds() if kind.reads_text)
            raise RecipeError(f"max_length is for texts of {able}; remove this").at(
                "finetune", "tasks", name, "max_length"
            )


def _twice(steps: int, epochs: float) -> RecipeError:
    return RecipeError(f"steps is {steps} and epochs is {epochs:g}; they say the same thing: remove one")


def check_task_names(plan: Finetune, names: Sequence[str]) -> None:
    """Check that the tasks that a recipe's finetuning names exist.

    Args:
        plan: The recipe's part on finetuning.
        names: The names of all tasks.

    Raises:
        RecipeError: There is no task of a name.

    >>> check_task_names(Finetune.model_validate({"tasks": {"cod": {"steps": 3}}}), ["code", "maths"])
    Traceback (most recent call last):
    ...
    foretaste.errors.RecipeError: there is no task 'cod'; did you mean code?
    """
    for name in plan.tasks or {}:
        if name not in names:
            raise RecipeError(f"there is no task {name!r}; {nearest(name, names)}").at("finetune", "tasks", name)
