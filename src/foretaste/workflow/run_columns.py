"""Columns of a table of runs: what each of them holds, and the runs that its rows describe."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real

from foretaste.errors import BadInput, DataError
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.sources.run_tables import RunTable
from foretaste.surface.fidelities import parse_fidelity
from foretaste.surface.table import Surface
from foretaste.workflow.tell import OutsideRun, read_metrics, read_weights

__all__ = ["ColumnMapping", "TableOptions", "map_columns", "runs_of"]

_FACTS = ("fidelity", "seed", "cost")
_WEIGHT = ("weight.", "weight_", "weights.", "weights_")


@dataclass(frozen=True)
class TableOptions:
    """What holds for all rows of a table.

    Args:
        columns: The column of a weight (``code``), a metric (``code.pass@1``), ``fidelity``, ``seed`` or ``cost``,
            where its name does not say so.
        fidelity: Of rows without a column for it.
        seed: Of rows without a column for it.
        cost: Of rows without a column for it, and of later runs of this fidelity.
        normalise: Whether weights are divided by their sum.
    """

    columns: Mapping[str, str] | None = None
    fidelity: str = "joint"
    seed: int = 0
    cost: float | None = None
    normalise: bool = False

    __repr__ = one_line

    @property
    def costs(self) -> dict[str, float]:
        """What a run of the fidelity costs, if that is known."""
        return {} if self.cost is None else {self.fidelity: self.cost}


@dataclass(frozen=True)
class ColumnMapping:
    """What the columns of a table hold.

    Args:
        weights: By name, the column of its weight.
        metrics: By task and metric, its column.
        facts: The columns of fidelity, seed and cost, as far as there are any.
        unused: Columns that are not read.
        absent: What is mixed and has no column: its weight is taken for 0.
    """

    weights: Mapping[str, str]
    metrics: Mapping[tuple[str, str], str]
    facts: Mapping[str, str]
    unused: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    __repr__ = one_line

    def lines(self) -> list[tuple[str, str]]:
        """List what is read, and the column that it is read from."""
        weights = [(f"weight of {name}", column) for name, column in self.weights.items()]
        metrics = [(f"{metric} of {task}", column) for (task, metric), column in self.metrics.items()]
        return [*weights, *metrics, *self.facts.items()]


def map_columns(table: RunTable, surface: Surface, columns: Mapping[str, str] | None = None) -> ColumnMapping:
    """Find what each column of a table holds.

    A column ``weight.NAME``, or just ``NAME``, holds a weight; ``TASK.METRIC`` holds a metric, and ``TASK`` the
    headline metric of a task that is not mixed itself.

    Args:
        table: Has the columns.
        surface: Names tasks, their headline metrics, and what is mixed.
        columns: Exceptions: what is read, and its column.

    Raises:
        DataError: A column is missing, or the table has no weights or no metrics.

    >>> from foretaste.sources.run_tables import read_table
    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({"code": Headline("pass@1")}, (), domains=("web", "books"))
    >>> table = read_table([{"web": 0.5, "weight.books": 0.5, "humaneval": 0.4}])
    >>> for what, column in map_columns(table, surface, {"code": "humaneval"}).lines():
    ...     print(f"{what}: {column}")
    weight of web: web
    weight of books: weight.books
    pass@1 of code: humaneval
    """
    chosen = dict(columns or {})
    for target, column in chosen.items():
        if column not in table.columns:
            raise DataError(
                f"{table.name} has no column {column!r} for {target!r}; its columns are {first_few(table.columns, 12)}"
            )
    used = set(chosen.values())
    free = [column for column in table.columns if column not in used]
    names = surface.weight_names
    weights = _columns_there({name: _weight_column(name, chosen, free) for name in names})
    facts = _columns_there({fact: chosen.get(fact) or _own(fact, free) for fact in _FACTS})
    rest = [column for column in free if column not in {*weights.values(), *facts.values()}]
    measured = [column for column in rest if _has_numbers(table, column)]
    metrics = _chosen_metrics(chosen, surface) | _named_metrics(measured, surface)
    unused = tuple(column for column in rest if column not in set(metrics.values()))
    mapping = ColumnMapping(weights, metrics, facts, unused, tuple(name for name in names if name not in weights))
    _check(mapping, table, surface)
    return mapping


def _columns_there(columns: Mapping[str, str | None]) -> dict[str, str]:
    return {name: column for name, column in columns.items() if column is not None}


def _own(name: str, free: Sequence[str]) -> str | None:
    return name if name in free else None


def _weight_column(name: str, chosen: Mapping[str, str], free: Sequence[str]) -> str | None:
    """Find the column of a weight: the chosen one, or one with a usual name."""
    if name in chosen:
        return chosen[name]
    return next((column for column in (*(prefix + name for prefix in _WEIGHT), name) if column in free), None)


def _chosen_metrics(chosen: Mapping[str, str], surface: Surface) -> dict[tuple[str, str], str]:
    """Read which metrics a user chose columns for.

    Raises:
        DataError: What is chosen is no weight, metric or fact of this study.
    """
    metrics = {}
    for target, column in chosen.items():
        task, dot, metric = target.partition(".")
        if target in surface.weight_names or target in _FACTS:
            continue
        if task not in surface.headlines:
            raise DataError(
                f"nothing is called {target!r}; name a weight ({first_few(surface.weight_names)}), a metric such as"
                f" {surface.tasks[0]}.{surface.headlines[surface.tasks[0]].metric}, or {', '.join(_FACTS)}"
            )
        metrics[task, metric if dot else surface.headlines[task].metric] = column
    return metrics


def _named_metrics(columns: Sequence[str], surface: Surface) -> dict[tuple[str, str], str]:
    """Find columns called ``TASK.METRIC``, or ``TASK`` for its headline metric."""
    metrics = {}
    for column in columns:
        task, dot, metric = column.partition(".")
        if task in surface.headlines and (metric or not dot):
            metrics[task, metric or surface.headlines[task].metric] = column
    return metrics


def _has_numbers(table: RunTable, column: str) -> bool:
    """Whether some cell of a column is a number; a column of names is no metric, whatever it is called."""
    for _, cells in table.rows:
        with suppress(DataError):
            if column in cells:
                _number(cells, column)
                return True
    return False


def _check(mapping: ColumnMapping, table: RunTable, surface: Surface) -> None:
    """Refuse a table without weights or without metrics.

    Raises:
        DataError: The message says how columns are named, and which the table has.
    """
    first = next(iter(surface.headlines.items()))
    for lacking, example in (
        ("weights" if not mapping.weights else "", f"weight.{surface.weight_names[0]}"),
        ("metrics" if not mapping.metrics else "", f"{first[0]}.{first[1].metric}"),
    ):
        if lacking:
            raise DataError(
                f"{table.name} has no column of {lacking}; name columns as {example}, or say which they are:"
                f" --column {example.removeprefix('weight.')}=YOUR_COLUMN; its columns are"
                f" {first_few(table.columns, 12)}"
            )


def runs_of(
    table: RunTable, mapping: ColumnMapping, surface: Surface, options: TableOptions
) -> tuple[list[OutsideRun], list[str]]:
    """Read the runs of a table, and what is wrong with the other rows.

    Args:
        table: Has the rows.
        mapping: Says what its columns hold.
        surface: Names tasks and what is mixed.
        options: What holds for all rows.

    Returns:
        The runs in order, and a sentence with the place of each row that cannot be read.

    >>> from foretaste.sources.run_tables import read_table
    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({"a": Headline("f1")}, (), domains=("web", "books"))
    >>> table = read_table([{"web": 0.5, "books": 0.5, "a": 0.4}, {"web": 50, "books": 50, "a": 0.4}])
    >>> runs, faults = runs_of(table, map_columns(table, surface), surface, TableOptions())
    >>> len(runs), faults[0]
    (1, 'row 2: the weights sum to 100, not 1; they look like percentages; add --normalise (normalise=True)')
    """
    runs, faults = [], []
    for place, cells in table.rows:
        try:
            runs.append(_run(place, cells, mapping, surface, options))
        except BadInput as error:
            faults.append(f"{place}: {error}")
    return runs, faults


def _run(
    place: str, cells: Mapping[str, object], mapping: ColumnMapping, surface: Surface, options: TableOptions
) -> OutsideRun:
    empty = [column for column in mapping.weights.values() if column not in cells]
    if empty and options.normalise:  # otherwise the sum says it
        raise DataError(f"{first_few(empty)} is empty; write 0 for no weight")
    shares = {name: _share(cells, column) for name, column in mapping.weights.items() if column in cells}
    metrics: dict[str, dict[str, float]] = {}
    for (task, metric), column in mapping.metrics.items():
        if column in cells:
            metrics.setdefault(task, {})[metric] = _number(cells, column)
    facts = {fact: column for fact, column in mapping.facts.items() if column in cells}
    fidelity = str(cells[facts["fidelity"]]).strip() if "fidelity" in facts else options.fidelity
    parse_fidelity(fidelity)
    return OutsideRun(
        read_weights(surface, shares, normalise=options.normalise),
        read_metrics(surface, metrics),
        fidelity,
        _whole(cells, facts["seed"]) if "seed" in facts else options.seed,
        _number(cells, facts["cost"]) if "cost" in facts else options.cost,
        place,
    )


def _share(cells: Mapping[str, object], column: str) -> float:
    """Read a weight, which may be written as a percentage."""
    value = cells[column]
    if isinstance(value, str) and value.strip().endswith("%"):
        return _number({column: value.strip().removesuffix("%")}, column)
    return _number(cells, column)


def _number(cells: Mapping[str, object], column: str) -> float:
    value = cells[column]
    try:
        if isinstance(value, bool) or not isinstance(value, str | Real):
            raise ValueError
        return float(value)
    except ValueError:
        share = " (write 0.41 for 41%)" if isinstance(value, str) and value.strip().endswith("%") else ""
        raise DataError(f"{column} is {value!r}, which is no number{share}") from None


def _whole(cells: Mapping[str, object], column: str) -> int:
    number = _number(cells, column)
    if not number.is_integer():
        raise DataError(f"{column} is {number:g}; a seed is a whole number")
    return int(number)
