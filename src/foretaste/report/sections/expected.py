"""What joint runs are expected to give over the weights: a curve for two weights, a map for three."""

import numpy as np

from foretaste.document.blocks import Axis, Chart, Figure, Series
from foretaste.document.wording import number, shares, span
from foretaste.evaluation import Evaluation
from foretaste.report.sections.points import row_series
from foretaste.report.summary import Summary
from foretaste.surface.outlook import Outlook
from foretaste.surface.table import Array, Surface

__all__ = ["expected_figure"]

_ENDS = (0.05, 0.95)


def expected_figure(summary: Summary, task: str | None = None) -> Figure:
    """Draw what is expected of joint runs over two or three weights.

    Args:
        summary: Of a study with an outlook, and of two or three weights.
        task: The task whose metric is drawn; what the preference gives if left out.
    """
    assert summary.outlook is not None
    middle, low, high = _expected(summary, summary.outlook, task)
    draw = _draw_map if len(summary.weight_names) == 3 else _draw_curve
    best = summary.recommendation
    chosen = "" if best is None else f", recommended: {shares(best.weights)}"
    measure = _axis(summary, task).title
    title = f"Expected of joint runs: {measure if task is None else f'{task}, {measure}'}"
    caption = f"{len(middle)} weightings, 90 % intervals{chosen}."
    return Figure("expected", title, draw(summary, summary.outlook, task, (middle, low, high)), caption)


def _axis(summary: Summary, task: str | None) -> Axis:
    if task is None:
        return Axis(summary.objective)
    head = summary.surface.headlines[task]
    return Axis(head.metric, less_is_better=not head.higher_is_better)


def _expected(summary: Summary, outlook: Outlook, task: str | None) -> tuple[Array, Array, Array]:
    """Return the middle and both ends of the interval of a joint run's value, `[N]` each."""
    if task is None:
        ends = np.quantile(outlook.values(summary.preference, measured=True), _ENDS, axis=0)
        return outlook.values(summary.preference).mean(0), ends[0], ends[1]
    place, prediction = summary.tasks.index(task), outlook.prediction
    return prediction.median[:, place], prediction.low[:, place], prediction.high[:, place]


def _texts(outlook: Outlook, values: tuple[Array, Array, Array]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (shares(weights), f"expected {number(middle)}", f"90 % interval {span(low, high)}")
        for weights, middle, low, high in zip(outlook.points, *(column.tolist() for column in values), strict=True)
    )


def _values_of(summary: Summary, rows: tuple[Evaluation, ...], task: str | None) -> list[float]:
    """Return each row's metric of the task, or what the preference gives for it."""
    if task is not None:
        return [row.metrics[task][summary.surface.headlines[task].metric] for row in rows]
    return [float(value) for value in summary.values(Surface(summary.surface.headlines, rows))]


def _draw_map(summary: Summary, outlook: Outlook, task: str | None, values: tuple[Array, Array, Array]) -> Chart:
    def places(rows: tuple[Evaluation, ...]) -> list[list[float]]:
        return [[row.weights[name] for name in summary.weight_names] for row in rows]

    points = tuple(tuple(weights[name] for name in summary.weight_names) for weights in outlook.points)
    series = [Series("expected", "preview", points, _texts(outlook, values), tuple(values[0].tolist()))]
    joint = summary.joint.rows
    if joint:
        colours = _values_of(summary, joint, task)
        series.append(row_series(summary, joint, "joint run", "joint", places(joint), colours=colours))
    if summary.recommendation is not None:
        at = outlook.places[summary.recommendation.weights]
        series.append(Series("recommended", "recommended", (points[at],), (series[0].texts[at],)))
    axes = tuple(Axis(name, percent=True) for name in summary.weight_names)
    return Chart("triangle", axes, tuple(series), _axis(summary, task), "large")


def _draw_curve(summary: Summary, outlook: Outlook, task: str | None, values: tuple[Array, Array, Array]) -> Chart:
    first, second = summary.weight_names

    def places(rows: tuple[Evaluation, ...]) -> list[tuple[float, float]]:
        across = [row.weights[second] for row in rows]
        return list(zip(across, _values_of(summary, rows, task), strict=True))

    across = np.array([weights[second] for weights in outlook.points])
    order = np.argsort(across, kind="stable").tolist()
    middle, low, high = (tuple(zip(across[order].tolist(), column[order].tolist(), strict=True)) for column in values)
    texts = _texts(outlook, values)
    series = [
        Series("90 % interval", "band", (*low, *reversed(high))),
        Series("expected", "line", middle, tuple(texts[place] for place in order), joined=True, strong=True),
    ]
    previews, joint = summary.previews.rows, summary.joint.rows
    if previews:
        series.append(row_series(summary, previews, f"preview, {summary.method}", "preview", places(previews)))
    if joint:
        series.append(row_series(summary, joint, "joint run", "joint", places(joint)))
    if summary.recommendation is not None:
        at = outlook.places[summary.recommendation.weights]
        place = (float(across[at]), float(values[0][at]))
        series.append(Series("recommended", "recommended", (place,), (texts[at],)))
    weight = Axis(f"weight of {second}, the rest is {first}", percent=True, bounds=(0.0, 1.0))
    return Chart("plane", (weight, _axis(summary, task)), tuple(series))
