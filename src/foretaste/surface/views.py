"""Tables of rows and of recommended weights, the same in notebooks, terminals and documents."""

from collections.abc import Mapping, Sequence

from foretaste.document.blocks import Cell, Column, Table, cell_of
from foretaste.document.wording import and_more, number, share, signed, span
from foretaste.evaluation import Evaluation

__all__ = ["metrics_of", "rows_table", "weights_table"]


def rows_table(
    rows: Sequence[Evaluation], limit: int = 30, hint: str = "", first: Mapping[str, str] | None = None
) -> Table:
    """Tabulate evaluations: how each was made, and every task's weight and metrics.

    Args:
        rows: At least one.
        limit: Show at most so many.
        hint: Where to see the others.
        first: By task, the metric to show before all others; the first that is no loss if left out.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"loss": 0.3, "accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> table = rows_table([row])
    >>> table.columns[1].parts, table.rows[0][1].parts
    (('weight', 'accuracy', 'loss'), ('50%', '0.900', '0.300'))
    """
    tasks = list(rows[0].weights)
    metrics = {task: metrics_of(rows, task, (first or {}).get(task)) for task in tasks}
    columns = [Column(task, ("weight", *metrics[task])) for task in tasks]
    lines = [(cell_of(row.label), *(_row_cell(row, task, metrics[task]) for task in tasks)) for row in rows[:limit]]
    more = and_more(len(rows), limit, hint)
    return Table(
        (Column("made by"), *columns),
        tuple(lines),
        caption=f"\u2026 {more}" if more else "",
        apart=True,
        narrow_caption="Each cell: weight, then metric.",
        short_caption="Other metrics: --json.",
    )


def metrics_of(rows: Sequence[Evaluation], task: str, first: str | None = None) -> list[str]:
    """List the metrics that any row has for a task: the headline first.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> metrics_of([Evaluation(uniform("a"), {"a": {"loss": 0.3, "f1": 0.9}}, Fidelity.JOINT, "joint")], "a")
    ['f1', 'loss']
    """
    names = list(dict.fromkeys(name for row in rows for name in row.metrics[task]))
    head = first if first in names else next((name for name in names if name != "loss"), None)
    return names if head is None else [head, *(name for name in names if name != head)]


def _row_cell(row: Evaluation, task: str, metrics: Sequence[str]) -> Cell:
    return Cell((share(row.weights[task]), *(number(row.metrics[task].get(metric)) for metric in metrics)))


def weights_table(
    weights: Mapping[str, float],
    expected: Mapping[str, float],
    low: Mapping[str, float],
    high: Mapping[str, float],
    single: Mapping[str, float] | None = None,
    title: str = "",
) -> Table:
    """Tabulate recommended weights with the metric that a joint run is expected to have.

    Args:
        weights: By task.
        expected: Each task's headline metric.
        low: Lower end of its 90 % interval.
        high: Upper end.
        single: The same metric by the task's own model, for the tasks that have one; not shown if left out.
        title: A line above the table.

    >>> table = weights_table({"a": 1.0}, {"a": 0.9}, {"a": 0.8}, {"a": 0.95}, {"a": 0.92})
    >>> [cell.parts[0] for cell in table.rows[0]]
    ['a', '100%', '0.900', '0.800 to 0.950', '0.920', '-0.020']
    """
    names = ["task", "weight", "expected", "90 % interval", *(["single-task", "change"] if single is not None else [])]
    rows = []
    for task, weight in weights.items():
        cells = [cell_of(task), Cell((share(weight),), share=weight)]
        cells += [cell_of(number(expected[task])), cell_of(span(low[task], high[task]))]
        if single is not None:
            alone = single.get(task)
            cells += [cell_of(number(alone)), cell_of(signed(None if alone is None else expected[task] - alone))]
        rows.append(tuple(cells))
    return Table(tuple(Column(name) for name in names), tuple(rows), title)
