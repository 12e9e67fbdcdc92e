"""Figures of a study for notebooks, from the same sections that the page draws."""

from typing import Literal, get_args

import plotly.graph_objects as go

from foretaste.document.blocks import Figure, Figures, Section
from foretaste.errors import StudyError
from foretaste.report.drawing import draw
from foretaste.report.sections.agreement import agreement_section
from foretaste.report.sections.expected import expected_figure
from foretaste.report.sections.maps import map_section
from foretaste.report.sections.tradeoff import tradeoff_section
from foretaste.report.summary import Summary

__all__ = ["PlotKind", "plot_study"]

PlotKind = Literal["curve", "map", "front", "agreement"]
_WEIGHTS = {"curve": 2, "map": 3}


def plot_study(summary: Summary, kind: PlotKind | None = None, task: str | None = None) -> go.Figure:
    """Draw one figure of a study.

    Args:
        summary: What the study's rows say.
        kind: ``curve`` (two weights) and ``map`` (three) show what joint runs are expected to give over the weights,
            with 90 % intervals; ``front`` shows the tasks' metrics against each other, and ``agreement`` previews
            against joint runs. If left out: the curve, the map, or for more weights a line for each preview across all
            weights and metrics.
        task: The task whose metric the curve and the map draw; what the preference gives if left out. The other
            figures show all tasks.

    Raises:
        StudyError: There is nothing to draw yet, no such task or kind, or a kind for another number of weights.
    """
    if kind is not None and kind not in get_args(PlotKind):
        raise StudyError(f"there is no figure {kind!r}; there are {', '.join(get_args(PlotKind))}")
    if task is not None and task not in summary.tasks:
        raise StudyError(f"there is no task {task!r}; the tasks are {', '.join(summary.tasks)}")
    if not summary.surface.rows:
        first = "tell the results of some runs" if summary.is_from_outside else "preview some weightings"
        raise StudyError(f"the study {summary.name} has no evaluations to draw yet; {first} first")
    figure = _figure_of(summary, kind, task)
    title = {"text": figure.title, "x": 0.02, "y": 0.98, "yanchor": "top"}
    drawn = draw(figure.chart)
    margin = drawn.layout.margin.to_plotly_json() | {"t": 64}
    return drawn.update_layout(title=title, margin=margin)


def _figure_of(summary: Summary, kind: PlotKind | None, task: str | None) -> Figure:
    count = len(summary.weight_names)
    match kind:
        case "front":
            return _first(tradeoff_section(summary))
        case "agreement":
            if not summary.agreements:
                first = "tell both at the same weights" if summary.is_from_outside else "confirm some weightings"
                raise StudyError(f"no weighting has both a preview and a joint run yet; {first} first")
            return _first(agreement_section(summary, full=True), f"trust-{_shown_agreement(summary)}")
        case "curve" | "map":
            if count != _WEIGHTS[kind]:
                other = {2: "curve", 3: "map"}.get(count, "front")
                raise StudyError(
                    f"the {kind} is for {_WEIGHTS[kind]} weights, and the study has {count}; draw the {other}"
                )
    if count in _WEIGHTS.values() and summary.outlook is not None:
        return expected_figure(summary, task)
    place = len(summary.tasks) if task is None else summary.tasks.index(task)  # the preference's map is the last
    return _first(map_section(summary), f"map-{place}")


def _shown_agreement(summary: Summary) -> int:
    """Return the place of the shown method among the agreements, or the last place."""
    methods = [agreement.method for agreement in summary.agreements]
    return methods.index(summary.method) if summary.method in methods else len(methods) - 1


def _first(section: Section, name: str | None = None) -> Figure:
    """Return a section's figure of this name, or its first."""
    figures = [figure for block in section.blocks if isinstance(block, Figures) for figure in block.figures]
    return next((figure for figure in figures if figure.name == name), figures[0])
