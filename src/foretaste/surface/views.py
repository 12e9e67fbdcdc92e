"""Tables of rows and of recommended weights, the same in notebooks, terminals and documents."""

from collections.abc import Iterable, Mapping, Sequence

from foretaste.document.blocks import Cell, Column, Table, cell_of
from foretaste.document.wording import and_more, number, share, shares, signed, span
from foretaste.evaluation import Evaluation

__all__ = ["are_of_tasks", "domains_table", "metrics_of", "row_cells", "rows_table", "weights_table"]


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
    tasks = list(rows[0].metrics)
    metrics = {task: metrics_of(rows, task, (first or {}).get(task)) for task in tasks}
    columns, lines = row_cells(rows[:limit], metrics)
    lines = [(cell_of(row.label), *cells) for row, cells in zip(rows, lines, strict=False)]
    more = and_more(len(rows), limit, hint)
    return Table(
        (Column("made by"), *columns),
        tuple(lines),
        caption=f"\u2026 {more}." if more else "",
        apart=True,
        narrow_caption="Each cell: weight, then metric." if are_of_tasks(rows[0].weights, tasks) else "",
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


def row_cells(
    rows: Sequence[Evaluation], metrics: Mapping[str, Sequence[str]]
) -> tuple[list[Column], list[tuple[Cell, ...]]]:
    """Tabulate weights and metrics: together for each task, or the weights in front if they are of other domains.

    Args:
        rows: Any number of them.
        metrics: By task, the metrics to show.

    Returns:
        The columns, and the cells of each row.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform(["web", "books"]), {"a": {"f1": 0.9}}, Fidelity.JOINT, "joint")
    >>> columns, cells = row_cells([row], {"a": ["f1"]})
    >>> [column.name for column in columns], cells[0][0].parts
    (['weights', 'a'], ('web 50%, books 50%',))
    """
    if all(are_of_tasks(row.weights, metrics) for row in rows):
        columns = [Column(task, ("weight", *names)) for task, names in metrics.items()]
        return columns, [tuple(_row_cell(row, task, names) for task, names in metrics.items()) for row in rows]
    columns = [Column("weights", left=True), *(Column(task, tuple(names)) for task, names in metrics.items())]
    return columns, [
        (cell_of(shares(row.weights)), *(Cell(_values(row, task, names)) for task, names in metrics.items()))
        for row in rows
    ]


def are_of_tasks(weights: Mapping[str, float], tasks: Iterable[str]) -> bool:
    """Tell whether weights are those of the tasks themselves, of which ``TASK:METRIC`` names another metric.

    >>> are_of_tasks({"a": 1.0}, ["a", "a:f1"]), are_of_tasks({"web": 1.0}, ["a"])
    (True, False)
    """
    return {task.partition(":")[0] for task in tasks} == set(weights)


def _row_cell(row: Evaluation, task: str, metrics: Sequence[str]) -> Cell:
    own = row.weights.get(task)  # other metrics of a task have no weight of their own
    return Cell(("" if own is None else share(own), *_values(row, task, metrics)))


def _values(row: Evaluation, task: str, metrics: Sequence[str]) -> tuple[str, ...]:
    return tuple(number(row.metrics[task].get(metric)) for metric in metrics)


def weights_table(
    weights: Mapping[str, float],
    expected: Mapping[str, float],
    low: Mapping[str, float],
    high: Mapping[str, float],
    single: Mapping[str, float] | None = None,
    title: str = "",
) -> Table:
    """Tabulate recommended weights with the metric that a joint run is expected to have.

    Weights of other domains than the tasks are left out; `domains_table` has them.

    Args:
        weights: By task or domain.
        expected: Each task's headline metric.
        low: Lower end of its 90 % interval.
        high: Upper end.
        single: The same metric by the task's own model, for the tasks that have one; not shown if left out.
        title: A line above the table.

    >>> table = weights_table({"a": 1.0}, {"a": 0.9}, {"a": 0.8}, {"a": 0.95}, {"a": 0.92})
    >>> [cell.parts[0] for cell in table.rows[0]]
    ['a', '100%', '0.900', '0.800 to 0.950', '0.920', '-0.020']
    """
    has_weights = are_of_tasks(weights, expected)
    names = ["task", *(["weight"] if has_weights else []), "expected", "90 % interval"]
    names += ["single-task", "change"] if single is not None else []
    rows = []
    for task in expected:
        weight = weights.get(task)
        cells = [cell_of(task)]
        if has_weights:
            cells.append(cell_of("") if weight is None else Cell((share(weight),), share=weight))
        cells += [cell_of(number(expected[task])), cell_of(span(low[task], high[task]))]
        if single is not None:
            alone = single.get(task)
            cells += [cell_of(number(alone)), cell_of(signed(None if alone is None else expected[task] - alone))]
        rows.append(tuple(cells))
    return Table(tuple(Column(name) for name in names), tuple(rows), title)


def domains_table(weights: Mapping[str, float], title: str = "") -> Table:
    """Tabulate the weights of domains that are not the tasks, the largest first.

    Args:
        weights: By domain.
        title: A line above the table.

    >>> [cell.parts[0] for cell in domains_table({"web": 0.4, "books": 0.6}).rows[0]]
    ['books', '60%']
    """
    rows = [
        (cell_of(domain), Cell((share(weight),), share=weight))
        for domain, weight in sorted(weights.items(), key=lambda pair: -pair[1])
    ]
    return Table((Column("domain"), Column("weight")), tuple(rows), title)
