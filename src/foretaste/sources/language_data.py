"""Data of language models: the rows of every task in a form that the kind of model reads, and warnings about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretaste.one_line import one_line
from foretaste.sources.data import Part, RawRows, read_rows
from foretaste.sources.formats import shared_columns
from foretaste.sources.forms import StandardRows, standard_rows
from foretaste.sources.pretrained import at
from foretaste.sources.request import TaskRequest
from foretaste.sources.row_warnings import TaskRows, cut_of, cut_warning, file_warnings, overlap_warnings
from foretaste.sources.tokens import EncodedRows
from foretaste.task import Task

__all__ = ["LanguageData", "data_warnings", "read_data"]

_FEW = 0.01  # share of the rows that may be cut without a warning; a check counts them all


@dataclass(frozen=True)
class LanguageData:
    """A task's rows, in a form that the kind of model reads.

    Args:
        train: Training rows.
        validation: Validation rows.
        columns: The columns that are read, by role.
        raw: The same rows, for exports.
    """

    train: StandardRows
    validation: StandardRows
    columns: Mapping[str, str]
    raw: RawRows

    __repr__ = one_line

    @property
    def parts(self) -> tuple[StandardRows, StandardRows]:
        """Return training and validation rows."""
        return self.train, self.validation


def read_data(kind: str, plans: Sequence[TaskRequest]) -> dict[str, LanguageData]:
    """Read the rows of all tasks, and choose the columns to read.

    Args:
        kind: Name of the kind of model.
        plans: The tasks.

    Raises:
        DataError: A file cannot be read or lacks columns; the field is named.

    >>> read_data("causal-lm", [TaskRequest("news", "no/train.jsonl", "no/test.jsonl", ())])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no/train.jsonl does not exist; relative paths start at the recipe's folder
    """
    rows = {plan.name: [_read(kind, plan, part) for part in plan.parts] for plan in plans}
    parts = {
        plan.name: [
            Part(("tasks", plan.name, part), where, standard.rows)
            for (part, where, *_), standard in zip(plan.parts, rows[plan.name], strict=True)
        ]
        for plan in plans
    }
    columns = shared_columns(kind, {name: standard[0].columns for name, standard in rows.items()}, parts)
    data = {}
    for plan in plans:
        train, validation = rows[plan.name]
        raw = RawRows.of(
            [train.rows, validation.rows], plan.train, plan.max_train, train.columns, converted=train.converted
        )
        data[plan.name] = LanguageData(train, validation, columns[plan.name], raw)
    return data


def _read(kind: str, plan: TaskRequest, part: tuple[str, str, str, int | None]) -> StandardRows:
    """Read one file of a task in a form that the kind of model reads."""
    field, (_, where, split, most) = ("tasks", plan.name, part[0]), part
    rows = at(field, read_rows, where, split, most, quoted=plan.quoted)
    return at(field, standard_rows, kind, rows, plan.single_columns, where)


def data_warnings(
    plans: Sequence[TaskRequest], data: Mapping[str, LanguageData], tasks: Sequence[Task], max_length: int
) -> tuple[str, ...]:
    """Collect warnings about data that distort results, a line each.

    Args:
        plans: The tasks' requests.
        data: Their rows.
        tasks: The tasks, in the same order.
        max_length: Most tokens of a row, where a task has no own number.
    """
    task_rows = {
        name: TaskRows(task.raw.train, task.raw.validation, list(task.columns.values())) for name, task in data.items()
    }
    warnings = list(overlap_warnings(task_rows))
    for plan, task in zip(plans, tasks, strict=True):
        for (part, where, _, most), rows, examples in zip(
            plan.parts, data[plan.name].parts, (task.train, task.validation), strict=True
        ):
            assert isinstance(examples, EncodedRows)
            name = "training" if part == "train" else part
            cut = cut_of(examples)
            if cut.rows > _FEW * cut.count:
                warnings += cut_warning(plan.name, name, cut, plan.max_length or max_length)
            warnings += file_warnings(where, rows.rows, most, quoted=plan.quoted)
            warnings += _moved_warning(plan.name, name, examples)
    return tuple(warnings)


def _moved_warning(task: str, part: str, examples: EncodedRows) -> tuple[str, ...]:
    count = sum(row.moved for row in examples.rows)
    if not count:
        return ()
    return (
        f"{count} of {len(examples)} {part} rows of task {task!r} have messages of the role 'developer', which the chat"
        " template does not know: they are written as those of 'system'",
    )
