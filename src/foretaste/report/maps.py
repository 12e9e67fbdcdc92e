"""Maps: each task's metric, and the preference, over the weights.

Three tasks make a triangle, two a curve, more are drawn as parallel coordinates.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.canvas import COLOURS, STAR, add_coloured, axis, canvas, hover, label, shading
from foretaste.report.parallel import parallel
from foretaste.report.summary import Summary
from foretaste.surface.table import Surface

__all__ = ["VALUE", "maps"]

VALUE = "preference"

_BELOW = {"orientation": "h", "y": -0.16, "yanchor": "top", "thickness": 12, "len": 0.8, "outlinewidth": 0}


def maps(summary: Summary) -> dict[str, go.Figure]:
    """The figures by what they show: a task's name, or the preference.

    With four tasks or more, one figure has them all.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> list(maps(found))
    ['a', 'b', 'preference']
    """
    if len(summary.tasks) == 3:
        return {name: _triangle(summary, name) for name in (*summary.tasks, VALUE)}
    if len(summary.tasks) == 2:
        return {name: _curve(summary, name) for name in (*summary.tasks, VALUE)}
    return {VALUE: parallel(summary, summary.previews.rows, weights=True)}


def _column(summary: Summary, surface: Surface, name: str) -> list[float]:
    """A task's headline metric, or the preference's value, of each row."""
    if name in summary.tasks:
        head = summary.surface.headlines[name]
        return [row.metrics[name][head.metric] for row in surface.rows]
    return [float(value) for value in summary.values(surface)]


def _noun(summary: Summary, name: str) -> str:
    return label(summary.surface.headlines[name].metric) if name in summary.tasks else summary.measure


def _triangle(summary: Summary, name: str) -> go.Figure:
    figure = canvas(520)
    seen, real = _column(summary, summary.previews, name), _column(summary, summary.joint, name)
    figure.update_layout(
        coloraxis=shading(seen + real, _BELOW | {"title": {"text": _noun(summary, name), "side": "bottom"}})
        | {"reversescale": name in summary.tasks and not summary.surface.headlines[name].higher_is_better},
        ternary={"sum": 1, "bgcolor": "white"} | {f"{corner}axis": _side(task) for corner, task in zip("abc", summary.tasks, strict=True)},
        margin={"l": 64, "r": 64, "t": 56, "b": 150},
        legend={"y": -0.48, "font": {"size": 12}},
    )
    plain = {"size": 11, "coloraxis": "coloraxis"}
    ringed = {"size": 16, "coloraxis": "coloraxis", "line": {"color": "#d1006c", "width": 2.5}}
    add_coloured(figure, _points(summary, summary.previews.rows, "preview", plain | {"color": seen}))
    if real:
        add_coloured(figure, _points(summary, summary.joint.rows, "joint run", ringed | {"color": real}))
    if chosen := summary.chosen:
        figure.add_trace(_points(summary, [chosen], "recommended", STAR))
    return figure


def _side(task: str) -> dict[str, object]:
    return {
        "title": {"text": label(task, 14)},
        "tickformat": ".0%",
        "tickvals": [0.2, 0.4, 0.6, 0.8],
        "ticks": "outside",
        "ticklen": 9,
        "tickcolor": "rgba(0,0,0,0)",
        "gridcolor": "#dde3ea",
        "linecolor": "#9aa5b1",
    }


def _points(summary: Summary, rows: Sequence[Evaluation], name: str, marker: dict[str, object]) -> go.Scatterternary:
    sides = {corner: [row.weights[task] for row in rows] for corner, task in zip("abc", summary.tasks, strict=True)}
    return go.Scatterternary(
        sides,
        mode="markers",
        name=name,
        marker=marker,
        cliponaxis=False,
        hovertext=[hover(summary, row) for row in rows],
        hoverinfo="text",
    )


def _curve(summary: Summary, name: str) -> go.Figure:
    figure = canvas(380)
    second = summary.tasks[1]
    for index, method in enumerate(summary.surface.methods()):
        surface = summary.surface.where(Fidelity.PREVIEW, method).averaged()
        style = {"color": COLOURS[index % len(COLOURS)], "width": 3 if method == summary.method else 1.5}
        figure.add_trace(_line(summary, surface, name, f"preview, {label(method)}", style))
    joint = _line(summary, summary.joint, name, "joint run", {})
    joint.update(mode="markers", marker={"size": 10, "color": "#1f2933", "symbol": "diamond"})
    if summary.joint.rows:
        figure.add_trace(joint)
    if chosen := summary.chosen:
        star = _line(summary, Surface(summary.surface.headlines, (chosen,)), name, "recommended", {})
        figure.add_trace(star.update(mode="markers", marker=STAR))
    figure.update_xaxes(axis(f"weight of {label(second)}, the rest is {label(summary.tasks[0])}", ".0%") | {"range": [-0.03, 1.03]})
    figure.update_yaxes(axis(_noun(summary, name)))
    return figure.update_layout(legend={"y": -0.26})


def _line(summary: Summary, surface: Surface, name: str, legend: str, style: Mapping[str, object]) -> go.Scatter:
    second = summary.tasks[1]
    points = sorted(zip(surface.rows, _column(summary, surface, name), strict=True), key=lambda point: point[0].weights[second])
    return go.Scatter(
        x=[row.weights[second] for row, _ in points],
        y=[value for _, value in points],
        mode="lines",
        line=style,
        name=legend,
        hovertext=[hover(summary, row) for row, _ in points],
        hoverinfo="text",
    )
