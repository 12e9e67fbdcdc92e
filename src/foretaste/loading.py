"""Loading: from a recipe to its model and tasks."""

from pathlib import Path
from typing import TYPE_CHECKING

from foretaste.errors import BadInput, MissingExtra
from foretaste.lazy import lazy
from foretaste.metrics import METRICS
from foretaste.plan import LORA, DigitsModel, FunctionModel, Recipe, TaskData, TransformersModel
from foretaste.recipe import where
from foretaste.sources.digits import digits
from foretaste.sources.frozen import frozen
from foretaste.sources.function import call
from foretaste.sources.problem import Problem

if TYPE_CHECKING:
    from foretaste.sources import adapted, harness
    from foretaste.sources import language as lm
    from foretaste.sources import transformers as hf
else:
    hf, lm = lazy("foretaste.sources.transformers"), lazy("foretaste.sources.language")
    adapted, harness = lazy("foretaste.sources.adapted"), lazy("foretaste.sources.harness")

__all__ = ["load"]


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


def _problem(recipe: Recipe, file: str) -> Problem:
    match recipe.model:
        case DigitsModel():
            return digits(recipe.seed)
        case FunctionModel() as model:
            return call(model.call, model.arguments, Path(file).resolve().parent)
        case model:
            return _transformers(recipe, model)


def _adapted(recipe: Recipe, problem: Problem) -> Problem:
    """The problem, with parts frozen or by LoRA where the recipe says so."""
    plan, model = recipe.finetune, recipe.model
    if plan.method is None:
        return problem if plan.freeze is None else frozen(problem, plan.freeze)
    said = plan.model_dump(include=set(LORA) - {"method"})
    try:
        base = adapted.Checkpoint(model.path, model.kind) if isinstance(model, TransformersModel) else None
        return adapted.adapted(problem, adapted.LoraPlan(**said), seed=recipe.seed, base=base)
    except MissingExtra as error:
        raise error.at("finetune", "method") from error.__cause__


def _transformers(recipe: Recipe, model: TransformersModel) -> Problem:
    match model.kind:
        case "causal-lm" | "seq2seq" as kind:
            written = [_language_plan(name, task) for name, task in recipe.tasks.items()]
            unit, length, most = model.unit or "token", model.max_length, model.max_new_tokens
            options = harness.Options(**model.harness.model_dump()) if model.harness else None
            return lm.load(model.path, kind, written, unit=unit, max_length=length, most=most, options=options)
        case kind:
            plans = [_plan(name, task) for name, task in recipe.tasks.items()]
            return hf.load(model.path, kind, plans, head=model.head, max_length=model.max_length, seed=recipe.seed)


def _plan(name: str, task: TaskData) -> "hf.DataPlan":
    return hf.DataPlan(
        name,
        task.train,
        task.validation,
        task.inputs,
        task.label,
        tuple(METRICS[metric] for metric in task.metrics),
        tuple(task.labels) if task.labels else None,
        task.max_train,
        task.max_validation,
        task.splits,
        task.quoted,
    )


def _language_plan(name: str, task: TaskData) -> "lm.LanguagePlan":
    try:
        metrics = lm.metrics_named(task.metrics)
    except MissingExtra as error:
        raise error.at("tasks", name, "metrics") from error.__cause__
    roles = ("prompt", "completion", "messages", "text", "source", "target")
    columns = {role: named for role in roles if isinstance(named := getattr(task, role), str)}
    most = (task.max_train, task.max_validation)
    return lm.LanguagePlan(name, task.train, task.validation, metrics, columns, *most, task.splits, task.quoted)
