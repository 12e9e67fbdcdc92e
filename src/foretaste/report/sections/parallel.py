"""Parallel coordinates: a line per row across weights and metrics, for any number of tasks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foretaste.document.blocks import Axis, Chart
from foretaste.evaluation import Evaluation
from foretaste.report.sections.points import row_series
from foretaste.report.summary import Summary

__all__ = ["MOST_LINES", "parallel_chart"]

_LEAST = 1e-9
MOST_LINES = 150  # of more rows, the best are drawn


def parallel_chart(summary: Summary, rows: Sequence[Evaluation], *, weights: bool) -> Chart:
    """Chart rows as lines, coloured by the preference's value: the best lie on top, and the recommended one last.

    Args:
        summary: Names the tasks, the preference and the recommendation.
        rows: N of them.
        weights: Whether the task weights come before the metrics.
    """
    rows = _best(summary, rows)
    surface = replace(summary.surface, rows=tuple(rows))
    heads = summary.surface.headlines.items()
    if not rows:
        return Chart("parallel", (), (), Axis(summary.measure), "large")
    metrics, alphas, values = surface.values(), surface.alphas(), summary.values(surface)
    ends = zip(metrics.min(0).tolist(), metrics.max(0).tolist(), strict=True)
    axes = [Axis(f"{task}\n{head.metric}", bounds=pair) for (task, head), pair in zip(heads, ends, strict=True)]
    table = metrics
    if weights:
        top = max(float(alphas.max()), _LEAST)
        axes = [*(Axis(f"{task}\nweight", percent=True, bounds=(0.0, top)) for task in summary.weight_names), *axes]
        table = np.hstack([alphas, metrics])
    order = np.argsort(values, kind="stable").tolist()
    ordered = [rows[place] for place in order]
    series = [
        row_series(summary, ordered, "", "preview", table[order].tolist(), colours=values[order].tolist(), joined=True)
    ]
    best = summary.recommendation.weights if summary.recommendation else None
    if places := [place for place, row in enumerate(rows) if row.weights == best]:
        points = table[places].tolist()
        series.append(
            row_series(summary, [rows[place] for place in places], "recommended", "recommended", points, joined=True)
        )
    return Chart("parallel", tuple(axes), tuple(series), Axis(summary.measure), "large")


def _best(summary: Summary, rows: Sequence[Evaluation]) -> Sequence[Evaluation]:
    """Return at most so many rows as a chart can show, those that the preference likes best."""
    if len(rows) <= MOST_LINES:
        return rows
    values = summary.values(replace(summary.surface, rows=tuple(rows)))
    chosen = set(np.argsort(-values, kind="stable")[:MOST_LINES].tolist())
    return [row for place, row in enumerate(rows) if place in chosen]
