"""Confirm: joint finetuning at given weights, evaluated like a preview."""

from collections.abc import Sequence

from foretaste.errors import WeightsError
from foretaste.evaluation import Evaluation
from foretaste.sources.problem import Problem
from foretaste.weights import TaskWeights
from foretaste.work.joint_evaluations import JointEvaluation
from foretaste.workflow.session import Session

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

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {steps: 2}") as session:
    ...     [(row.method, str(row.fidelity)) for row in confirm(session, [uniform(session.problem.names)])]
    [('joint', 'joint')]
    """
    check_trainable(session.problem, points)
    return [row for rows in session.finish([JointEvaluation(weights) for weights in points]) for row in rows]


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
        if idle and problem.has_private_heads:
            raise WeightsError(
                f"joint finetuning at {weights} would never train the head of task {idle[0]!r}; give it some weight"
            )
