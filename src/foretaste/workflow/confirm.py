"""Confirm: joint finetuning at given weights, evaluated like a preview."""

import time
from collections.abc import Sequence
from dataclasses import asdict

from foretaste.engine import do_evaluation, do_training
from foretaste.errors import WeightsError
from foretaste.params import Params
from foretaste.task import Evaluation, Fidelity
from foretaste.train.joint import joint
from foretaste.weights import TaskWeights
from foretaste.workflow.preview import judged_by, row
from foretaste.workflow.session import Session, has_private_heads

__all__ = ["confirm"]


def confirm(session: Session, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Train jointly at every weighting and evaluate what comes out.

    Args:
        session: The recipe at work.
        points: Weightings.

    Returns:
        One row per weighting; its cost holds the training.

    Raises:
        WeightsError: A task with a head of its own has no weight, so its head would stay untrained.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         [(row.method, str(row.fidelity)) for row in confirm(session, [uniform(session.problem.names)])]
    [('joint', 'joint')]
    """
    for weights in points:
        idle = [task for task, share in weights.items() if share == 0]
        if idle and has_private_heads(session.problem):
            raise WeightsError(f"joint finetuning at {weights} would never train the head of task {idle[0]!r}; give it some weight")
    session.watch.begin("joint finetuning", len(points) * session.joint_training.steps)
    return [_confirmed(session, weights) for weights in points]


def _confirmed(session: Session, weights: TaskWeights) -> Evaluation:
    model, tasks, training = session.problem.model, session.problem.tasks, session.joint_training
    realise = session.recipe.joint.realise
    run = do_training(
        session.study,
        "joint",
        {"base": session.base, "data": session.data, "weights": weights.key, "training": asdict(training), "realise": realise},
        lambda begin, observer: joint(model, None, tasks, weights, training, realise=realise, start=begin, observer=observer),
        session.watch,
        training.steps,
        session.recipe.snapshot_seconds,
    )

    def make() -> tuple[Evaluation, Params]:
        start = time.perf_counter()
        return row(session, session.study.tensors(run.artefact), weights, Fidelity.JOINT, "joint", start, run.seconds)

    return do_evaluation(session.study, {"params": run.artefact, "weights": weights.key, **judged_by(session)}, make, session.watch)
