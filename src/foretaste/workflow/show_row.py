"""One converted row of a task, as the model sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretaste.document.blocks import Code, Section, line_table
from foretaste.errors import TaskError
from foretaste.one_line import one_line
from foretaste.readable import Readable, View, register_view
from foretaste.report.rows import marked
from foretaste.sources.problem import Problem

__all__ = ["ShownRow", "show_row"]


@dataclass(frozen=True)
class ShownRow(Readable):
    """One training row of a task, as the model sees it.

    Args:
        task: The task's name.
        number: The row's number, from 1.
        rows: Number of training rows of the task.
        form: The name of the form that the row had in its file.
        text: Texts in order, each with whether the model learns it; empty for rows that are no texts.
        facts: Counts and labels by name.
    """

    task: str
    number: int
    rows: int
    form: str
    text: Sequence[tuple[str, bool]]
    facts: Mapping[str, object]

    __repr__ = one_line


def show_row(problem: Problem, task: str, number: int = 1) -> ShownRow:
    """Show a training row of a task as the model sees it.

    Args:
        problem: The model and its tasks.
        task: The task's name.
        number: The row's number, from 1.

    Raises:
        TaskError: There is no such task or row.

    >>> from foretaste.recipe import parse
    >>> from foretaste.loading import load
    >>> text = "{name: a, model: {source: digits}}"
    >>> result = show_row(load(parse(text), text, "study.yaml"), "low", 2)
    >>> result.rows, result.facts["inputs"]
    (300, 'tensor of 64')
    >>> show_row(load(parse(text), text, "study.yaml"), "slow")
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: there is no task 'slow'; the tasks are low, mid, high
    """
    chosen = next((one for one in problem.tasks if one.name == task), None)
    if chosen is None:
        raise TaskError(f"there is no task {task!r}; the tasks are {', '.join(problem.names)}")
    if not 1 <= number <= len(chosen.train):
        raise TaskError(f"task {task!r} has {len(chosen.train)} training rows, and row {number} is none of them")
    view = problem.view.row(chosen, number - 1)
    return ShownRow(task, number, len(chosen.train), view.form, tuple(view.text), view.facts)


def _record(result: ShownRow) -> dict[str, object]:
    return {
        "task": result.task,
        "row": result.number,
        "rows": result.rows,
        "form": result.form,
        "text": [{"text": text, "learned": learned} for text, learned in result.text],
        "facts": dict(result.facts),
    }


def _section(result: ShownRow) -> Section:
    facts = {name: _words(value) for name, value in {"form": result.form, **result.facts}.items()}
    text = (Code(marked(result.text)),) if result.text else ()
    title = f"Row {result.number:,} of {result.rows:,} of task {result.task}"
    return Section(title, (*text, line_table("", facts)))


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


register_view(
    ShownRow,
    View(
        _record,
        lambda result: (_section(result),),
        lambda result: [{"text": text, "learned": learned} for text, learned in result.text],
    ),
)
