"""Drawing: charts as plotly figures, in one look; no name is read as markup."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from foretaste.document.blocks import Axis, Chart, Series
from foretaste.document.wording import number, share, trimmed

__all__ = ["draw"]

_SCALE = "Viridis"  # even steps of lightness, safe for colour-blind readers
_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#8a7a00",
    "#444444",
)  # Okabe and Ito, 2008
_INK, _GRID, _EDGE, _LEGEND, _RED = "#1f2933", "#dde3ea", "#9aa5b1", "#52647a", "#ff3b30"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_HEIGHTS = {"small": 380, "medium": 420, "large": 500}
_ALIKE = 0.01  # of a value that all points have, to both sides of it
_SHADES = 8
_BELOW = {"orientation": "h", "y": -0.16, "yanchor": "top", "thickness": 12, "len": 0.8, "outlinewidth": 0}
_BESIDE = {"thickness": 12, "outlinewidth": 0}
_MARKERS: Mapping[str, Mapping[str, object]] = {
    "preview": {"size": 7, "color": "#b8c2cc"},
    "front": {"size": 9, "color": _COLOURS[0]},
    "joint": {"size": 11, "color": _INK, "symbol": "diamond"},
    "recommended": {"symbol": "star", "size": 17, "color": _RED, "line": {"color": "white", "width": 1.5}},
    "expected": {"size": 6, "symbol": "x-thin", "line": {"width": 1.5, "color": "#3a7d5d"}},
    "equal": {"size": 1, "color": _INK},
}
_RING = {"line": {"color": _INK, "width": 2}}


def draw(chart: Chart) -> go.Figure:
    """Draw a chart.

    >>> points = Series("preview", "preview", ((0.5, 0.9),), (("simple", "a 50%: accuracy 0.900"),))
    >>> [trace.name for trace in draw(Chart("plane", (Axis("a"), Axis("b")), (points,))).data]
    ['preview']
    """
    match chart.kind:
        case "triangle":
            return _draw_triangle(chart)
        case "plane":
            return _draw_plane(chart)
        case "parallel":
            return _draw_parallel(chart)
        case "bars":
            return _draw_bars(chart)


def _canvas(height: int) -> go.Figure:
    """An empty figure in the house's look, as wide as its place."""
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "font": {"family": _FONT, "size": 13, "color": _INK},
            "margin": {"l": 64, "r": 24, "t": 24, "b": 56},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": _INK}},
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        }
    )


def _label(name: str, length: int = 24) -> str:
    """A name as plotly may show it: short lines, and never read as markup."""
    return "<br>".join(escape(trimmed(line, length)) for line in name.split("\n"))


def _hover(series: Series) -> list[str]:
    return [
        "<br>".join([f"<b>{escape(first)}</b>", *(escape(trimmed(line, 60)) for line in others)])
        for first, *others in series.texts
    ]


def _axis(axis: Axis) -> dict[str, object]:
    """A named axis with a quiet grid."""
    drawn: dict[str, object] = {
        "title": {"text": _label(axis.title, 48), "standoff": 8},
        "gridcolor": _GRID,
        "zeroline": False,
        "linecolor": _EDGE,
        "automargin": True,
        "tickformat": ".0%" if axis.percent else "",
    }
    if axis.bounds:
        low, high = axis.bounds
        margin = 0.03 * (high - low)
        drawn["range"] = [low - margin, high + margin]
    return drawn


def _shading(chart: Chart, bar: Mapping[str, object]) -> dict[str, object]:
    """Colours from the least value to the largest; where all are alike the bar has that one tick."""
    axis = chart.colours or Axis("")
    values = [value for series in chart.series for value in series.colours]
    low, high = min(values, default=0.0), max(values, default=1.0)
    titled = {**bar, "title": {"text": _label(axis.title, 48), "side": "bottom" if bar is _BELOW else "right"}}
    scale = {"colorscale": _SCALE, "reversescale": axis.less_is_better}
    if high > low:
        return scale | {"cmin": low, "cmax": high, "colorbar": titled}
    around = _ALIKE * max(abs(low), _ALIKE)
    only = {"tickvals": [low], "ticktext": [number(low)]}
    return scale | {"cmin": low - around, "cmax": high + around, "colorbar": {**titled, **only}}


def _add(figure: go.Figure, trace: go.Scatter | go.Scatterternary, series: Series) -> None:
    """Add points.

    The legend, which takes no value for a colour, gets a point of its own where they are coloured by values.
    """
    if not series.colours:
        figure.add_trace(trace)
        return
    ends = {key: [None] for key in (("x", "y") if isinstance(trace, go.Scatter) else ("a", "b", "c"))}
    marker = {"size": trace.marker.size, "symbol": trace.marker.symbol, "line": trace.marker.line, "color": _LEGEND}
    legend = type(trace)(ends, mode="markers", name=trace.name, legendgroup=trace.name, marker=marker, hoverinfo="skip")
    figure.add_traces([legend, trace.update(showlegend=False, legendgroup=trace.name)])


def _draw_triangle(chart: Chart) -> go.Figure:
    figure = _canvas(520)
    figure.update_layout(
        coloraxis=_shading(chart, _BELOW),
        ternary={"sum": 1, "bgcolor": "white"}
        | {f"{corner}axis": _side(axis) for corner, axis in zip("abc", chart.axes, strict=True)},
        margin={"l": 64, "r": 64, "t": 56, "b": 150},
        legend={"y": -0.48, "font": {"size": 12}},
    )
    for series in chart.series:
        marker = dict(_MARKERS[series.role])
        if series.colours:
            ring = {"size": 16, "line": {"color": "#d1006c", "width": 2.5}} if series.role == "joint" else {"size": 11}
            marker = {**ring, "color": list(series.colours), "coloraxis": "coloraxis"}
        sides = {corner: [point[place] for point in series.points] for place, corner in enumerate("abc")}
        trace = go.Scatterternary(sides, mode="markers", name=_label(series.name), marker=marker, cliponaxis=False)
        _add(figure, trace.update(hovertext=_hover(series), hoverinfo="text"), series)
    return figure


def _side(axis: Axis) -> dict[str, object]:
    return {
        "title": {"text": _label(axis.title, 14)},
        "tickformat": ".0%",
        "tickvals": [0.2, 0.4, 0.6, 0.8],
        "ticks": "outside",
        "ticklen": 9,
        "tickcolor": "rgba(0,0,0,0)",
        "gridcolor": _GRID,
        "linecolor": _EDGE,
    }


def _draw_plane(chart: Chart) -> go.Figure:
    figure = _canvas(_HEIGHTS[chart.size])
    if chart.colours:
        figure.update_layout(coloraxis=_shading(chart, _BESIDE))
    for place, series in enumerate(chart.series):
        _add(figure, _plane_trace(series, place), series)
    across, up = chart.axes
    return (
        figure.update_xaxes(_axis(across))
        .update_yaxes(_axis(up))
        .update_layout(legend={"y": -0.26 if chart.size == "small" else -0.2})
    )


def _plane_trace(series: Series, place: int) -> go.Scatter:
    colour = _COLOURS[place % len(_COLOURS)]
    x, y = ([point[axis] for point in series.points] for axis in (0, 1))
    trace = go.Scatter(x=x, y=y, mode="markers", name=_label(series.name), hovertext=_hover(series), hoverinfo="text")
    match series.role:
        case "line":
            return trace.update(mode="lines", line={"color": colour, "width": 3 if series.strong else 1.5})
        case "equal":
            return trace.update(
                mode="lines", line={"color": _INK, "dash": "dot", "width": 1.5}, showlegend=False, hoverinfo="skip"
            )
        case "task":
            return trace.update(
                marker={"size": 9, "color": colour, "symbol": place % 8, "line": {"color": "white", "width": 1}}
            )
        case "expected":
            return trace.update(marker=_MARKERS["expected"], error_x=_bars(series, 0), error_y=_bars(series, 1))
    marker = dict(_MARKERS[series.role])
    if series.colours:
        marker |= {"size": 13, **_RING} if series.role == "joint" else {"size": 11}
        marker |= {"color": list(series.colours), "coloraxis": "coloraxis"}
    trace.update(marker=marker)
    return trace.update(mode="lines+markers", line={"color": _COLOURS[0], "width": 1.5}) if series.joined else trace


def _bars(series: Series, axis: int) -> dict[str, object]:
    """Intervals as error bars."""
    above = [spread[axis][1] - point[axis] for point, spread in zip(series.points, series.spread, strict=True)]
    below = [point[axis] - spread[axis][0] for point, spread in zip(series.points, series.spread, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1,
        "width": 0,
        "color": "#8fbfa3",
    }


def _draw_parallel(chart: Chart) -> go.Figure:
    """A line per row, as ordinary lines: a page needs no WebGL for them, and every line has its hover text."""
    figure = _canvas(460)
    for series in chart.series:
        if series.role == "recommended":
            drawn = _lines(chart, series, range(len(series.points)), _RED)
            figure.add_trace(drawn.update(name=_label(series.name), line={"width": 4}, showlegend=True))
        else:
            for colour, members in _shades(series.colours):
                figure.add_trace(_lines(chart, series, members, colour))
    if not chart.axes:
        return figure
    values = [value for series in chart.series for value in series.colours]
    ends = [min(values), max(values)]
    shading = _shading(chart, _BESIDE)
    marker = {"color": ends, "showscale": True, **shading}  # no points: it carries the colour bar
    figure.add_trace(
        go.Scatter(x=[None, None], y=[None, None], mode="markers", marker=marker, showlegend=False, hoverinfo="skip")
    )
    _frame(figure, chart.axes)
    return figure


def _height(value: float, axis: Axis) -> float:
    """Where a value lies between an axis's ends; in the middle where they are one."""
    low, high = axis.bounds or (0.0, 1.0)
    return (value - low) / (high - low) if high > low else 0.5


def _shades(values: Sequence[float]) -> list[tuple[str, list[int]]]:
    """Places grouped by value; the best come last, so that they lie on top."""
    low, width = min(values), (max(values) - min(values)) or 1.0
    bins = [min(int((value - low) / width * _SHADES), _SHADES - 1) for value in values]
    colours = sample_colorscale(_SCALE, [(shade + 0.5) / _SHADES for shade in range(_SHADES)])
    groups = [(colours[shade], [place for place, own in enumerate(bins) if own == shade]) for shade in range(_SHADES)]
    return [(colour, places) for colour, places in groups if places]


def _lines(chart: Chart, series: Series, members: Sequence[int], colour: str) -> go.Scatter:
    across = list(range(len(chart.axes)))
    heights: list[float | None] = []
    texts: list[str] = []
    hover = _hover(series)
    for place in members:
        heights += [*(_height(value, axis) for value, axis in zip(series.points[place], chart.axes, strict=True)), None]
        texts += [hover[place]] * (len(across) + 1)
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


def _frame(figure: go.Figure, axes: Sequence[Axis]) -> None:
    """Names under the axes, and the values at their ends."""
    ticks = {"tickvals": list(range(len(axes))), "ticktext": [_label(axis.title, 11) for axis in axes]}
    style = {
        "showgrid": True,
        "tickangle": 0,
        "tickfont": {"size": 12},
        "gridcolor": _EDGE,
        "range": [-0.4, len(axes) - 0.6],
    }
    figure.update_xaxes(_axis(Axis("")) | ticks | style)
    figure.update_yaxes({"visible": False, "range": [-0.12, 1.12]})
    for place, axis in enumerate(axes):
        write = share if axis.percent else number
        for height, value in zip((-0.07, 1.07), axis.bounds or (0.0, 1.0), strict=True):
            figure.add_annotation(x=place, y=height, text=write(value), showarrow=False, font={"size": 12})
    figure.update_layout(margin={"l": 12, "r": 12, "t": 12, "b": 70})


def _draw_bars(chart: Chart) -> go.Figure:
    """A panel per series, a bar per label."""
    labels = [_label(name) for name in chart.axes[0].labels]
    rows = len(chart.series)
    height = 130 + rows * (60 + 34 * max(len(labels), 1))
    figure = make_subplots(rows=rows, cols=1, vertical_spacing=0.16, figure=_canvas(height))
    for row, series in enumerate(chart.series, 1):
        bars = go.Bar(
            x=[value for (value,) in series.points],
            y=labels,
            orientation="h",
            text=[text for (text,) in series.texts],
            textposition="auto",
            marker={"color": [_COLOURS[place % len(_COLOURS)] for place in range(len(labels))]},
            hoverinfo="x+y",
            showlegend=False,
        )
        figure.add_trace(bars, row=row, col=1)
        bounds = None if any(value for (value,) in series.points) else (0.0, 1.0)
        figure.update_xaxes(_axis(Axis(series.name, bounds=bounds)), row=row, col=1)
    return figure.update_yaxes(automargin=True, autorange="reversed", type="category", ticksuffix=" ")
