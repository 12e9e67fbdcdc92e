"""Loading: from a recipe to its model and tasks."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from foretaste.errors import BadInput, DataError, MissingExtra
from foretaste.plan import LORA, Recipe
from foretaste.quantized import quantized_layers
from foretaste.recipe import where
from foretaste.sources.digits import digits
from foretaste.sources.frozen import freeze_modules
from foretaste.sources.function import call
from foretaste.sources.memory import problem_in_memory
from foretaste.sources.plans import DigitsModel, FunctionModel, MemoryModel, TransformersModel
from foretaste.sources.problem import Problem
from foretaste.sources.recompute import recompute_activations
from foretaste.task import Task

__all__ = ["adapt", "load"]


def load(recipe: Recipe, text: str, file: str) -> Problem:
    """The recipe's model and tasks.

    Args:
        recipe: Checked.
        text: Of the recipe's file, for line numbers.
        file: Its path.

    Raises:
        BadInput: Something it names cannot be used; file, line and field are given.

    >>> from foretaste.recipe import parse
    >>> text = "{name: a, model: {source: digits}}"
    >>> load(parse(text), text, "study.yaml").names
    ['low', 'mid', 'high']
    """
    try:
        return _adapted(recipe, _problem(recipe, file))
    except BadInput as error:
        raise where(error, file, text) from error.__cause__


def adapt(recipe: Recipe, model: nn.Module, tasks: Sequence[Task]) -> Problem:
    """Make the problem of a model and tasks in memory, with parts frozen or by LoRA where the recipe says so.

    Args:
        recipe: The recipe; its model has the source ``memory``.
        model: The model; it is copied where the recipe changes what is trained.
        tasks: The tasks.

    Raises:
        BadInput: Model and tasks do not fit, or the recipe's ``finetune`` does not suit the model.
    """
    plan = recipe.finetune
    changes = plan.method is not None or plan.freeze is not None or plan.gradient_checkpointing
    return _adapted(recipe, problem_in_memory(copy.deepcopy(model) if changes else model, tasks))


def _problem(recipe: Recipe, file: str) -> Problem:
    match recipe.model:
        case DigitsModel() as model:
            return digits(recipe.seed, model.tasks)
        case FunctionModel() as model:
            return call(model.call, model.arguments, Path(file).resolve().parent)
        case MemoryModel() as model:
            raise DataError(
                f"the model ({model.architecture}) and its tasks were in the memory of a program; open the study there:"
                " foretaste.Study(FOLDER, model=..., tasks=[...])"
            ).at("model", "source")
        case model:
            tasks = [
                replace(task.request(name, model.row), max_length=recipe.finetune.of_task(name).max_length)
                for name, task in recipe.tasks.items()
            ]
            return model.row.load_problem(model.request(recipe.seed, frozen=recipe.finetune.method == "lora"), tasks)


def _adapted(recipe: Recipe, problem: Problem) -> Problem:
    """The problem, with parts frozen or by LoRA where the recipe says so."""
    adapted = _adapted_as_planned(recipe, problem)
    if recipe.finetune.gradient_checkpointing:
        recompute_activations(adapted.model)
    return adapted


def _adapted_as_planned(recipe: Recipe, problem: Problem) -> Problem:
    plan, model = recipe.finetune, recipe.model
    if plan.method is None:
        if quantized_layers(problem.model):
            raise DataError(
                "the checkpoint's weights are quantised, so that only LoRA can train it; set finetune.method: lora"
            ).at("model", "path")
        return problem if plan.freeze is None else freeze_modules(problem, plan.freeze)
    options = plan.model_dump(include=set(LORA) - {"method"})
    try:
        from foretaste.sources.adapted import Checkpoint, LoraPlan, add_lora  # its extra may be missing

        base = Checkpoint(model.path, model.kind) if isinstance(model, TransformersModel) else None
        return add_lora(problem, LoraPlan(**options), seed=recipe.seed, base=base)
    except MissingExtra as error:
        raise error.at("finetune", "method") from error.__cause__
