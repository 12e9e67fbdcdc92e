"""Run: everything, from a recipe to a confirmed recommendation."""

from collections.abc import Sequence

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.method_table import with_controls
from foretaste.surface.outlook import evaluated, outlook, tellable, usable
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.weights import TaskWeights
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import look
from foretaste.workflow.points import grid, joint_points
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session

__all__ = ["recommended", "run"]

_CONFIRMATIONS = 3


def run(session: Session) -> Recommendation:
    """Fit, preview, check against joint runs, recommend, confirm.

    Work that the study has already is not done again. A joint run that disappoints changes the recommendation, which
    is then confirmed anew, by at most three joint runs in all.

    Returns:
        The recommendation.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {steps: 1}, preview: {points: 3, methods: [simple]}, joint: {points: 0}") as session:
    ...     run(session).floors_met, len(look(session.study).surface.rows)
    (True, 5)
    """
    fit(session)
    preview(session, with_controls(session.recipe.preview.methods), grid(session.recipe, session.problem))
    points = joint_points(session.recipe, session.problem)
    confirm(session, points)
    while not (chosen := recommended(session)).confirmed and _beside(session, points) < _CONFIRMATIONS:
        confirm(session, [chosen.weights])
    return chosen


def _beside(session: Session, points: Sequence[TaskWeights]) -> int:
    """How many weightings have a joint run beside these."""
    return len({row.weights for row in look(session.study).surface.where(Fidelity.JOINT).rows} - set(points))


def recommended(session: Session) -> Recommendation:
    """The recommendation from all that was evaluated so far, among the weightings that were.

    Raises:
        StudyError: There is too little to predict from.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     _ = preview(session, ["diagonal"], grid(session.recipe, session.problem)[:1])
    ...     recommended(session).weights
    TaskWeights(low=1,mid=0,high=0)
    """
    outcome = look(session.study)
    told = usable(outcome.surface)
    if not tellable(told):
        raise StudyError("there are too few previews to recommend from; run `foretaste preview` first")
    return recommend(outlook(told), outcome.preference, outcome.floors, among=evaluated(told))
