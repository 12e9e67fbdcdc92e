"""A recipe at work on a study: loaded, checked, opened."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState

from foretaste.engine import Watch
from foretaste.errors import BadInput, MissingExtra
from foretaste.lazy import lazy
from foretaste.one_line import one_line
from foretaste.outputs import check_mixable
from foretaste.params import parameters_of
from foretaste.plan import LORA, Recipe
from foretaste.recipe import where
from foretaste.sources.digits import digits
from foretaste.sources.frozen import freeze_modules
from foretaste.sources.function import call
from foretaste.sources.plans import DigitsModel, FunctionModel, TransformersModel
from foretaste.sources.problem import Problem
from foretaste.store.study import Study
from foretaste.task import Task
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, covering, inside, lattice, lattice_near, spread, uniform
from foretaste.workflow.trial import try_batches, try_labels

if TYPE_CHECKING:
    from foretaste.sources import adapted
else:
    adapted = lazy("foretaste.sources.adapted")

_FINEST = 40  # lattice resolution, where the joint runs ask for many points
_LARGEST = 50_000  # points of a lattice; a finer one of many tasks takes minutes to list

__all__ = ["Checked", "Session", "check", "grid", "has_private_heads", "joint_points", "joint_training", "load"]


@dataclass(frozen=True)
class Session:
    """A recipe at work on a study.

    Args:
        study: Where everything is kept.
        recipe: What to study.
        problem: Its model and tasks.
        base: Content hash of the pretrained params.
        watch: Told of progress.
    """

    study: Study
    recipe: Recipe
    problem: Problem
    base: str
    watch: Watch

    __repr__ = one_line

    @property
    def training(self) -> Training:
        """How single-task runs are trained."""
        return Training(**self.recipe.finetune.numbers, seed=self.recipe.seed)

    @property
    def joint_training(self) -> Training:
        """How joint runs are trained."""
        return joint_training(self.recipe)

    @property
    def data(self) -> dict[str, str]:
        """Hash of each task's data."""
        return {task.name: task.identity for task in self.problem.tasks}


def joint_training(recipe: Recipe) -> Training:
    """How joint runs are trained.

    >>> from foretaste.recipe import parse
    >>> joint_training(parse("{name: a, model: {source: digits}, joint: {steps: 9}}")).steps
    9
    """
    steps = recipe.joint.steps or recipe.finetune.steps
    return Training(**{**recipe.finetune.numbers, "steps": steps}, seed=recipe.seed)


@dataclass(frozen=True)
class Checked:
    """What a recipe came to, before any work.

    Args:
        parameters: In the model.
        tasks: Per task: training rows, validation rows, classes, metrics.
        trainings: Single-task and joint runs that `run` makes.
        previews: Weightings that are previewed, per method.
        warnings: What makes results worth less than they seem.
    """

    parameters: int
    tasks: Mapping[str, Mapping[str, object]]
    trainings: tuple[int, int]
    previews: int
    warnings: tuple[str, ...] = ()

    __repr__ = one_line


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
            tasks = [task.request(name, model.row) for name, task in recipe.tasks.items()]
            return model.row.load_problem(model.request(recipe.seed), tasks)


def _adapted(recipe: Recipe, problem: Problem) -> Problem:
    """The problem, with parts frozen or by LoRA where the recipe says so."""
    plan, model = recipe.finetune, recipe.model
    if plan.method is None:
        return problem if plan.freeze is None else freeze_modules(problem, plan.freeze)
    said = plan.model_dump(include=set(LORA) - {"method"})
    try:
        base = adapted.Checkpoint(model.path, model.kind) if isinstance(model, TransformersModel) else None
        return adapted.add_lora(problem, adapted.LoraPlan(**said), seed=recipe.seed, base=base)
    except MissingExtra as error:
        raise error.at("finetune", "method") from error.__cause__


def check(recipe: Recipe, text: str, file: str) -> tuple[Checked, Problem]:
    """Open every data file, check every label, and try every task on a full batch.

    Raises:
        BadInput: The first fault found; nothing is written.

    >>> from foretaste.recipe import parse
    >>> text = "{name: a, model: {source: digits}, joint: {points: 4}}"
    >>> found, problem = check(parse(text), text, "study.yaml")
    >>> found.parameters, found.trainings
    (3466, (3, 5))
    """
    problem = load(recipe, text, file)
    problem.model.to(PartialState().device)
    try:
        classes = try_batches(problem, recipe.finetune.micro_batch or recipe.finetune.batch_size, recipe.preview.batch_size)
        warnings = (
            recipe.twin_warnings + problem.warnings + (try_labels(problem, classes) if isinstance(recipe.model, FunctionModel) else ())
        )
    except BadInput as error:
        raise where(error, file, text) from error.__cause__
    try:
        recipe.check_goal(problem.names)
        if "ensemble" in recipe.preview.methods:
            check_mixable(problem.tasks)
    except BadInput as error:
        raise where(error.at("preview", "methods"), file, text) from error
    tasks = {task.name: _described(task) for task in problem.tasks}
    count = sum(tensor.numel() for tensor in parameters_of(problem.model).values())
    trainings = (len(tasks), len(joint_points(recipe, problem)) + 1)
    return Checked(count, tasks, trainings, len(grid(recipe, problem)), warnings), problem


def _described(task: Task) -> dict[str, object]:
    metrics = [metric.name for metric in task.metrics]
    return {"train": len(task.train), "validation": len(task.validation), "classes": len(task.classes), "metrics": metrics}


def grid(recipe: Recipe, problem: Problem) -> list[TaskWeights]:
    """The weightings that are previewed: as many over the simplex as are asked for, uniform weights, the joint runs' weights.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {points: 3}, joint: {points: 1}}")
    >>> [str(weights) for weights in grid(recipe, digits())][-2:]
    ['low=0,mid=0,high=1', 'low=0.333333333,mid=0.333333333,high=0.333333333']
    """
    points = covering(problem.names, recipe.preview.points)
    return list(dict.fromkeys([*points, uniform(problem.names), *joint_points(recipe, problem)]))


def has_private_heads(problem: Problem) -> bool:
    """Whether some tasks have parameters of their own, which joint finetuning without the task never trains.

    >>> has_private_heads(digits())
    False
    """
    return len({problem.names_of(task) for task in problem.tasks}) > 1


def joint_points(recipe: Recipe, problem: Problem) -> list[TaskWeights]:
    """The weightings of the joint runs, far from each other.

    Corners are left out: there a preview is exact by law. So are the simplex's faces where tasks
    have heads of their own, since a joint run without a task never trains its head.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {points: 6}, joint: {points: 2}}")
    >>> [str(weights) for weights in joint_points(recipe, digits())]
    ['low=0.333333333,mid=0.333333333,high=0.333333333', 'low=0.5,mid=0.5,high=0']
    """
    names = problem.names
    private = has_private_heads(problem)
    chosen: list[TaskWeights] = []
    first = max(lattice_near(names, recipe.preview.points), len(names) if private else 1)  # none is inside before
    for resolution in range(first, max(first, _FINEST) + 1):
        if math.comb(resolution + len(names) - 1, len(names) - 1) > _LARGEST:
            chosen = inside(names, recipe.joint.points)
            break
        chosen = [w for w in lattice(names, resolution) if w.corner is None and (not private or min(w.values()) > 0)]
        if len(chosen) >= recipe.joint.points:
            break
    return spread(list(dict.fromkeys([uniform(names), *chosen])), recipe.joint.points)
