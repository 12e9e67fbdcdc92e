"""What task weights mean for a joint run: how many rows of each task it draws, and how often it passes over them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from foretaste.document.blocks import Cell, Column, Table, cell_of
from foretaste.document.wording import counted, share
from foretaste.one_line import one_line
from foretaste.weights import even_rows, row_shares

__all__ = ["JointData", "JointShare", "joint_shares", "shares_record", "shares_table"]


@dataclass(frozen=True)
class JointData:
    """The data of a study's joint runs.

    Args:
        steps: Steps of a joint run.
        batch_size: Rows per step, of all tasks together.
        unit: What losses are means over: ``example`` or ``token``.
        realise: Whether weights give shares of the rows (``sampling``) or factors of the losses (``loss``).
        rows: Training rows of each task.
        units: Mean units of a row of each task: 1, or label tokens.
    """

    steps: int
    batch_size: int
    unit: str
    realise: str
    rows: Mapping[str, int]
    units: Mapping[str, float]

    __repr__ = one_line


@dataclass(frozen=True)
class JointShare:
    """One task's part of a joint run.

    Args:
        rows: Rows that are drawn, each as often as it is drawn.
        share_of_rows: Their share of all drawn rows.
        share_of_units: The share of the units in them: rows, or label tokens, which are the ones that are learned.
        epochs: How often the run passes over the task's rows.
    """

    rows: float
    share_of_rows: float
    share_of_units: float
    epochs: float


def joint_shares(data: JointData, weights: Mapping[str, float]) -> dict[str, JointShare]:
    """Tell what a joint run at some weights draws of each task, up to one row.

    Args:
        data: The data of the study's joint runs.
        weights: alpha, for all tasks of the data.

    >>> data = JointData(100, 8, "token", "sampling", {"a": 400, "b": 100}, {"a": 10.0, "b": 30.0})
    >>> shares = joint_shares(data, {"a": 0.5, "b": 0.5})
    >>> {task: (part.rows, part.share_of_units, part.epochs) for task, part in shares.items()}
    {'a': (600.0, 0.5, 1.5), 'b': (200.0, 0.5, 2.0)}
    """
    drawn = data.steps * data.batch_size
    if data.realise == "sampling":
        odds = row_shares(weights, data.units)
    else:
        odds = {task: count / data.batch_size for task, count in even_rows(weights, data.batch_size).items()}
    units = {task: odds[task] * data.units[task] for task in weights}
    total = sum(units.values())
    return {
        task: JointShare(odds[task] * drawn, odds[task], units[task] / total, odds[task] * drawn / data.rows[task])
        for task in weights
    }


def shares_record(data: JointData, weights: Mapping[str, float]) -> dict[str, Any]:
    """Record what a joint run at some weights draws of each task.

    >>> data = JointData(2, 8, "example", "sampling", {"a": 4}, {"a": 1.0})
    >>> shares_record(data, {"a": 1.0})["tasks"]
    {'a': {'rows': 16.0, 'share_of_rows': 1.0, 'share_of_units': 1.0, 'epochs': 4.0}}
    """
    tasks = {task: asdict(part) for task, part in joint_shares(data, weights).items()}
    return {"steps": data.steps, "batch_size": data.batch_size, "tasks": tasks}


def shares_table(data: JointData, weights: Mapping[str, float]) -> Table:
    """Tabulate what a joint run at some weights draws of each task.

    Shares of rows, and of learned tokens, are shown where they differ from the weights.

    >>> data = JointData(100, 8, "token", "sampling", {"a": 400, "b": 100}, {"a": 10.0, "b": 30.0})
    >>> table = shares_table(data, {"a": 0.5, "b": 0.5})
    >>> [column.name for column in table.columns], [cell.parts[0] for cell in table.rows[0]]
    (['task', 'rows drawn', 'of all rows', 'of learned tokens', 'epochs'], ['a', '600', '75%', '50%', '1.50'])
    """
    tokens, by_loss = data.unit == "token", data.realise == "loss"
    names = [
        "task",
        "rows drawn",
        *(["of all rows"] if tokens or by_loss else []),
        *(["of learned tokens"] if tokens else []),
    ]
    lines = []
    for task, part in joint_shares(data, weights).items():
        cells = [cell_of(task), cell_of(f"{round(part.rows):,}")]
        cells += [Cell((share(part.share_of_rows),))] if tokens or by_loss else []
        cells += [Cell((share(part.share_of_units),))] if tokens else []
        lines.append((*cells, cell_of(f"{part.epochs:,.2f}")))
    caption = f"What a joint run trains on: {counted(data.steps, 'step')} of {counted(data.batch_size, 'row')}."
    caption += " Weights are factors of the losses, and rows are drawn evenly." if by_loss else ""
    return Table(tuple(map(Column, (*names, "epochs"))), tuple(lines), caption=caption)
