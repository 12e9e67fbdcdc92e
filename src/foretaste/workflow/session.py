"""A recipe at work on a study: loaded, checked, opened."""

import math
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState

from foretaste import __version__
from foretaste.engine import REVISION, Unwatched, Watch
from foretaste.errors import BadInput, MissingExtra, StudyError
from foretaste.lazy import lazy
from foretaste.metrics import METRICS
from foretaste.outputs import check_mixable
from foretaste.params import buffers_of, parameters_of
from foretaste.plan import LORA, DigitsModel, FunctionModel, Recipe, TaskData, TransformersModel
from foretaste.recipe import where
from foretaste.sources.digits import digits
from foretaste.sources.frozen import frozen
from foretaste.sources.function import call
from foretaste.sources.problem import Problem
from foretaste.store.study import Study
from foretaste.surface.table import headlines
from foretaste.task import Task
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, covering, inside, lattice, lattice_near, spread, uniform
from foretaste.workflow.trial import try_batches, try_labels

if TYPE_CHECKING:
    from foretaste.sources import adapted, harness
    from foretaste.sources import language as lm
    from foretaste.sources import transformers as hf
else:
    hf, lm = lazy("foretaste.sources.transformers"), lazy("foretaste.sources.language")
    adapted, harness = lazy("foretaste.sources.adapted"), lazy("foretaste.sources.harness")

_FINEST = 40  # lattice resolution, where the joint runs ask for many points
_LARGEST = 50_000  # points of a lattice; a finer one of many tasks takes minutes to list

__all__ = ["Checked", "Session", "check", "grid", "has_private_heads", "joint_points", "load", "start"]


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

    @property
    def training(self) -> Training:
        """How single-task runs are trained."""
        return Training(**self.recipe.finetune.numbers, seed=self.recipe.seed)

    @property
    def joint_training(self) -> Training:
        """How joint runs are trained."""
        steps = self.recipe.joint.steps or self.recipe.finetune.steps
        return Training(**{**self.recipe.finetune.numbers, "steps": steps}, seed=self.recipe.seed)

    @property
    def data(self) -> dict[str, str]:
        """Hash of each task's data."""
        return {task.name: task.identity for task in self.problem.tasks}


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


def start(recipe: Recipe, text: str, problem: Problem, folder: Path, watch: Watch | None = None) -> Session:
    """Open the study of a recipe, or make it.

    Args:
        recipe: Checked.
        text: Of the recipe's file.
        problem: What `check` made of it.
        folder: The study's.
        watch: Told of progress.

    Raises:
        StudyError: The study was made by another recipe, model or data; the parts are named.
        StorageError: The folder cannot be written, or lacks space.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> text = "{name: a, model: {source: digits}}"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(parse(text), text, digits(), Path(folder))
    ...     with session.study:
    ...         session.study.recipe()[0] == text
    True
    """
    base = problem.base()
    problem.model.to(PartialState().device)
    with ExitStack() as stack:
        study = stack.enter_context(Study.create(folder))
        session = Session(study, recipe, problem, base, watch or Unwatched())
        plan = _plan_of(session)
        found = study.recipe()
        if found is not None and study.is_begun():
            _same_question(found[1], plan, folder)
        copies = 3 * len(problem.tasks) + recipe.joint.points + 4
        kept = parameters_of(problem.model, problem.trained) | buffers_of(problem.model)
        study.require_space(copies * sum(t.numel() * t.element_size() for t in kept.values()))
        study.add_recipe(text, plan)
        stack.pop_all()
    return session


def _plan_of(session: Session) -> dict[str, object]:
    """What a study remembers of its recipe: the question, and how to answer it."""
    recipe, problem = session.recipe, session.problem
    return {
        "name": recipe.name,
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "identity": recipe.identity() | {"task order": problem.names, "revisions": REVISION},
        "data": session.data,
        "base": session.base,
        "unit": problem.tasks[0].unit,
        "headlines": {task: asdict(headline) for task, headline in headlines(problem.tasks).items()},
        "recommend": recipe.recommend.model_dump(),
        "method": recipe.preview.methods[-1],
        "inside": has_private_heads(problem),
        "facts": [list(fact) for fact in problem.facts],
        "versions": _versions(),
    }


def _versions() -> str:
    device = PartialState().device.type
    return f"foretaste {__version__}, torch {torch.__version__}, Python {platform.python_version()}, on {device}"


def _same_question(before: Mapping[str, object], now: Mapping[str, object], folder: Path) -> None:
    changes = [line for part in ("identity", "data", "base") for line in _changes(part, before[part], now[part])]
    if changes:
        listed = "\n  ".join(changes)
        raise StudyError(
            f"the study {folder} was made by another recipe, model or data:\n  {listed}\n"
            "name another folder with --study, or undo the change; the study is untouched"
        )


def _changes(name: str, before: object, now: object) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before if name == "revisions" else dict.fromkeys([*before, *now])  # a kind of work that is new was not done there
        return [line for key in keys for line in _changes(f"{name}.{key}".removeprefix("identity."), before.get(key), now.get(key))]
    was = "not recorded (the task had no fingerprint)" if before == "" and name.startswith("data.") else repr(before)
    return [] if before == now else [f"{name}: was {was}, is {now!r}"]


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
