"""Opening a study: from a recipe, from a model and tasks in memory, or from a folder that has a study."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from torch import nn

from foretaste.engines.choose import engine_for
from foretaste.engines.engine import Engine
from foretaste.errors import BadInput, RecipeError, StudyError
from foretaste.loading import adapt
from foretaste.plan import Recipe, Recommend
from foretaste.recipe import parse, read
from foretaste.sources.memory import describe_architecture
from foretaste.sources.plans import MemoryModel
from foretaste.store.study import StudyStore
from foretaste.task import Task
from foretaste.work.context import Watch
from foretaste.workflow.check import check, check_problem
from foretaste.workflow.outside import MetricNames, OutsideQuestion, start_outside
from foretaste.workflow.reopen import reopen, stored_recipe
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

__all__ = ["RecipeSource", "open_folder", "open_in_memory", "open_outside", "open_recipe"]

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
    result, problem = check(plan, text, file)
    _warn(watch, result.warnings)
    return start(plan, text, problem, folder, watch, file=file, engine=chosen)


def open_in_memory(
    folder: Path,
    model: nn.Module,
    tasks: Sequence[Task],
    parts: Mapping[str, object],
    watch: Watch,
    *,
    workers: int | None = None,
    engine: Engine | None = None,
) -> Session:
    """Check a model and tasks, and open their study, which is created if there is none.

    Args:
        folder: The study's folder.
        model: The pretrained model.
        tasks: The tasks.
        parts: The parts of the recipe beside the model, by name.
        watch: Shows progress.
        workers: How many processes do the work; a model in memory has one.
        engine: Does the work.

    Raises:
        BadInput: Model, tasks or parts have a fault. Nothing is created.
    """
    source = {"source": "memory", "architecture": describe_architecture(model)}
    text = _write_yaml({"name": folder.stem, "model": source, **parts})
    plan = _parse(text, {})
    try:
        problem = adapt(plan, model, tasks)
        result = check_problem(plan, problem, text, _FILE)
    except BadInput as error:
        raise _without_line(error) from error.__cause__
    _warn(watch, result.warnings)
    return start(plan, text, problem, folder, watch, engine=engine or engine_for(plan, workers))


def open_folder(
    folder: Path,
    watch: Watch,
    *,
    trust: bool = False,
    workers: int | None = None,
    engine: Engine | None = None,
) -> Session:
    """Open a study for work with the recipe that it keeps.

    Args:
        folder: The study's folder.
        watch: Shows progress.
        trust: Whether the recipe's code may run, whoever made the study.
        workers: How many processes do the work; this one if left out.
        engine: Does the work, in place of these processes.

    Raises:
        StudyError: The study is of a model that was in memory, or has no recipe.
    """
    with StudyStore.open(folder) as study:
        recipe = stored_recipe(study)
    if isinstance(recipe.model, MemoryModel):
        raise StudyError(
            f"the study {folder} is of a model in memory ({recipe.model.architecture}); pass both again to go on:"
            f" foretaste.Study({str(folder)!r}, model=..., tasks=[...]). What it has can be read without them"
        )
    if engine is None and workers is not None:
        engine = engine_for(recipe, workers)
    return reopen(folder, watch, trust=trust, engine=engine)


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
    goal = Recommend.model_validate(dict(recommend))
    prefer = goal.prefer if "prefer" in recommend else None
    floors = goal.floors if "floors" in recommend else None
    start_outside(folder, OutsideQuestion.of(tasks, domains, prefer, floors)).close()


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
