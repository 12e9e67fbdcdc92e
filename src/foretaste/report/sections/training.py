"""What training did: every task's losses and metrics before and after, and the curves of all runs of a study."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foretaste.document.blocks import Axis, Chart, Column, Figure, Figures, Note, Section, Series, Table, cell_of
from foretaste.document.wording import counted, duration, joined, number, span
from foretaste.names import first_few
from foretaste.readable import Record
from foretaste.train.curve import RunCurve

__all__ = ["fit_section", "training_sections"]

_ENDS = "Training loss: the mean of the first tenth of the steps to that of the last tenth."
_PAIRS = "Before and after: the pretrained model and the task's own, on validation rows."
_POINTS = "Each point is the mean loss of the tenth of the run before it; at the start, of all steps before it."
_MOST = 1000  # points of a figure
_FEWEST, _USUAL = 10, 100  # points of a curve


def fit_section(tasks: Mapping[str, Record]) -> Section:
    """List what each task's training did: loss, headline metric before and after, time.

    Args:
        tasks: By name: ``loss_first``, ``loss_last``, ``metric``, ``higher_is_better``, ``pretrained``,
            ``single_task`` and ``seconds``; numbers that are not known are None.

    >>> record = {"loss_first": 2.0, "loss_last": 0.5, "metric": "accuracy", "higher_is_better": True}
    >>> section = fit_section({"a": record | {"pretrained": 0.1, "single_task": 0.9, "seconds": 3.2}})
    >>> [cell.parts[0] for cell in section.blocks[0].rows[0]]
    ['a', '2.000 to 0.500', 'accuracy', '0.100', '0.900', '3.2 s']
    """
    columns = ("task", "training loss", "metric", "before", "after", "time")
    rows = [
        (
            name,
            _losses(task["loss_first"], task["loss_last"]),
            str(task["metric"]),
            number(task["pretrained"]),
            number(task["single_task"]),
            duration(task["seconds"]),
        )
        for name, task in tasks.items()
    ]
    table = _table(columns, rows, f"{_ENDS} {_PAIRS}", left=("task", "metric"))
    idle = [name for name, task in tasks.items() if _learned_nothing(task)]
    return Section("", (table, *([_idle_note(idle)] if idle else [])))


def _learned_nothing(task: Record) -> bool:
    """Tell whether a task's own model is no better than the pretrained one by the headline metric."""
    before, after = task["pretrained"], task["single_task"]
    if before is None or after is None or not task["metric"]:
        return False
    return bool(after <= before if task["higher_is_better"] else after >= before)


def _idle_note(names: Sequence[str]) -> Note:
    subject = f"the model of {names[0]} is" if len(names) == 1 else f"the models of {joined(names)} are"
    text = f"{subject} no better than the pretrained model; train longer, or at another learning rate"
    return Note(text, "warning", "warning")


def _losses(first: float | None, last: float | None) -> str:
    return number(None) if first is None or last is None else span(first, last)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, left: Sequence[str], folded: str = ""
) -> Table:
    heads = tuple(Column(name, left=name in left) for name in columns)
    return Table(heads, tuple(tuple(map(cell_of, row)) for row in rows), caption=caption, folded=folded)


def training_sections(curves: Sequence[RunCurve]) -> list[Section]:
    """Draw the training loss of every run by step; empty if no run has a curve.

    Each single-task run has a line of its own. All joint runs are one series, which a click in the legend hides.

    Args:
        curves: The curves of single-task runs and of joint runs.
    """
    if not curves:
        return []
    alone, together = ([run for run in curves if run.is_joint is kind] for kind in (False, True))
    series = [_series(counted(len(together), "joint run"), together, len(curves))] if together else []
    series += [replace(_series(run.name, [run], len(curves)), strong=True) for run in alone]
    chart = Chart("plane", (Axis("step"), Axis("training loss")), tuple(series))
    figure = Figure("training", "Training loss by step", chart, _caption(alone, together))
    return [Section("Training", (Figures("", (figure,), wide=True), _run_table(curves)))]


def _caption(alone: Sequence[RunCurve], together: Sequence[RunCurve]) -> str:
    """Count the runs, and name single-task runs whose loss did not fall."""
    kinds = [(len(alone), "single-task run"), (len(together), "joint run")]
    text = f"{joined([counted(count, noun) for count, noun in kinds if count])}. {_POINTS}"
    rising = [run.name for run in alone if run.curve.last_loss >= run.curve.first_loss]
    return text + (f" The loss did not fall for {first_few(rising)}." if rising else "")


def _series(name: str, runs: Sequence[RunCurve], count: int) -> Series:
    """Make a line of each run; a point without numbers parts one from the next."""
    points: list[tuple[float, ...]] = []
    texts: list[tuple[str, ...]] = []
    for run in runs:
        if points:
            points.append((math.nan, math.nan))
            texts.append(("",))
        for place in _places(len(run.curve.steps), count):
            step, rate, loss = run.curve.steps[place], run.curve.learning_rates[place], _recent_loss(run, place)
            points.append((float(step), float(f"{loss:.5g}")))
            texts.append((run.name, f"step {step}: loss {number(loss)}, learning rate {rate:.3g}"))
    return Series(name, "line", tuple(points), tuple(texts))


def _recent_loss(run: RunCurve, place: int) -> float:
    """Return the mean loss of the tenth of a run's points that ends at a place, since single steps are noisy."""
    return statistics.mean(run.curve.losses[max(0, place + 1 - max(1, len(run.curve.losses) // 10)) : place + 1])


def _places(points: int, runs: int) -> list[int]:
    """Choose the points to draw, the last one included, so that the figure stays light however many runs there are."""
    most = max(_FEWEST, min(_USUAL, _MOST // runs))
    width = math.ceil(points / most)
    return list(range((points - 1) % width, points, width))


def _run_table(curves: Sequence[RunCurve]) -> Table:
    rows = [
        (
            f"joint, {run.name}" if run.is_joint else run.name,
            str(run.curve.steps[-1]),
            _losses(run.curve.first_loss, run.curve.last_loss),
            duration(run.seconds),
        )
        for run in curves
    ]
    folded = f"{counted(len(rows), 'run')}: steps, training loss, time"
    return _table(("run", "steps", "training loss", "time"), rows, _ENDS, left=("run",), folded=folded)
