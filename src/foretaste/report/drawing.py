"""Drawing: charts as plotly figures, in one look; no name is read as markup."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from foretaste.document.blocks import Axis, Chart, Series
from foretaste.document.wording import number, share
from foretaste.report.canvas import (
    BELOW,
    BESIDE,
    COLOURS,
    EDGE,
    GRID,
    INK,
    LEGEND,
    RED,
    SCALE,
    axis_style,
    colour_scale,
    escape_name,
    hover_texts,
    new_figure,
)

__all__ = ["draw"]

_HEIGHTS = {"small": 380, "medium": 420, "large": 500}
_SHADES = 8
_LEVEL_NAMES = 8  # axes side by side whose names have room without slanting
_MARKERS: Mapping[str, Mapping[str, object]] = {
    "preview": {"size": 7, "color": "#b8c2cc"},
    "front": {"size": 9, "color": COLOURS[0]},
    "joint": {"size": 11, "color": INK, "symbol": "diamond"},
    "recommended": {"symbol": "star", "size": 17, "color": RED, "line": {"color": "white", "width": 1.5}},
    "expected": {"size": 6, "symbol": "x-thin", "line": {"width": 1.5, "color": "#3a7d5d"}},
    "equal": {"size": 1, "color": INK},
}
_RING = {"line": {"color": INK, "width": 2}}


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


def _add(figure: go.Figure, trace: go.Scatter | go.Scatterternary, series: Series) -> None:
    """Add points.

    The legend, which takes no value for a colour, gets a point of its own where they are coloured by values.
    """
    if not series.colours:
        figure.add_trace(trace)
        return
    ends = {key: [None] for key in (("x", "y") if isinstance(trace, go.Scatter) else ("a", "b", "c"))}
    marker = {"size": trace.marker.size, "symbol": trace.marker.symbol, "line": trace.marker.line, "color": LEGEND}
    legend = type(trace)(ends, mode="markers", name=trace.name, legendgroup=trace.name, marker=marker, hoverinfo="skip")
    figure.add_traces([legend, trace.update(showlegend=False, legendgroup=trace.name)])


def _draw_triangle(chart: Chart) -> go.Figure:
    figure = new_figure(520)
    figure.update_layout(
        coloraxis=colour_scale(chart, BELOW),
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
        trace = go.Scatterternary(sides, mode="markers", name=escape_name(series.name), marker=marker, cliponaxis=False)
        _add(figure, trace.update(hovertext=hover_texts(series), hoverinfo="text"), series)
    return figure


def _side(axis: Axis) -> dict[str, object]:
    return {
        "title": {"text": escape_name(axis.title, 14)},
        "tickformat": ".0%",
        "tickvals": [0.2, 0.4, 0.6, 0.8],
        "ticks": "outside",
        "ticklen": 9,
        "tickcolor": "rgba(0,0,0,0)",
        "gridcolor": GRID,
        "linecolor": EDGE,
    }


def _draw_plane(chart: Chart) -> go.Figure:
    figure = new_figure(_HEIGHTS[chart.size])
    if chart.colours:
        figure.update_layout(coloraxis=colour_scale(chart, BESIDE))
    for place, series in enumerate(chart.series):
        _add(figure, _plane_trace(series, place), series)
    across, up = chart.axes
    return (
        figure.update_xaxes(axis_style(across))
        .update_yaxes(axis_style(up))
        .update_layout(legend={"y": -0.26 if chart.size == "small" else -0.2})
    )


def _plane_trace(series: Series, place: int) -> go.Scatter:
    colour = COLOURS[place % len(COLOURS)]
    x, y = ([point[axis] for point in series.points] for axis in (0, 1))
    trace = go.Scatter(
        x=x, y=y, mode="markers", name=escape_name(series.name), hovertext=hover_texts(series), hoverinfo="text"
    )
    match series.role:
        case "line":
            return trace.update(mode="lines", line={"color": colour, "width": 3 if series.strong else 1.5})
        case "equal":
            return trace.update(
                mode="lines", line={"color": INK, "dash": "dot", "width": 1.5}, showlegend=False, hoverinfo="skip"
            )
        case "band":
            shade = {"color": COLOURS[0], "width": 0}
            return trace.update(mode="lines", fill="toself", line=shade, opacity=0.25, hoverinfo="skip")
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
    return trace.update(mode="lines+markers", line={"color": COLOURS[0], "width": 1.5}) if series.joined else trace


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
    figure = new_figure(460)
    for series in chart.series:
        if series.role == "recommended":
            drawn = _lines(chart, series, range(len(series.points)), RED)
            figure.add_trace(drawn.update(name=escape_name(series.name), line={"width": 4}, showlegend=True))
        else:
            for colour, members in _shades(series.colours):
                figure.add_trace(_lines(chart, series, members, colour))
    if not chart.axes:
        return figure
    values = [value for series in chart.series for value in series.colours]
    ends = [min(values), max(values)]
    shading = colour_scale(chart, BESIDE)
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
    colours = sample_colorscale(SCALE, [(shade + 0.5) / _SHADES for shade in range(_SHADES)])
    groups = [(colours[shade], [place for place, own in enumerate(bins) if own == shade]) for shade in range(_SHADES)]
    return [(colour, places) for colour, places in groups if places]


def _lines(chart: Chart, series: Series, members: Sequence[int], colour: str) -> go.Scatter:
    across = list(range(len(chart.axes)))
    heights: list[float | None] = []
    texts: list[str] = []
    hover = hover_texts(series)
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
    ticks = {"tickvals": list(range(len(axes))), "ticktext": [escape_name(axis.title, 11) for axis in axes]}
    style = {
        "showgrid": True,
        "tickangle": -45 if len(axes) > _LEVEL_NAMES else 0,
        "tickfont": {"size": 12},
        "gridcolor": EDGE,
        "range": [-0.4, len(axes) - 0.6],
    }
    figure.update_xaxes(axis_style(Axis("")) | ticks | style)
    figure.update_yaxes({"visible": False, "range": [-0.12, 1.12]})
    for place, axis in enumerate(axes):
        write = share if axis.percent else number
        for height, value in zip((-0.07, 1.07), axis.bounds or (0.0, 1.0), strict=True):
            figure.add_annotation(x=place, y=height, text=write(value), showarrow=False, font={"size": 12})
    margin = {"l": 12, "r": 12, "t": 12, "b": 110 if len(axes) > _LEVEL_NAMES else 70}
    figure.update_layout(margin=margin, meta="parallel")  # the page's scripts turn it on its side in a narrow window


def _draw_bars(chart: Chart) -> go.Figure:
    """A panel per series, a bar per label."""
    labels = [escape_name(name) for name in chart.axes[0].labels]
    rows = len(chart.series)
    height = 130 + rows * (60 + 34 * max(len(labels), 1))
    figure = make_subplots(rows=rows, cols=1, vertical_spacing=0.16, figure=new_figure(height))
    for row, series in enumerate(chart.series, 1):
        bars = go.Bar(
            x=[value for (value,) in series.points],
            y=labels,
            orientation="h",
            text=[text for (text,) in series.texts],
            textposition="auto",
            marker={"color": [COLOURS[place % len(COLOURS)] for place in range(len(labels))]},
            hoverinfo="x+y",
            showlegend=False,
        )
        figure.add_trace(bars, row=row, col=1)
        bounds = None if any(value for (value,) in series.points) else (0.0, 1.0)
        figure.update_xaxes(axis_style(Axis(series.name, bounds=bounds)), row=row, col=1)
    return figure.update_yaxes(automargin=True, autorange="reversed", type="category", ticksuffix=" ")
