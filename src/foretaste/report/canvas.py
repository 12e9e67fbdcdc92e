"""The look of the charts: an empty figure, colours, axes and texts; no name is read as markup."""

from collections.abc import Mapping
from html import escape

import plotly.graph_objects as go

from foretaste.document.blocks import Axis, Chart, Series
from foretaste.document.wording import number, trimmed

__all__ = [
    "BELOW",
    "BESIDE",
    "COLOURS",
    "EDGE",
    "GRID",
    "INK",
    "LEGEND",
    "RED",
    "SCALE",
    "axis_style",
    "colour_scale",
    "escape_name",
    "hover_texts",
    "new_figure",
]

SCALE = "Viridis"  # even steps of lightness, safe for colour-blind readers
# Okabe and Ito, 2008
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8a7a00", "#444444")
INK, GRID, EDGE, LEGEND, RED = "#1f2933", "#dde3ea", "#9aa5b1", "#52647a", "#ff3b30"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_ALIKE = 0.01  # of a value that all points have, to both sides of it
BELOW = {"orientation": "h", "y": -0.16, "yanchor": "top", "thickness": 12, "len": 0.8, "outlinewidth": 0}
BESIDE = {"thickness": 12, "outlinewidth": 0}


def new_figure(height: int) -> go.Figure:
    """Make an empty figure in the report's look, as wide as its place on the page.

    Args:
        height: In pixels.

    >>> new_figure(380).layout.height
    380
    """
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "font": {"family": _FONT, "size": 13, "color": INK},
            "margin": {"l": 64, "r": 24, "t": 24, "b": 56},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        }
    )


def escape_name(name: str, length: int = 24) -> str:
    """Write a name as plotly may show it: in short lines, and never as markup.

    Args:
        name: The name, of one or more lines.
        length: Characters that a line keeps at most.

    >>> escape_name("<b>questions")
    '&lt;b&gt;questions'
    """
    return "<br>".join(escape(trimmed(line, length)) for line in name.split("\n"))


def hover_texts(series: Series) -> list[str]:
    """Write each point's text for the pointer: the first line bold, the others below.

    >>> hover_texts(Series("preview", "preview", ((0.5, 0.9),), (("simple", "a 50%"),)))
    ['<b>simple</b><br>a 50%']
    """
    return [
        "<br>".join([f"<b>{escape(first)}</b>", *(escape(trimmed(line, 60)) for line in others)])
        for first, *others in series.texts
    ]


def axis_style(axis: Axis) -> dict[str, object]:
    """Style a named axis with a quiet grid, a little longer than its bounds.

    >>> axis_style(Axis("accuracy", percent=True))["tickformat"]
    '.0%'
    """
    style: dict[str, object] = {
        "title": {"text": escape_name(axis.title, 48), "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": EDGE,
        "automargin": True,
        "tickformat": ".0%" if axis.percent else "",
    }
    if axis.bounds:
        low, high = axis.bounds
        margin = 0.03 * (high - low)
        style["range"] = [low - margin, high + margin]
    return style


def colour_scale(chart: Chart, bar: Mapping[str, object]) -> dict[str, object]:
    """Scale colours from the least value to the largest; where all are the same, the bar has that one tick.

    Args:
        chart: The chart, whose series have a value for each point.
        bar: Where the colour bar is: `BELOW` or `BESIDE` the chart.

    >>> points = Series("preview", "preview", ((0.5, 0.9),), (("simple",),), colours=(0.5,))
    >>> chart = Chart("plane", (Axis("a"), Axis("b")), (points,), colours=Axis("mean"))
    >>> colour_scale(chart, BESIDE)["colorbar"]["ticktext"]
    ['0.500']
    """
    axis = chart.colours or Axis("")
    values = [value for series in chart.series for value in series.colours]
    low, high = min(values, default=0.0), max(values, default=1.0)
    titled = {**bar, "title": {"text": escape_name(axis.title, 48), "side": "bottom" if bar is BELOW else "right"}}
    scale = {"colorscale": SCALE, "reversescale": axis.less_is_better}
    if high > low:
        return scale | {"cmin": low, "cmax": high, "colorbar": titled}
    around = _ALIKE * max(abs(low), _ALIKE)
    only = {"tickvals": [low], "ticktext": [number(low)]}
    return scale | {"cmin": low - around, "cmax": high + around, "colorbar": {**titled, **only}}
