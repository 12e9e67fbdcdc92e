"""Run: everything, from a recipe to a confirmed recommendation."""

from foretaste.surface.recommend import Recommendation, recommend
from foretaste.task import Fidelity
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.methods import with_controls
from foretaste.workflow.outcome import look
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session, grid, joint_points

__all__ = ["recommended", "run"]


def run(session: Session) -> Recommendation:
    """Fit, preview, check against joint runs, recommend, confirm.

    Work that the study has already is not done again.

    Returns:
        The recommendation, confirmed by a joint run.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load, start
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
    confirm(session, joint_points(session.recipe, session.problem))
    chosen = recommended(session)
    confirm(session, [chosen.weights])
    return chosen


def recommended(session: Session) -> Recommendation:
    """The recommendation from the previews made so far.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load, start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         _ = preview(session, fit(session), ["diagonal"], grid(recipe, session.problem)[:1])
    ...         recommended(session).weights
    TaskWeights(low=1,mid=0,high=0)
    """
    outcome = look(session.study)
    return recommend(outcome.surface.where(Fidelity.PREVIEW, outcome.method), outcome.preference, outcome.floors)
