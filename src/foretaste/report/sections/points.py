"""Rows as points of charts."""

from collections.abc import Sequence

from foretaste.document.blocks import Role, Series
from foretaste.document.wording import number, share, shares
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary

__all__ = ["describe_row", "row_series"]


def describe_row(summary: Summary, row: Evaluation) -> tuple[str, ...]:
    """Describe a row in lines: how it was made, then weight and metric of each task.

    Args:
        summary: Names the tasks and their metrics.
        row: Any.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.weights import uniform
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> describe_row(summary, Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint"))
    ('joint run', 'a 50%: accuracy 0.900', 'b 50%: accuracy 0.900')
    """
    kind = "joint run" if row.fidelity is Fidelity.JOINT else f"{row.fidelity}, {row.label}"
    weights = [] if summary.has_task_weights else [shares(row.weights)]
    lines = [
        f"{_with_weight(row, task)}: {head.metric} {number(row.metrics[task].get(head.metric))}"
        for task, head in summary.surface.headlines.items()
    ]
    return (kind, *weights, *lines)


def _with_weight(row: Evaluation, task: str) -> str:
    """Name a task, with its weight if it has one."""
    weight = row.weights.get(task)
    return task if weight is None else f"{task} {share(weight)}"


def row_series(
    summary: Summary,
    rows: Sequence[Evaluation],
    name: str,
    role: Role,
    points: Sequence[Sequence[float]],
    *,
    colours: Sequence[float] = (),
    joined: bool = False,
    strong: bool = False,
) -> Series:
    """Make a series of rows; hovering over a point describes its row.

    Args:
        summary: Names the tasks and their metrics.
        rows: N of them.
        name: As the legend calls it.
        role: What they are.
        points: N, a coordinate per axis.
        colours: N values, or none.
        joined: Whether a line goes through them.
        strong: Whether it is the one to look at.
    """
    texts = tuple(describe_row(summary, row) for row in rows)
    return Series(name, role, tuple(map(tuple, points)), texts, tuple(colours), joined=joined, strong=strong)
