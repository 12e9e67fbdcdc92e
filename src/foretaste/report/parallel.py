"""Parallel coordinates: one line per row across weights and metrics, for any number of tasks.

Drawn as ordinary lines, so that a page needs no WebGL and every line has its hover text.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from foretaste.evaluation import Evaluation
from foretaste.report.canvas import SCALE, axis, canvas, hover, label, shading
from foretaste.report.summary import Summary
from foretaste.report.wording import number, share
from foretaste.surface.table import Array, Surface

__all__ = ["parallel"]

_BINS = 8
_RED = "#ff3b30"


def parallel(summary: Summary, rows: Sequence[Evaluation], *, weights: bool) -> go.Figure:
    """Lines coloured by the preference's value; the recommended one is drawn thick.

    Args:
        summary: Names the tasks, the preference and the recommendation.
        rows: What to draw.
        weights: Whether the task weights come before the metrics.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> parallel(found, found.previews.rows, weights=True).layout.xaxis.ticktext
    ('a<br>weight', 'b<br>weight', 'a<br>accuracy', 'b<br>accuracy')
    """
    figure = canvas(460)
    surface = Surface(summary.surface.headlines, tuple(rows))
    if not rows:
        return figure
    table, names, bounds = _columns(summary, surface, weights)
    height = _scaled(table, bounds)
    for shade, members in _shades(summary.values(surface)):
        figure.add_trace(_lines(summary, surface, height, members, shade))
    chosen = summary.recommendation.weights if summary.recommendation else None
    best = [index for index, row in enumerate(rows) if row.weights == chosen]
    if best:
        star = _lines(summary, surface, height, best, _RED)
        figure.add_trace(star.update(name="recommended", line={"width": 4}, showlegend=True))
    figure.add_trace(_bar(summary.values(surface), summary.measure))
    _frame(figure, names, bounds, weights)
    return figure


def _columns(summary: Summary, surface: Surface, weights: bool) -> tuple[Array, list[str], Array]:
    """`[N, C]` columns, their names, and `[C, 2]` bounds."""
    heads = summary.surface.headlines.items()
    metrics = surface.values()
    names = [f"{label(task, 11)}<br>{label(head.metric, 11)}" for task, head in heads]
    bounds = np.stack([metrics.min(0), metrics.max(0)], 1)
    if not weights:
        return metrics, names, bounds
    unit = np.tile([0.0, max(float(surface.alphas().max()), 1e-9)], (len(names), 1))
    return (
        np.hstack([surface.alphas(), metrics]),
        [f"{label(task, 11)}<br>weight" for task in summary.tasks] + names,
        np.vstack([unit, bounds]),
    )


def _scaled(table: Array, bounds: Array) -> Array:
    width = bounds[:, 1] - bounds[:, 0]
    scaled: Array = np.where(width > 0, (table - bounds[:, 0]) / np.where(width > 0, width, 1.0), 0.5)
    return scaled


def _shades(values: Array) -> list[tuple[str, list[int]]]:
    """Rows grouped by value, the best last so that they lie on top."""
    width = float(np.ptp(values)) or 1.0
    bins = np.minimum(((values - values.min()) / width * _BINS).astype(int), _BINS - 1)
    colours = sample_colorscale(SCALE, [(index + 0.5) / _BINS for index in range(_BINS)])
    return [(colours[index], np.flatnonzero(bins == index).tolist()) for index in range(_BINS) if (bins == index).any()]


def _lines(summary: Summary, surface: Surface, height: Array, members: Sequence[int], colour: str) -> go.Scatter:
    across = list(range(height.shape[1]))
    heights: list[float | None] = []
    texts: list[str] = []
    for index in members:
        heights += [*height[index].tolist(), None]
        texts += [hover(summary, surface.rows[index])] * (len(across) + 1)
    return go.Scatter(
        x=[*across, None] * len(members),
        y=heights,
        mode="lines+markers",
        marker={"size": 4},
        line={"color": colour, "width": 1.3},
        hovertext=texts,
        hoverinfo="text",
        showlegend=False,
    )


def _bar(values: Array, title: str) -> go.Scatter:
    """No points: it carries the colour bar."""
    bounds = [float(values.min()), float(values.max())]
    bar = {"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0}
    marker = {"color": bounds, "showscale": True} | shading(bounds, bar)
    return go.Scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")


def _frame(figure: go.Figure, names: list[str], bounds: Array, weights: bool) -> None:
    figure.update_xaxes(
        axis("")
        | {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "showgrid": True,
            "tickangle": 0,
            "tickfont": {"size": 12},
            "gridcolor": "#9aa5b1",
            "range": [-0.4, len(names) - 0.6],
        }
    )
    figure.update_yaxes({"visible": False, "range": [-0.12, 1.12]})
    for index, (low, high) in enumerate(bounds.tolist()):
        write = share if weights and index < len(names) // 2 else number
        for height, value in ((-0.07, low), (1.07, high)):
            figure.add_annotation(x=index, y=height, text=write(value), showarrow=False, font={"size": 12})
    figure.update_layout(margin={"l": 12, "r": 12, "t": 12, "b": 70})
