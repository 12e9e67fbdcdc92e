"""Figures: the map, the trade-off between tasks, and previews against joint runs."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from foretaste.evaluation import Fidelity
from foretaste.report.canvas import COLOURS, STAR, add_coloured, axis, canvas, hover, label, shading
from foretaste.report.maps import VALUE, maps
from foretaste.report.parallel import parallel
from foretaste.report.summary import Summary
from foretaste.report.wording import number, shares
from foretaste.surface.agreement import anchor_of
from foretaste.surface.outlook import Outlook
from foretaste.surface.pareto import front
from foretaste.surface.table import Surface

__all__ = ["VALUE", "comparison", "maps", "methods", "tradeoff"]

_FAINT, _EXPECTED = "#b8c2cc", "#8fbfa3"
_LIKELY = 0.5


def tradeoff(summary: Summary) -> go.Figure:
    """The Pareto front of the previews, by headline metrics.

    Two tasks: one against the other. Three: the third is the colour. More: the front in parallel
    coordinates. Joint runs are diamonds, dominated previews are faint; crosses are what joint finetuning is expected to
    give on its front, with 90 % intervals.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> [trace.name for trace in tradeoff(found).data]
    ['preview', 'expected front', 'preview on the front', 'recommended']
    """
    if len(summary.tasks) not in (2, 3):
        return parallel(summary, front(summary.previews).rows, weights=False)
    figure = canvas(480)
    efficient = front(summary.previews)
    kept = {row.weights for row in efficient.rows}
    others = Surface(efficient.headlines, tuple(row for row in summary.previews.rows if row.weights not in kept))
    figure.add_trace(_scatter(summary, others, "preview", {"size": 7, "color": _FAINT}))
    if summary.outlook:
        figure.add_trace(_expected(summary.outlook))
    if len(summary.tasks) == 3:
        _add_coloured(figure, summary, efficient)
    else:
        _add_plain(figure, summary, efficient)
    if chosen := summary.chosen:
        figure.add_trace(_scatter(summary, Surface(efficient.headlines, (chosen,)), "recommended", STAR))
    first, second = (f"{label(task)}, {label(summary.surface.headlines[task].metric)}" for task in summary.tasks[:2])
    return figure.update_xaxes(axis(first)).update_yaxes(axis(second))


def _expected(found: Outlook) -> go.Scatter:
    """The first two tasks' expected metrics where a weighting is on the front more likely than not."""
    places = np.flatnonzero(found.on_front >= _LIKELY)
    middle, low, high = (table[places] for table in (found.prediction.median, found.prediction.low, found.prediction.high))
    bars = [
        {"type": "data", "symmetric": False, "array": (high - middle)[:, task], "arrayminus": (middle - low)[:, task]} for task in (0, 1)
    ]
    drawn = [bar | {"thickness": 1, "width": 0, "color": _EXPECTED} for bar in bars]
    said = [f"{label(shares(found.points[place]), 60)}<br>on the front with probability {found.on_front[place]:.0%}" for place in places]
    return go.Scatter(
        x=middle[:, 0],
        y=middle[:, 1],
        error_x=drawn[0],
        error_y=drawn[1],
        mode="markers",
        name="expected front",
        marker={"size": 6, "symbol": "x-thin", "line": {"width": 1.5, "color": "#3a7d5d"}},
        hovertext=said,
        hoverinfo="text",
    )


def _add_plain(figure: go.Figure, summary: Summary, efficient: Surface) -> None:
    order = np.argsort(efficient.values()[:, 0])
    ordered = Surface(efficient.headlines, tuple(efficient.rows[index] for index in order))
    trace = _scatter(summary, ordered, "preview on the front", {"size": 9, "color": COLOURS[0]})
    figure.add_trace(trace.update(mode="lines+markers", line={"color": COLOURS[0], "width": 1.5}))
    if summary.joint.rows:
        figure.add_trace(_scatter(summary, summary.joint, "joint run", {"size": 11, "color": "#1f2933", "symbol": "diamond"}))


def _add_coloured(figure: go.Figure, summary: Summary, efficient: Surface) -> None:
    third = summary.tasks[2]
    head = summary.surface.headlines[third]
    seen, real = (surface.values()[:, 2].tolist() for surface in (efficient, summary.joint))
    title = {"text": f"{label(third)}, {label(head.metric)}", "side": "right"}
    colours = shading(seen + real, {"title": title, "thickness": 12, "outlinewidth": 0}) | {"reversescale": not head.higher_is_better}
    figure.update_layout(coloraxis=colours)
    add_coloured(figure, _scatter(summary, efficient, "preview on the front", {"size": 11, "color": seen, "coloraxis": "coloraxis"}))
    if real:
        ring = {"size": 13, "color": real, "coloraxis": "coloraxis", "symbol": "diamond", "line": {"color": "#1f2933", "width": 2}}
        add_coloured(figure, _scatter(summary, summary.joint, "joint run", ring))


def _scatter(summary: Summary, surface: Surface, name: str, marker: dict[str, object]) -> go.Scatter:
    table = surface.values()
    return go.Scatter(
        x=table[:, 0].tolist(),
        y=table[:, 1].tolist(),
        mode="markers",
        name=name,
        marker=marker,
        hovertext=[hover(summary, row) for row in surface.rows],
        hoverinfo="text",
    )


def comparison(summary: Summary, method: str) -> go.Figure:
    """A method's previews against joint runs at the same weights, one colour per task; the line is perfect agreement.

    The joint run that the previews rest on is left out.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> comparison(found, "simple").layout.xaxis.title.text
    'preview, simple'
    """
    figure = canvas(420)
    previews = summary.surface.where(Fidelity.PREVIEW, method).averaged()
    joint = summary.joint
    anchor = anchor_of(method, summary.tasks)
    shared = [(cheap, row) for row in joint.rows if row.weights != anchor and (cheap := previews.at(row.weights))]
    reached: list[float] = []
    for index, (task, head) in enumerate(summary.surface.headlines.items()):
        seen = [pair[0].metrics[task][head.metric] for pair in shared]
        real = [pair[1].metrics[task][head.metric] for pair in shared]
        reached += seen + real
        texts = [f"{hover(summary, pair[0])}<br>joint, {label(task)}: {number(value)}" for pair, value in zip(shared, real, strict=True)]
        marker = {"size": 9, "color": COLOURS[index % len(COLOURS)], "symbol": index % 8, "line": {"color": "white", "width": 1}}
        figure.add_trace(
            go.Scatter(x=seen, y=real, mode="markers", name=label(task), marker=marker, hovertext=texts, hoverinfo="text"),
        )
    ends = [min(reached, default=0.0), max(reached, default=1.0)]
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line={"color": "#1f2933", "dash": "dot", "width": 1.5}, showlegend=False))
    return figure.update_xaxes(axis(f"preview, {label(method)}")).update_yaxes(axis("joint finetuning"))


def methods(summary: Summary) -> go.Figure:
    """Mean error, rank correlation and regret of each method, as bars.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> [bars.y for bars in methods(found).data]
    [('simple',), ('simple',), ('simple',)]
    """
    measures: dict[str, list[float | None]] = {
        "mean absolute error (less is better)": [found.mean_error for found in summary.agreements],
        "rank correlation of the mean (1 is perfect)": [found.rank_mean for found in summary.agreements],
        "regret of the mean (less is better)": [found.regret_mean for found in summary.agreements],
    }
    figure = make_subplots(rows=3, cols=1, vertical_spacing=0.16, figure=canvas(130 + 3 * (60 + 34 * max(len(summary.agreements), 1))))
    names = [label(found.method) for found in summary.agreements]
    for place, (title, values) in enumerate(measures.items(), 1):
        bars = go.Bar(
            x=[value or 0.0 for value in values],
            y=names,
            orientation="h",
            text=[number(value) for value in values],
            textposition="auto",
            marker={"color": [COLOURS[index % len(COLOURS)] for index in range(len(names))]},
            hoverinfo="x+y",
            showlegend=False,
        )
        figure.add_trace(bars, row=place, col=1)
        figure.update_xaxes(axis(title), row=place, col=1)
    return figure.update_yaxes(automargin=True, autorange="reversed", type="category", ticksuffix=" ")
