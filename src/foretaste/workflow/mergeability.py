"""Mergeability: before any surface, whether the tasks' models can be merged at all."""

from collections.abc import Mapping, Sequence

from foretaste.engine import do
from foretaste.evaluate import evaluate
from foretaste.surface.mergeability import Mergeability, corner_of, pairs_of, paths
from foretaste.surface.table import Surface, headlines
from foretaste.task import Task
from foretaste.weights import corners
from foretaste.workflow.fit import Fitted, fit
from foretaste.workflow.judge import at_precision, judged_by
from foretaste.workflow.methods import METHODS, check_methods
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session

__all__ = ["checked_methods", "mergeability"]

_AVERAGING = "simple"


def mergeability(session: Session, methods: Sequence[str] = ()) -> Mergeability:
    """Evaluate plain averages between every two tasks' models, and previews where one task has all the weight.

    The averages are previews by simple averaging like any others, found or kept.

    Args:
        session: The recipe at work.
        methods: Whose previews are checked at the corners; see `checked_methods`.

    Raises:
        TaskError: A method that cannot preview these tasks.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         found = mergeability(session)
    >>> [pair.tasks for pair in found.pairs], [(corner.method, corner.exact) for corner in found.corners]
    ([('low', 'mid'), ('low', 'high'), ('mid', 'high')], [('simple', True)])
    """
    asked = checked_methods(methods or session.recipe.preview.methods, asked=bool(methods))
    check_methods(asked, session.problem.tasks)
    fitted, names, heads = fit(session), session.problem.names, headlines(session.problem.tasks)
    rows = preview(session, fitted, [_AVERAGING], paths(names))
    alone = _alone(session, fitted)
    found = [corner_of(method, preview(session, fitted, [method], corners(names)), alone, heads) for method in asked]
    return Mergeability(pairs_of(Surface(heads, tuple(rows))), tuple(found))


def checked_methods(methods: Sequence[str], *, asked: bool) -> list[str]:
    """The methods whose corners are checked: simple averaging, and those of these that train nothing more.

    Args:
        methods: Names in `METHODS`.
        asked: Whether they were asked for, and so are all checked.

    >>> checked_methods(["diagonal", "anchored"], asked=False), checked_methods(["anchored"], asked=True)
    (['simple', 'diagonal'], ['simple', 'anchored'])
    """
    return list(dict.fromkeys([_AVERAGING, *(name for name in methods if asked or not METHODS[name].trains)]))


def _alone(session: Session, fitted: Mapping[str, Fitted]) -> dict[str, Mapping[str, float]]:
    """Each task's metrics by its own run, without any merging."""
    session.watch.begin("single-task models", len(fitted))
    found = {}
    for task in session.problem.tasks:

        def make(task: Task = task) -> tuple[dict[str, object], None]:
            params = session.study.tensors(fitted[task.name].run.artefact)
            with at_precision(session):
                results = evaluate(session.problem.model, params, [task], batch_size=session.recipe.preview.batch_size)
            return {"metrics": dict(results[task.name].metrics)}, None

        inputs = {"task": task.name, "params": fitted[task.name].run.artefact, **judged_by(session)}
        found[task.name] = do(session.study, "alone", inputs, make, session.watch).result["metrics"]
        session.watch.advance(1, task.name)
    return found
