"""Run: everything, from a recipe to a confirmed recommendation."""

from collections.abc import Sequence

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.surface.outlook import evaluated, outlook, tellable, usable
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.weights import TaskWeights
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.methods import with_controls
from foretaste.workflow.outcome import look
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session, grid, joint_points

__all__ = ["recommended", "run"]

_CONFIRMATIONS = 3


def run(session: Session) -> Recommendation:
    """Fit, preview, check against joint runs, recommend, confirm.

    Work that the study has already is not done again. A joint run that disappoints changes the recommendation, which
    is then confirmed anew, by at most three joint runs in all.

    Returns:
        The recommendation.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> small = "finetune: {steps: 1}, curvature: {max_examples: 1}, preview: {points: 3, methods: [simple]}, joint: {points: 0}"
    >>> recipe = parse(text := f"{{name: a, model: {{source: digits}}, {small}}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         run(session).floors_met, len(look(session.study).surface.rows)
    (True, 5)
    """
    fitted = fit(session)
    preview(session, fitted, with_controls(session.recipe.preview.methods), grid(session.recipe, session.problem))
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

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         _ = preview(session, fit(session), ["diagonal"], grid(recipe, session.problem)[:1])
    ...         recommended(session).weights
    TaskWeights(low=1,mid=0,high=0)
    """
    outcome = look(session.study)
    told = usable(outcome.surface)
    if not tellable(told):
        raise StudyError("there are too few previews to recommend from; run `foretaste preview` first")
    return recommend(outlook(told), outcome.preference, outcome.floors, among=evaluated(told))
