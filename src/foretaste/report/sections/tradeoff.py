"""The trade-off between tasks: the Pareto front of the previews, and the one expected of joint runs."""

from dataclasses import replace

import numpy as np

from foretaste.document.blocks import Axis, Chart, Figure, Figures, Role, Section, Series
from foretaste.document.wording import counted, number, shares
from foretaste.report.sections.explanation import describe_front
from foretaste.report.sections.parallel import parallel_chart
from foretaste.report.sections.points import row_series
from foretaste.report.summary import Summary
from foretaste.surface.outlook import Outlook
from foretaste.surface.pareto import front
from foretaste.surface.table import Surface

__all__ = ["tradeoff_section"]

_LIKELY = 0.5


def tradeoff_section(summary: Summary) -> Section:
    """Draw the Pareto front of the previews by their headline metrics.

    Two tasks: one against the other. Three: the third is the colour. More: the front in parallel coordinates.

    Args:
        summary: Of a study with rows.
    """
    chart = (
        _plane(summary)
        if len(summary.tasks) in (2, 3)
        else parallel_chart(summary, front(summary.measured).rows, weights=False)
    )
    caption = " ".join(filter(None, (_caption(summary), describe_front(summary.outlook) if summary.outlook else "")))
    figure = Figure("tradeoff", "Pareto front", chart, caption)
    return Section("The trade-off", (Figures("", (figure,), wide=len(summary.tasks) > 3),))


def _caption(summary: Summary) -> str:
    """Count the previews on the front, and give the best that each task can have."""
    surface, noun = summary.measured, summary.measured_noun
    if not surface.rows:
        return "No results yet."
    best = surface.signs * (surface.values() * surface.signs).max(0)
    ends = ", ".join(f"{task} {number(value)}" for task, value in zip(summary.tasks, best, strict=True))
    count = f"{len(front(surface).rows)} of {counted(len(surface.rows), noun)}"
    return (
        f"{count} are on the Pareto front: no other {noun} is at least as good for every task. Best {noun} of each"
        f" task: {ends}."
    )


def _plane(summary: Summary) -> Chart:
    noun, efficient = summary.measured_noun, front(summary.measured)
    on_front = {row.weights for row in efficient.rows}
    others = replace(efficient, rows=tuple(row for row in summary.measured.rows if row.weights not in on_front))
    series = [_series(summary, others, noun, "preview")]
    if summary.outlook:
        series.append(_expected_front(summary.outlook))
    order = np.argsort(efficient.values()[:, 0]).tolist() if efficient.rows else []
    ordered = replace(efficient, rows=tuple(efficient.rows[place] for place in order))
    series.append(_series(summary, ordered, f"{noun} on the front", "front"))
    if summary.joint.rows and summary.previews.rows:
        series.append(_series(summary, summary.joint, "joint run", "joint"))
    if chosen := summary.chosen:
        alone = replace(efficient, rows=(chosen,))
        series.append(row_series(summary, alone.rows, "recommended", "recommended", _places(alone)))
    names = [f"{task}, {head.metric}" for task, head in summary.surface.headlines.items()]
    third = list(summary.surface.headlines.values())[2:]
    colours = Axis(names[2], less_is_better=not third[0].higher_is_better) if third else None
    return Chart("plane", (Axis(names[0]), Axis(names[1])), tuple(series), colours, "large")


def _places(surface: Surface) -> list[tuple[float, ...]]:
    return [tuple(point) for point in surface.values()[:, :2].tolist()]


def _series(summary: Summary, surface: Surface, name: str, role: Role) -> Series:
    """Rows by their first two tasks; those on the front and joint runs are coloured by the third, if there is one."""
    coloured = role != "preview" and len(summary.tasks) > 2
    colours = surface.values()[:, 2].tolist() if coloured and surface.rows else ()
    joined = role == "front" and not coloured
    return row_series(summary, surface.rows, name, role, _places(surface), colours=colours, joined=joined)


def _expected_front(outlook: Outlook) -> Series:
    """The first two tasks' expected metrics where a weighting is probably on the front, with 90 % intervals."""
    places = np.flatnonzero(outlook.on_front >= _LIKELY).tolist()
    middle, low, high = (
        table[places][:, :2] for table in (outlook.prediction.median, outlook.prediction.low, outlook.prediction.high)
    )
    texts = [
        (shares(outlook.points[place]), f"on the front with probability {outlook.on_front[place]:.0%}")
        for place in places
    ]
    spread = tuple(tuple(zip(*pair, strict=True)) for pair in zip(low.tolist(), high.tolist(), strict=True))
    return Series("expected front", "expected", tuple(map(tuple, middle.tolist())), tuple(texts), spread=spread)
