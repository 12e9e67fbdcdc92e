"""Preview: merge the tasks' sites for any weights and evaluate what comes out."""

from collections.abc import Sequence

from foretaste.evaluation import Evaluation
from foretaste.methods.previews import Previews, merger_of, method_work
from foretaste.methods.registry import check_methods, find_method, require_params
from foretaste.methods.site_set import Merger, SiteSet
from foretaste.weights import TaskWeights
from foretaste.workflow.session import Session

__all__ = ["list_previews", "prepare", "prepare_merger", "preview"]


def preview(session: Session, methods: Sequence[str], points: Sequence[TaskWeights]) -> list[Evaluation]:
    """Merge and evaluate every weighting by every method.

    Where a method merges nothing, mix the predictions of the tasks' models.

    Args:
        session: The recipe at work.
        methods: Names in `foretaste.method_table`.
        points: Weightings.

    Returns:
        The rows, method by method.

    Raises:
        TaskError: See `check_methods`.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     rows = preview(session, ["diagonal"], [uniform(session.problem.names)])
    >>> [(row.method, str(row.weights)) for row in rows]
    [('diagonal', 'low=0.333333333,mid=0.333333333,high=0.333333333')]
    """
    return [row for part in session.finish(list_previews(session, methods, points)) for row in part]


def list_previews(session: Session, methods: Sequence[str], points: Sequence[TaskWeights]) -> list[Previews]:
    """List the previews of every weighting by every method, method by method, in parts that suit the engine.

    Args:
        session: The recipe at work.
        methods: Names in `foretaste.method_table`.
        points: Weightings.

    Raises:
        TaskError: See `check_methods`.

    >>> from foretaste.weights import corners
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     [len(work.points) for work in list_previews(session, ["simple", "diagonal"], corners("abc"))]
    [3, 3]
    """
    check_methods(methods, session.problem.tasks, session.problem.space)
    return [Previews(method, part) for method in methods for part in session.engine.split(points)]


def prepare(session: Session, method: str) -> SiteSet:
    """Do all that a method needs before its first preview, and return its sites.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     [work.kind for work in prepare(session, "predictive").works["low"]]
    ['finetune', 'outputs']
    """
    session.prepare(method_work(session, method))
    return find_method(method).sites(session)


def prepare_merger(session: Session, method: str) -> tuple[SiteSet, Merger]:
    """Do all that a method needs before its first preview.

    Return its sites and their merger under the prior that suits them.

    Raises:
        RecipeError: A method without params.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     prepare_merger(session, "simple")[1].merge(uniform(session.problem.names)).converged
    True
    """
    require_params(method)
    session.prepare(method_work(session, method))
    return merger_of(session, method)
