"""Run: everything, from a recipe to a confirmed recommendation."""

from foretaste.surface.recommend import Recommendation, recommend
from foretaste.task import Fidelity
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import look
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session, grid, joint_points

__all__ = ["recommended", "run"]


def run(session: Session) -> Recommendation:
    """Fit, preview, check against joint runs, recommend, confirm.

    Work that the study has already is not done again.

    Returns:
        The recommendation, confirmed by a joint run.
    """
    fitted = fit(session)
    preview(session, fitted, session.recipe.preview.methods, grid(session.recipe, session.problem))
    confirm(session, joint_points(session.recipe, session.problem))
    chosen = recommended(session)
    confirm(session, [chosen.weights])
    return chosen


def recommended(session: Session) -> Recommendation:
    """The recommendation from the previews made so far."""
    outcome = look(session.study)
    return recommend(outcome.surface.where(Fidelity.PREVIEW, outcome.method), outcome.preference, outcome.floors)
