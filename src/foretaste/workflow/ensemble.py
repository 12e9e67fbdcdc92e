"""Ensemble previews: no model is merged; what the tasks' models say is kept once and mixed for any weights.

They need no params, and so they give none: nothing of theirs can be sharpened or exported. A task's head of its own travels
with the task, as in every preview: each model's trunk is heard through it. At a corner an ensemble is the single-task model.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache

from foretaste.engine import do, do_evaluation, stop_if_asked
from foretaste.errors import RecipeError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.outputs import Outputs, outputs_of
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.weights import TaskWeights, corners
from foretaste.workflow.judge import at_precision, judged_by, per_example, precision
from foretaste.workflow.made import Made, Sites
from foretaste.workflow.session import Session

__all__ = ["kept_outputs", "mixed", "without_params"]


def without_params(method: str) -> RecipeError:
    """What to say where params are asked of a method that has none.

    >>> str(without_params("ensemble"))
    "method ensemble mixes what the tasks' models say and has no params to sharpen or export; take another, such as simple, ..."
    """
    return RecipeError(
        f"method {method} mixes what the tasks' models say and has no params to sharpen or export; "
        "take another, such as simple, with --method, or a joint run (foretaste confirm, foretaste export --joint)"
    )


def kept_outputs(session: Session, simple: Made, single: Callable[[TaskWeights], Params]) -> Made:
    """What every task's model says of every task's validation data, found or kept.

    Args:
        session: The recipe at work.
        simple: The tasks' models, as simple averaging has them.
        single: From a corner to the params of its model, each head that is a task's own among them.

    Returns:
        Work alone, the outputs last; there are no sites.

    >>> import pathlib, tempfile
    >>> from foretaste.params import parameters_of
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     runs = Made({task: () for task in session.problem.names}, lambda prior: {})
    ...     with session.study:
    ...         found = kept_outputs(session, runs, lambda corner: parameters_of(session.problem.model))
    >>> [work.kind for work in found.works["low"]]
    ['outputs']
    """
    names, tasks = session.problem.names, session.problem.tasks
    singles = cache(lambda: [single(corner) for corner in corners(names)])
    session.watch.begin("what the models say", len(names) * sum(len(task.validation) for task in tasks))
    found = {task.name: _outputs(session, task, simple, singles) for task in tasks}

    def none(prior: Gaussian) -> Sites:
        raise without_params("ensemble")

    return Made({task: (*works, found[task]) for task, works in simple.works.items()}, none)


def _outputs(session: Session, task: Task, simple: Made, singles: Callable[[], Sequence[Params]]) -> Done:
    seen = 0

    def on_batch(count: int) -> None:
        nonlocal seen
        seen += count
        session.watch.advance(count, task.name)
        stop_if_asked(session.watch)

    def make() -> tuple[dict[str, object], Params]:
        size = session.recipe.preview.batch_size
        with at_precision(session):
            return {}, outputs_of(session.problem.model, singles(), task, batch_size=size, on_batch=on_batch).to_tensors()

    inputs = {"base": session.base, "models": simple.artefacts, "task": [task.name, task.identity], **precision(session)}
    done = do(session.study, "outputs", inputs, make, session.watch)
    session.watch.advance(len(simple.works) * len(task.validation) - seen)
    return done


def mixed(session: Session, method: str, outputs: Made, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Every weighting's loss and metrics, as far as these follow from outputs; rows found or kept.

    Args:
        session: The recipe at work.
        method: The method's name.
        outputs: What `kept_outputs` gave.
        points: Weightings.

    >>> import pathlib, tempfile
    >>> from foretaste.params import parameters_of
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     runs = Made({task: () for task in session.problem.names}, lambda prior: {})
    ...     with session.study:
    ...         found = kept_outputs(session, runs, lambda corner: parameters_of(session.problem.model))
    ...         rows = mixed(session, "ensemble", found, corners(session.problem.names))
    >>> rows[0].metrics == rows[1].metrics  # all of its models are one
    True
    """
    tasks = session.problem.tasks
    losses = {task.name: task.loss for task in tasks}
    kept = outputs.works.items()
    read = cache(lambda: {name: Outputs.from_tensors(session.study.tensors(done[-1].artefact), losses[name]) for name, done in kept})
    rows = []
    for weights in points:

        def make(weights: TaskWeights = weights) -> tuple[Evaluation, Params]:
            held, start = read(), time.perf_counter()
            results = {task.name: held[task.name].results(task, [weights])[0] for task in tasks}
            metrics = {task: result.metrics for task, result in results.items()}
            cost = time.perf_counter() - start
            return Evaluation(weights, metrics, Fidelity.PREVIEW, method, session.recipe.seed, cost), per_example(results)

        inputs = {"method": method, "sites": outputs.artefacts, "weights": weights.key, **judged_by(session)}
        rows.append(do_evaluation(session.study, inputs, make, session.watch))
        session.watch.advance(1, str(weights))
    return rows
