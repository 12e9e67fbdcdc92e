"""Mergeability: before any surface, whether the tasks' models can be merged at all."""

from collections.abc import Sequence

from foretaste.method_table import METHOD_TABLE
from foretaste.methods.registry import check_methods
from foretaste.surface.mergeability import Mergeability, corner_of, pairs_of, paths
from foretaste.surface.table import Surface, headlines
from foretaste.weights import corners
from foretaste.work.single_task import SingleTaskMetrics
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session

__all__ = ["mergeability", "methods_to_check"]

_AVERAGING = "simple"


def mergeability(session: Session, methods: Sequence[str] = ()) -> Mergeability:
    """Evaluate plain averages between every two tasks' models, and previews where one task has all the weight.

    The averages are previews by simple averaging like any others, found or kept.

    Args:
        session: The recipe at work.
        methods: Whose previews are checked at the corners; see `methods_to_check`.

    Raises:
        TaskError: A method that cannot preview these tasks.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     result = mergeability(session)
    >>> [pair.tasks for pair in result.pairs], [(corner.method, corner.exact) for corner in result.corners]
    ([('low', 'mid'), ('low', 'high'), ('mid', 'high')], [('simple', True)])
    """
    checked = methods_to_check(methods or session.recipe.preview.methods, named=bool(methods))
    check_methods(checked, session.problem.tasks, session.problem.space)
    names, heads = session.problem.names, headlines(session.problem.tasks)
    fit(session)
    rows = preview(session, [_AVERAGING], paths(names))
    single = dict(zip(names, session.finish([SingleTaskMetrics(task) for task in names]), strict=True))
    corner_results = [
        corner_of(method, preview(session, [method], corners(names)), single, heads) for method in checked
    ]
    return Mergeability(pairs_of(Surface(heads, tuple(rows))), tuple(corner_results))


def methods_to_check(methods: Sequence[str], *, named: bool) -> list[str]:
    """The methods whose corners are checked: simple averaging, and those of these that train nothing more.

    Args:
        methods: Names in `foretaste.method_table`.
        named: Whether the user named them; then all of them are checked.

    >>> methods_to_check(["diagonal", "anchored"], named=False), methods_to_check(["anchored"], named=True)
    (['simple', 'diagonal'], ['simple', 'anchored'])
    """
    return list(dict.fromkeys([_AVERAGING, *(name for name in methods if named or not METHOD_TABLE[name].trains)]))
