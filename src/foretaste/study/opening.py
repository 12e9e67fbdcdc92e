"""Opening a study: from a recipe, from a model and tasks in memory, or from the names of tasks whose runs are told."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from torch import nn

from foretaste.engines.choose import engine_for
from foretaste.engines.engine import Engine
from foretaste.errors import BadInput, RecipeError
from foretaste.loading import adapt
from foretaste.plan import Recipe, Recommend
from foretaste.recipe import parse, read
from foretaste.recipe_faults import fault_line
from foretaste.sources.memory import describe_architecture
from foretaste.task import Task
from foretaste.work.context import Watch
from foretaste.workflow.check import check, check_problem
from foretaste.workflow.outside import MetricNames, OutsideQuestion, start_outside
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

__all__ = ["RecipeSource", "open_in_memory", "open_outside", "open_recipe"]

RecipeSource = str | Path | Mapping[str, object]
_FILE = "recipe"
_LINE = re.compile(rf"^{_FILE}, line \d+", re.MULTILINE)


def open_recipe(
    folder: Path,
    recipe: RecipeSource,
    variables: Mapping[str, str],
    watch: Watch,
    *,
    workers: int | None = None,
    engine: Engine | None = None,
) -> Session:
    """Check a recipe, load its model and tasks, and open its study, which is created if there is none.

    Args:
        folder: The study's folder.
        recipe: The path of a YAML file, or a mapping with the same words.
        variables: Values of the recipe's variables.
        watch: Shows progress.
        workers: How many processes do the work; as the recipe says if left out.
        engine: Does the work, in place of these processes.

    Raises:
        BadInput: The recipe, its model or its data have a fault. Nothing is created.
    """
    if isinstance(recipe, Mapping):
        text, file = _write_yaml(recipe), str(Path.cwd() / _FILE)
        plan = _parse(text, variables)
    else:
        file = str(recipe)
        plan, text = read(Path(recipe), variables)
    chosen = engine or engine_for(plan, workers)
    chosen.warm_up()  # while the model and the data are loaded here
    result, problem = check(plan, text, file, watch)
    _warn(watch, result.warnings)
    return start(plan, text, problem, folder, watch, file=file, engine=chosen)


def open_in_memory(
    folder: Path,
    model: nn.Module,
    tasks: Sequence[Task],
    parts: Mapping[str, object],
    watch: Watch,
    *,
    engine: Engine | None = None,
) -> Session:
    """Check a model and tasks, and open their study, which is created if there is none.

    Args:
        folder: The study's folder.
        model: The pretrained model.
        tasks: The tasks.
        parts: The parts of the recipe beside the model, by name.
        watch: Shows progress.
        engine: Does the work; this process if left out.

    Raises:
        BadInput: Model, tasks or parts have a fault. Nothing is created.
    """
    source = {"source": "memory", "architecture": describe_architecture(model)}
    text = _write_yaml({"name": folder.stem, "model": source, **parts})
    plan = _parse(text, {})
    try:
        problem = adapt(plan, model, tasks)
        result = check_problem(plan, problem, text, _FILE, watch)
    except BadInput as error:
        raise _without_line(error) from error.__cause__
    _warn(watch, result.warnings)
    return start(plan, text, problem, folder, watch, engine=engine)


def open_outside(
    folder: Path, tasks: Mapping[str, MetricNames], domains: Sequence[str], recommend: Mapping[str, object]
) -> None:
    """Create a study whose runs are made elsewhere, or check that an existing one asks the same question.

    Args:
        folder: The study's folder.
        tasks: Each task's metrics.
        domains: What is mixed; the tasks if left out.
        recommend: The preference and floors, as in a recipe.

    Raises:
        BadInput: A name, a preference or a floor cannot be used, or the folder has another study. Nothing is created.
    """
    goal = _read_goal(recommend)
    prefer = goal.prefer if "prefer" in recommend else None
    floors = goal.floors if "floors" in recommend else None
    start_outside(folder, OutsideQuestion.of(tasks, domains, prefer, floors)).close()


def _read_goal(recommend: Mapping[str, object]) -> Recommend:
    """Read a preference and floors as they are in a recipe.

    Raises:
        RecipeError: They have a fault; the field is named.
    """
    try:
        return Recommend.model_validate(dict(recommend))
    except ValidationError as error:
        faults: list[ErrorDetails] = [{**fault, "loc": ("recommend", *fault["loc"])} for fault in error.errors()]
        lines = [fault_line(fault, _FILE, "") for fault in faults]
        raise _without_line(RecipeError("\n".join(lines))) from None


def _write_yaml(recipe: Mapping[str, object]) -> str:
    try:
        return yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as error:
        raise RecipeError(f"a recipe is made of texts, numbers, lists and mappings: {error}") from error


def _plain(value: object) -> object:
    """Return mappings as dicts, sequences as lists and paths as texts, which YAML can hold."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Path():
            return str(value)
    return value


def _parse(text: str, variables: Mapping[str, str]) -> Recipe:
    """Check a recipe that was never in a file: faults name the field alone."""
    try:
        return parse(text, _FILE, variables, Path.cwd())
    except BadInput as error:
        raise _without_line(error) from error.__cause__


def _without_line(error: BadInput) -> BadInput:
    return type(error)(_LINE.sub(_FILE, str(error)))


def _warn(watch: Watch, warnings: Sequence[str]) -> None:
    for warning in warnings:
        watch.say(f"warning: {warning}")
