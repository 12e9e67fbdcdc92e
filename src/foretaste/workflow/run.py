"""Run: everything, from a recipe to a confirmed recommendation."""

from collections.abc import Sequence

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.method_table import with_controls
from foretaste.methods.diagonal import task_curvatures
from foretaste.store.study import StudyStore
from foretaste.surface.outlook import can_predict, choosable_weights, outlook, select_usable_rows
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.weights import TaskWeights
from foretaste.work.joint_evaluations import JointEvaluation
from foretaste.workflow.confirm import check_trainable, confirm
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.points import grid, joint_points
from foretaste.workflow.preview import list_previews
from foretaste.workflow.session import Session

__all__ = ["recommend_weights", "run"]

_CONFIRMATIONS = 3


def run(session: Session) -> Recommendation:
    """Fit, preview, check against joint runs, recommend, confirm.

    Work that the study has already is not done again. A joint run that disappoints changes the recommendation, which
    is then confirmed anew, by at most three joint runs in all.

    Returns:
        The recommendation.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study(
    ...     "finetune: {steps: 1}, preview: {points: 3, methods: [simple]}, joint: {points: 0}"
    ... ) as session:
    ...     run(session).floors_met, len(read_outcome(session.study).surface.rows)
    (True, 5)
    """
    methods, points = with_controls(session.recipe.preview.methods), joint_points(session.recipe, session.problem)
    check_trainable(session.problem, points)
    session.prepare(
        [
            *task_curvatures(session).values(),
            *list_previews(session, methods, grid(session.recipe, session.problem)),
            *(JointEvaluation(weights) for weights in points),
        ]
    )
    while (
        not (recommendation := recommend_weights(session.study)).confirmed
        and _count_other_runs(session, points) < _CONFIRMATIONS
    ):
        confirm(session, [recommendation.weights])
    return recommendation


def _count_other_runs(session: Session, points: Sequence[TaskWeights]) -> int:
    """Count the weightings that have a joint run and are not among these."""
    return len({row.weights for row in read_outcome(session.study).surface.where(Fidelity.JOINT).rows} - set(points))


def recommend_weights(
    study: StudyStore, prefer: Prefer | None = None, floors: Floors | None = None, method: str | None = None
) -> Recommendation:
    """Recommend weights among all weightings evaluated so far.

    Args:
        study: The study.
        prefer: What to maximise; as the recipe says if left out.
        floors: What must hold; as the recipe says if left out.
        method: A preview method, if the recommendation is to rest on its previews alone.

    Raises:
        StudyError: There is too little to predict from.

    >>> from foretaste.workflow.example import small_study
    >>> from foretaste.workflow.preview import preview
    >>> with small_study() as session:
    ...     _ = preview(session, ["diagonal"], grid(session.recipe, session.problem)[:1])
    ...     recommend_weights(session.study).weights
    TaskWeights(low=1,mid=0,high=0)
    """
    outcome = read_outcome(study, prefer, floors, method)
    rows = select_usable_rows(outcome.surface, method)
    if not can_predict(rows):
        if rows.is_from_outside:
            raise StudyError("there are too few runs to recommend from; tell the results of more runs first")
        raise StudyError("there are too few previews to recommend from; run `foretaste preview` first")
    return recommend(outlook(rows), outcome.preference, outcome.floors, among=choosable_weights(rows))
