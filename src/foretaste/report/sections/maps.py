"""Maps: each task's metric, and the preference, over the weights.

Three tasks make a triangle, two a curve, more are drawn as parallel coordinates.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foretaste.document.blocks import Axis, Chart, Figure, Figures, Section, Series
from foretaste.document.wording import counted, number, shares
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.sections.parallel import MOST_LINES, parallel_chart
from foretaste.report.sections.points import row_series
from foretaste.report.summary import Summary
from foretaste.surface.table import Array, Surface

__all__ = ["map_section"]


def map_section(summary: Summary) -> Section:
    """Draw what each weighting gives: a map of each task and one of the preference.

    With four weights or more, one figure shows all of them.

    Args:
        summary: Of a study with rows.
    """
    count = len(summary.weight_names)
    if count not in (2, 3):
        chart = parallel_chart(summary, summary.measured.rows, weights=True)
        rows = len(summary.measured.rows)
        few = f" The best {MOST_LINES} of {rows} are drawn." if rows > MOST_LINES else ""
        caption = f"{_caption(summary, None)} {_spans(summary)}{few}"
        figures = [Figure("map-0", f"Weights and metrics, coloured by {summary.preference}", chart, caption)]
    else:
        draw = _triangle if count == 3 else _curve
        titles: dict[str | None, str] = {task: task for task in summary.tasks}
        titles[None] = f"Preference: {summary.preference}"
        figures = [
            Figure(f"map-{place}", title, draw(summary, task), _caption(summary, task))
            for place, (task, title) in enumerate(titles.items())
        ]
    made_by = f"{summary.method} previews" if summary.previews.rows else "joint runs"
    return Section("The map", (Figures(f"What {made_by} give at each weighting.", tuple(figures), wide=count > 3),))


def _values(summary: Summary, surface: Surface, task: str | None) -> list[float]:
    """`[N]`: a task's headline metric, or the preference's value, of each row."""
    if task is None:
        return [float(value) for value in summary.values(surface)]
    metric = summary.surface.headlines[task].metric
    return [row.metrics[task][metric] for row in surface.rows]


def _axis(summary: Summary, task: str | None) -> Axis:
    if task is None:
        return Axis(summary.measure)
    head = summary.surface.headlines[task]
    return Axis(head.metric, less_is_better=not head.higher_is_better)


def _alphas(rows: Sequence[Evaluation]) -> list[list[float]]:
    return [list(row.weights.values()) for row in rows]


def _triangle(summary: Summary, task: str | None) -> Chart:
    previews, joint = summary.previews, summary.joint
    series = []
    if previews.rows:
        colours = _values(summary, previews, task)
        series.append(row_series(summary, previews.rows, "preview", "preview", _alphas(previews.rows), colours=colours))
    if joint.rows:
        series.append(
            row_series(
                summary, joint.rows, "joint run", "joint", _alphas(joint.rows), colours=_values(summary, joint, task)
            )
        )
    if chosen := summary.chosen:
        series.append(row_series(summary, [chosen], "recommended", "recommended", _alphas([chosen])))
    axes = tuple(Axis(name, percent=True) for name in summary.weight_names)
    return Chart("triangle", axes, tuple(series), _axis(summary, task), "large")


def _curve(summary: Summary, task: str | None) -> Chart:
    """A metric over the second task's weight, a line per method."""
    first, second = summary.weight_names
    series: list[Series] = []
    for method in summary.surface.methods():
        surface = summary.surface.where(Fidelity.PREVIEW, method).averaged()
        points = sorted(
            zip(surface.rows, _values(summary, surface, task), strict=True), key=lambda point: point[0].weights[second]
        )
        places = [(row.weights[second], value) for row, value in points]
        rows = [row for row, _ in points]
        series.append(
            row_series(
                summary, rows, f"preview, {method}", "line", places, joined=True, strong=method == summary.method
            )
        )
    if summary.joint.rows:
        places = [
            (row.weights[second], value)
            for row, value in zip(summary.joint.rows, _values(summary, summary.joint, task), strict=True)
        ]
        series.append(row_series(summary, summary.joint.rows, "joint run", "joint", places))
    if chosen := summary.chosen:
        (value,) = _values(summary, replace(summary.surface, rows=(chosen,)), task)
        series.append(row_series(summary, [chosen], "recommended", "recommended", [(chosen.weights[second], value)]))
    across = Axis(f"weight of {second}, the rest is {first}", percent=True, bounds=(0.0, 1.0))
    return Chart("plane", (across, _axis(summary, task)), tuple(series), size="small")


def _caption(summary: Summary, task: str | None) -> str:
    """Give the range over the previews, the best of them, the range over the joint runs, and what is recommended."""
    best = summary.recommendation
    noun = summary.measure if task is None else summary.surface.headlines[task].metric
    previewed, joint = (np.array(_values(summary, surface, task)) for surface in (summary.previews, summary.joint))
    sentences = _ranges(summary, previewed, joint, noun, task)
    if best:
        expected = best.value if task is None else best.expected[task]
        sentences.append(f"Expected at the recommended weights: {number(expected)}.")
    return " ".join(sentences)


def _ranges(summary: Summary, previewed: Array, joint: Array, noun: str, task: str | None) -> list[str]:
    sentences = []
    less = task is not None and not summary.surface.headlines[task].higher_is_better
    if len(previewed):
        best = summary.previews.rows[int(np.argmin(previewed) if less else np.argmax(previewed))].weights
        ends = f"{number(previewed.min())} to {number(previewed.max())}"
        sentences.append(f"{counted(len(previewed), 'preview')}: {noun} {ends}, best at {shares(best)}.")
    if len(joint):
        sentences.append(f"{counted(len(joint), 'joint run')}: {number(joint.min())} to {number(joint.max())}.")
    return sentences


def _spans(summary: Summary) -> str:
    """Give the range of every task over the rows shown."""
    values = summary.measured.values()
    ranges = [
        f"{task} {number(low)} to {number(high)}"
        for task, low, high in zip(summary.tasks, values.min(0), values.max(0), strict=True)
    ]
    return f"{'Previewed' if summary.previews.rows else 'Measured'} metrics: {', '.join(ranges)}."
