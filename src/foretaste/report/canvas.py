"""Canvas: what all figures share: fonts, colours, margins, and hover text that no name can break."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary
from foretaste.report.wording import number, share, trimmed

__all__ = ["COLOURS", "SCALE", "STAR", "add_coloured", "axis", "canvas", "hover", "label", "shading"]

SCALE = "Viridis"  # even steps of lightness, safe for colour-blind readers
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8a7a00", "#444444")  # Okabe and Ito, 2008
STAR = {"symbol": "star", "size": 17, "color": "#ff3b30", "line": {"color": "white", "width": 1.5}}

_ALIKE = 0.01  # of a value that all points have, to both sides of it
_INK, _GRID, _LEGEND = "#1f2933", "#dde3ea", "#52647a"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


def canvas(height: int = 420) -> go.Figure:
    """An empty figure in the house's look; as wide as its place.

    >>> canvas(300).layout.height
    300
    """
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


def axis(title: str, form: str = "") -> dict[str, object]:
    """A named axis with a quiet grid.

    Args:
        title: Escaped, as `label` returns it.
        form: How ticks are written, in d3's notation.

    >>> axis("accuracy", ".0%")["title"]["text"]
    'accuracy'
    """
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": _GRID,
        "zeroline": False,
        "linecolor": "#9aa5b1",
        "automargin": True,
        "tickformat": form,
    }


def shading(values: Sequence[float], bar: Mapping[str, object]) -> dict[str, object]:
    """Colours from the least value to the largest; where all are alike the bar has that one tick.

    Args:
        values: What is coloured; may be empty.
        bar: How the colour bar is drawn.

    >>> shading([0.5, 0.7], {})["cmax"], shading([0.5], {})["colorbar"]
    (0.7, {'tickvals': [0.5], 'ticktext': ['0.500']})
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high > low:
        return {"colorscale": SCALE, "cmin": low, "cmax": high, "colorbar": dict(bar)}
    around = _ALIKE * max(abs(low), _ALIKE)
    only = {"tickvals": [low], "ticktext": [number(low)]}
    return {"colorscale": SCALE, "cmin": low - around, "cmax": high + around, "colorbar": {**bar, **only}}


def add_coloured(figure: go.Figure, trace: go.Scatter | go.Scatterternary) -> None:
    """Add points that are coloured by their values; the legend, which takes no value for a colour, has a point of its own.

    Args:
        figure: Has a colour axis.
        trace: Has a name.

    >>> figure = canvas()
    >>> add_coloured(figure, go.Scatter(x=[1], y=[1], name="preview", marker={"color": [0.5], "coloraxis": "coloraxis"}))
    >>> [(trace.name, trace.showlegend, trace.marker.color) for trace in figure.data]
    [('preview', None, '#52647a'), ('preview', False, (0.5,))]
    """
    ends = {key: [None] for key in (("x", "y") if isinstance(trace, go.Scatter) else ("a", "b", "c"))}
    marker = {"size": trace.marker.size, "symbol": trace.marker.symbol, "line": trace.marker.line, "color": _LEGEND}
    shown = type(trace)(ends, mode="markers", name=trace.name, legendgroup=trace.name, marker=marker, hoverinfo="skip")
    figure.add_traces([shown, trace.update(showlegend=False, legendgroup=trace.name)])


def label(name: str, length: int = 24) -> str:
    """A name as plotly may show it: short, and never read as markup.

    >>> label("<b>")
    '&lt;b&gt;'
    """
    return escape(trimmed(name, length))


def hover(summary: Summary, row: Evaluation) -> str:
    """A row in words: how it was made, weights and metrics of each task.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.weights import uniform
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> hover(found, Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint"))
    '<b>joint finetuning</b><br>a 50%: accuracy 0.900<br>b 50%: accuracy 0.900'
    """
    made = "joint finetuning" if row.fidelity is Fidelity.JOINT else f"{row.fidelity}, {row.method}"
    lines = [f"<b>{escape(made)}</b>"]
    for task, head in summary.surface.headlines.items():
        metric = f"{escape(head.metric)} {number(row.metrics[task][head.metric])}"
        lines.append(f"{label(task)} {share(row.weights[task])}: {metric}")
    return "<br>".join(lines)
