"""Canvas: what all figures share: fonts, colours, margins, and hover text that no name can break."""

from html import escape

import plotly.graph_objects as go

from foretaste.report.summary import Summary
from foretaste.report.wording import number, share, trimmed
from foretaste.task import Evaluation, Fidelity

__all__ = ["COLOURS", "SCALE", "STAR", "axis", "canvas", "hover", "label"]

SCALE = "Viridis"  # even steps of lightness, safe for colour-blind readers
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8a7a00", "#444444")  # Okabe and Ito, 2008
STAR = {"symbol": "star", "size": 17, "color": "#ff3b30", "line": {"color": "white", "width": 1.5}}

_INK, _GRID = "#1f2933", "#dde3ea"
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
