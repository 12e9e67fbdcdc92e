"""Sharpen: a few joint steps from a preview, evaluated as a fidelity of its own."""

from collections.abc import Sequence

from foretaste.evaluation import Evaluation
from foretaste.methods.previews import SharpenedPreview
from foretaste.methods.registry import require_params
from foretaste.weights import TaskWeights
from foretaste.work.joint_evaluations import ShortJointRun
from foretaste.workflow.confirm import check_trainable
from foretaste.workflow.session import Session

__all__ = ["sharpen_previews", "train_briefly"]


def sharpen_previews(session: Session, method: str, steps: int, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Preview every weighting, train on for a few joint steps, evaluate.

    Args:
        session: The recipe at work.
        method: Of the previews.
        steps: Joint steps from each.
        points: Weightings.

    Returns:
        The rows; their cost includes the steps.

    Raises:
        WeightsError: A task with a head of its own has no weight.
        RecipeError: A method without params.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     rows = sharpen_previews(session, "simple", 2, [uniform(session.problem.names)])
    >>> rows[0].label, str(rows[0].fidelity)
    ('simple+2', 'sharpened')
    """
    check_trainable(session.problem, points)
    require_params(method)
    return [
        row for rows in session.finish([SharpenedPreview(method, steps, weights) for weights in points]) for row in rows
    ]


def train_briefly(session: Session, steps: int, points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Train jointly for as many steps without a preview: joint finetuning cut short, from the pretrained params.

    It is the rival of every preview at the same cost per weighting, and it needs no single-task run.

    Args:
        session: The recipe at work.
        steps: Of each run; its learning rate rises and falls within them.
        points: Weightings.

    Returns:
        The rows; their method is ``pretrained``.

    Raises:
        WeightsError: A task with a head of its own has no weight.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     [row.label for row in train_briefly(session, 2, [uniform(session.problem.names)])]
    ['pretrained+2']
    """
    check_trainable(session.problem, points)
    return [row for rows in session.finish([ShortJointRun(steps, weights) for weights in points]) for row in rows]
