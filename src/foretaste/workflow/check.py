"""Checking a recipe before any work."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from accelerate import PartialState

from foretaste.errors import BadInput
from foretaste.loading import load
from foretaste.method_table import with_controls
from foretaste.methods.registry import check_methods, estimates_curvature
from foretaste.one_line import one_line
from foretaste.params import parameters_of, shape_of
from foretaste.plan import Recipe
from foretaste.quantized import count_parameters
from foretaste.readable import Readable, View, register_view
from foretaste.recipe import where
from foretaste.report.json import plain
from foretaste.report.sections.work import check_section
from foretaste.sources import bfloat16
from foretaste.sources.finetune_checks import check_task_names
from foretaste.sources.plans import FunctionModel, MemoryModel
from foretaste.sources.problem import Problem
from foretaste.task import Task
from foretaste.train.training import Training
from foretaste.work.context import Unwatched, Watch
from foretaste.work.tracking import check_tracker
from foretaste.work.trainings import joint_training, task_training
from foretaste.workflow.cost import KRONECKER, StudyCost, StudySize, study_cost
from foretaste.workflow.peak_memory import training_memory
from foretaste.workflow.points import grid, joint_points
from foretaste.workflow.trial import try_batches, try_labels

__all__ = ["CheckResult", "check", "check_problem", "load_watched"]


@dataclass(frozen=True)
class CheckResult(Readable):
    """What a recipe asks for, known before any work.

    Args:
        parameters: In the model.
        tasks: Per task: training rows, validation rows, classes, metrics. Of language models also the form of its rows,
            and their lengths in tokens.
        trainings: Single-task and joint runs that `run` makes.
        previews: Weightings that are previewed, per method.
        cost: Trainings, evaluations, disk and memory of `run`.
        training_bytes: About the largest memory of a training run; that of the program itself comes on top.
        seconds: About how long its training and evaluating take on this machine, by the forward passes that were timed.
        warnings: Reasons why results may look better than they are.
    """

    parameters: int
    tasks: Mapping[str, Mapping[str, object]]
    trainings: tuple[int, int]
    previews: int
    cost: StudyCost
    training_bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()

    __repr__ = one_line


def check(recipe: Recipe, text: str, file: str, watch: Watch | None = None) -> tuple[CheckResult, Problem]:
    """Open every data file, check every label, and try a batch of every task.

    Args:
        recipe: The recipe.
        text: The recipe's text, for line numbers.
        file: The recipe's path.
        watch: Shows progress.

    Raises:
        BadInput: The first fault found; nothing is written.

    >>> from foretaste.recipe import parse
    >>> text = "{name: a, model: {source: digits}, joint: {points: 4}}"
    >>> result, problem = check(parse(text), text, "study.yaml")
    >>> result.parameters, result.trainings
    (3466, (3, 5))
    """
    problem = load_watched(recipe, text, file, watch or Unwatched())
    return check_problem(recipe, problem, text, file, watch), problem


def load_watched(recipe: Recipe, text: str, file: str, watch: Watch) -> Problem:
    """Load a recipe's model and tasks, and show that this is under way.

    Args:
        recipe: The recipe.
        text: The recipe's text, for line numbers.
        file: The recipe's path.
        watch: Shows progress.

    Raises:
        BadInput: Something that the recipe names cannot be used; file, line and field are given.

    >>> from foretaste.recipe import parse
    >>> text = "{name: a, model: {source: digits}}"
    >>> load_watched(parse(text), text, "study.yaml", Unwatched()).names
    ['low', 'mid', 'high']
    """
    watch.begin("loading model, data", 1)
    problem = load(recipe, text, file)
    watch.advance(1)
    return problem


def check_problem(recipe: Recipe, problem: Problem, text: str, file: str, watch: Watch | None = None) -> CheckResult:
    """Check every label, and try a batch of every task.

    Args:
        recipe: The recipe.
        problem: Its model and tasks.
        text: The recipe's text, for line numbers.
        file: The recipe's path.
        watch: Shows progress.

    Raises:
        BadInput: The first fault found; nothing is written.
    """
    problem.model.to(PartialState().device)
    try:
        check_task_names(recipe.finetune, problem.names)
        if recipe.finetune.track is not None:
            check_tracker(recipe.finetune.track)
        alone = {task.name: task_training(recipe, task) for task in problem.tasks}
        together = joint_training(recipe, problem.tasks)
        micro = recipe.finetune.micro_batch or max(run.batch_size for run in (together, *alone.values()))
        trial = try_batches(problem, micro, recipe.preview.batch_size, watch)
        recompute = recipe.finetune.gradient_checkpointing
        memory = training_memory(problem, micro, recipe.finetune.optimizer, recompute=recompute)
        own_code = isinstance(recipe.model, FunctionModel | MemoryModel)
        labels = try_labels(problem, trial.classes) if own_code else ()
        warnings = _warn_of_twins(recipe) + _warn_of_slow_bfloat16(recipe) + problem.warnings + labels
    except BadInput as error:
        raise where(error, file, text) from error.__cause__
    try:
        recipe.check_goal(problem.names)
        check_methods(recipe.preview.methods, problem.tasks, problem.space)
        if estimates_curvature(recipe.preview.methods, problem.space):
            problem.space.check_curvature(problem.model)
    except BadInput as error:
        raise where(error.at("preview", "methods"), file, text) from error
    tasks = {
        task.name: {**_describe_task(task, alone[task.name]), **problem.view.describe(task)} for task in problem.tasks
    }
    numbers = {name: tensor.numel() for name, tensor in parameters_of(problem.model).items()}
    trainings = (len(tasks), len(joint_points(recipe, problem)) + 1)
    size = _size_of(recipe, problem, numbers, trainings)
    cost = study_cost(size)
    examples = [run.steps * run.batch_size for run in (*alone.values(), *[together] * trainings[1])]
    seconds = trial.training_seconds * sum(examples) / micro + trial.evaluation_seconds * cost.evaluations
    return CheckResult(
        count_parameters(problem.model), tasks, trainings, size.previews, cost, memory, seconds, warnings
    )


def _size_of(recipe: Recipe, problem: Problem, numbers: Mapping[str, int], trainings: tuple[int, int]) -> StudySize:
    methods = with_controls(recipe.preview.methods)
    trained = sum(count for name, count in numbers.items() if name in problem.trained)
    mean, curvature = problem.space.prior_mean(problem.model, problem.trained), _curvature(problem, methods)
    single, joint = trainings
    return StudySize(
        trained=trained,
        frozen=sum(numbers.values()) - trained,
        merged=sum(math.prod(shape_of(mean, name)) for name in mean) if curvature else None,
        tasks=single,
        joint_runs=joint,
        previews=len(grid(recipe, problem)),
        methods=len(methods),
        curvature=curvature,
        steps=joint_training(recipe, problem.tasks).steps,
        task_steps=sum(task_training(recipe, task).steps for task in problem.tasks),
    )


def _curvature(problem: Problem, methods: Sequence[str]) -> float:
    """Numbers of curvature per merged number."""
    if not estimates_curvature(methods, problem.space):
        return 0.0
    return 1.0 + (KRONECKER if {"kronecker", "anchored"} & set(methods) else 0.0)


def _describe_task(task: Task, training: Training) -> dict[str, object]:
    metrics = [metric.name for metric in task.metrics]
    return {
        "train": len(task.train),
        "validation": len(task.validation),
        "classes": len(task.classes),
        "metrics": metrics,
        "epochs": round(training.steps * training.batch_size / len(task.train), 3),
    }


def _warn_of_twins(recipe: Recipe) -> tuple[str, ...]:
    """Warn of each task that is another one in everything: they are one task, whose weight counts twice."""
    names = list(recipe.tasks)
    pairs = [
        (next((twin for twin in names[:place] if recipe.tasks[twin] == recipe.tasks[name]), None), name)
        for place, name in enumerate(names)
    ]
    advice = "so that one task's weight counts twice; remove one, or name other data"
    return tuple(
        f"tasks {twin!r} and {name!r} are the same in everything, {advice}" for twin, name in pairs if twin is not None
    )


def _warn_of_slow_bfloat16(recipe: Recipe) -> tuple[str, ...]:
    """Warn of every field that asks for bfloat16 where the device is slow in it."""
    fields = {
        "model.dtype": getattr(recipe.model, "dtype", None) == "bfloat16",
        "finetune.mixed_precision": recipe.finetune.mixed_precision == "bf16",
        "preview.mixed_precision": recipe.preview.mixed_precision == "bf16",
    }
    asking = [field for field, narrow in fields.items() if narrow]
    if not asking or bfloat16.is_fast():
        return ()
    return (
        f"{' and '.join(asking)} ask for bfloat16, which this processor has no instructions for: it may take twenty"
        " times as long as float32; remove it to compute in float32",
    )


register_view(
    CheckResult,
    View(
        lambda result: plain(asdict(result)),
        lambda result: (
            check_section(
                result.tasks,
                result.parameters,
                result.trainings,
                result.previews,
                {**asdict(result.cost), "training_bytes": result.training_bytes},
                result.seconds,
            ),
        ),
        lambda result: [{"task": name, **facts} for name, facts in result.tasks.items()],
    ),
)
