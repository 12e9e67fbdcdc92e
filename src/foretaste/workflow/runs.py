"""Training runs of a study: one task alone, or all jointly; found, or made and kept."""

from dataclasses import asdict, replace

from foretaste.engine import do_training
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.weights import TaskWeights
from foretaste.workflow.experts import brought, params_of
from foretaste.workflow.session import Session

__all__ = ["finetuned", "jointly"]

_STRIDE = 1000  # between the seeds of one task's runs


def finetuned(session: Session, task: Task, member: int = 0) -> Done:
    """One of a task's runs; the first is the task's model, others differ by their seed. An imported model is the first.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         runs = [finetuned(session, session.problem.tasks[0], member) for member in (0, 1, 0)]
    >>> runs[0].key == runs[2].key, runs[0].key == runs[1].key
    (True, False)
    """
    known = brought(session.study).get(task.name) if member == 0 else None
    if known is not None:
        return params_of(session, task, known)
    model = session.problem.model
    training = replace(session.training, seed=session.training.seed + _STRIDE * member)
    inputs = {"base": session.base, "task": [task.name, task.identity], "training": asdict(training)}
    return do_training(
        session.study,
        "finetune",
        inputs,
        lambda begin, observer: finetune(model, None, task, training, start=begin, observer=observer),
        session.watch,
        training.steps,
        session.recipe.snapshot_seconds,
    )


def jointly(session: Session, weights: TaskWeights) -> Done:
    """Joint finetuning of all tasks at given weights.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         len(jointly(session, uniform(session.problem.names)).result["history"])
    2
    """
    model, tasks, training = session.problem.model, session.problem.tasks, session.joint_training
    realise = session.recipe.joint.realise
    inputs = {"base": session.base, "data": session.data, "weights": weights.key, "training": asdict(training), "realise": realise}
    return do_training(
        session.study,
        "joint",
        inputs,
        lambda begin, observer: joint(model, None, tasks, weights, training, realise=realise, start=begin, observer=observer),
        session.watch,
        training.steps,
        session.recipe.snapshot_seconds,
    )
