"""Confirm: joint finetuning at given weights, evaluated like a preview."""

import time
from collections.abc import Sequence

from foretaste.engine import do_evaluation
from foretaste.errors import WeightsError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params
from foretaste.sources.problem import Problem
from foretaste.weights import TaskWeights
from foretaste.workflow.judge import judged_by, row
from foretaste.workflow.runs import jointly
from foretaste.workflow.session import Session, has_private_heads

__all__ = ["check_trainable", "confirm"]


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
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 2}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         [(row.method, str(row.fidelity)) for row in confirm(session, [uniform(session.problem.names)])]
    [('joint', 'joint')]
    """
    check_trainable(session.problem, points)
    session.watch.begin("joint finetuning", len(points) * session.joint_training.steps)
    return [_confirmed(session, weights) for weights in points]


def check_trainable(problem: Problem, points: Sequence[TaskWeights]) -> None:
    """Check that joint finetuning can be held to these weights.

    Raises:
        WeightsError: A task with a head of its own has no weight, so its head would stay untrained.

    >>> from foretaste.sources.digits import digits
    >>> from foretaste.weights import corners
    >>> check_trainable(digits(), corners(digits().names))  # one head for all
    """
    for weights in points:
        idle = [task for task, share in weights.items() if share == 0]
        if idle and has_private_heads(problem):
            raise WeightsError(f"joint finetuning at {weights} would never train the head of task {idle[0]!r}; give it some weight")


def _confirmed(session: Session, weights: TaskWeights) -> Evaluation:
    run = jointly(session, weights)

    def make() -> tuple[Evaluation, Params]:
        start = time.perf_counter()
        return row(session, session.study.tensors(run.artefact), weights, Fidelity.JOINT, "joint", start, run.seconds)

    return do_evaluation(session.study, {"params": run.artefact, "weights": weights.key, **judged_by(session)}, make, session.watch)
