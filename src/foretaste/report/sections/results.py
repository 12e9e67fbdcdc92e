"""The rows of a study as sections: the best previews, all rows, predictions beside results, time and provenance."""

from collections.abc import Sequence
from dataclasses import replace

from foretaste.document.blocks import Cell, Column, Note, Section, Table, Tone, cell_of, line_table
from foretaste.document.wording import and_more, counted, duration, number, shares, span
from foretaste.report.summary import Summary
from foretaste.surface.hindsight import PastPrediction, coverage, mean_error, predict_past_runs
from foretaste.surface.pareto import front
from foretaste.surface.views import metrics_of, row_cells

__all__ = [
    "describe_accuracy",
    "history_sections",
    "previews_section",
    "provenance_section",
    "rows_section",
    "time_sections",
]

_LIMIT = 12
_HASH = 12
_PAST = 8  # joint runs whose history is shown: each is predicted from the rows before it
_MOST_ROWS = 250  # rows up to which that is quick


def previews_section(summary: Summary, limit: int = _LIMIT) -> Section:
    """List the best previews by the preference; marks show the recommended one and the Pareto front.

    Args:
        summary: Of a study with previews.
        limit: How many to list.
    """
    surface = summary.measured
    values = summary.values(surface)
    order = sorted(range(len(values)), key=lambda place: -values[place])
    efficient = {row.weights for row in front(surface).rows}
    best = summary.recommendation.weights if summary.recommendation else None
    heads = summary.surface.headlines
    columns, cells = row_cells(surface.rows, {task: [head.metric] for task, head in heads.items()})
    rows = []
    for place in order[:limit]:
        row = surface.rows[place]
        marks = (">" if row.weights == best else "") + ("*" if row.weights in efficient else "")
        tone: Tone = "strong" if row.weights == best else ""
        pairs = [replace(cell, tone=tone) for cell in cells[place]]
        rows.append((Cell((f"{number(values[place])} {marks}".rstrip(),), tone), *pairs))
    more = and_more(len(order), limit)
    legend = f"{f'… {more}. ' if more else ''}> recommended, * on the Pareto front."
    table = Table(
        (Column("value"), *columns),
        tuple(rows),
        caption=legend,
        narrow_caption="Each cell: weight, then metric." if summary.has_task_weights else "",
    )
    made_by = f"{summary.method} previews" if summary.previews.rows else "joint runs"
    return Section(f"Best {made_by} by {summary.objective}", (table,))


def rows_section(summary: Summary) -> Section:
    """List every row as it was made: weights, all metrics, seed, seconds."""
    rows, tasks = summary.surface.rows, summary.tasks
    metrics = {task: metrics_of(rows, task, summary.surface.headlines[task].metric) for task in tasks}
    columns, cells = row_cells(rows, metrics)
    lines = [
        (
            *map(cell_of, (str(row.fidelity), row.label, str(row.seed))),
            *own,
            cell_of(f"{row.cost:.3g}"),
            cell_of(row.key[:_HASH]),
        )
        for row, own in zip(rows, cells, strict=True)
    ]
    cost = "cost" if summary.is_from_outside else "seconds"
    folded = f"{counted(len(rows), 'row')}: weights, metrics, {cost}"
    names = (Column("made by"), Column("method"), Column("seed"), *columns, Column(cost), Column("hash"))
    return Section("All rows", (Table(names, tuple(lines), apart=True, folded=folded),))


def history_sections(summary: Summary) -> list[Section]:
    """Compare the last joint runs with what was predicted before each; empty if there is nothing to compare."""
    surface = summary.outlook.surface if summary.outlook else None
    past = predict_past_runs(surface, _PAST) if surface and len(surface.rows) <= _MOST_ROWS else []
    if not past:
        return []
    columns = [Column(task, ("measured", "predicted")) for task in summary.tasks]
    rows = [
        (cell_of(shares(run.weights)), *_history_cells(run), cell_of(f"{run.inside_count} of {len(run.real)}"))
        for run in past
    ]
    table = Table((Column("weights"), *columns, Column("in the interval")), tuple(rows))
    return [
        Section(
            "Predictions and results",
            (Note(f"Each joint run, and what was predicted just before it. {describe_accuracy(past)}"), table),
        )
    ]


def describe_accuracy(runs: Sequence[PastPrediction]) -> str:
    """Say how well joint runs were predicted: how many metrics lie in their intervals, and the mean error.

    Args:
        runs: At least one.
    """
    within, error = f"{coverage(runs):.0%}", number(mean_error(runs))
    return f"{within} of the metrics lie in their 90 % interval; the predictions are off by {error} on average."


def _history_cells(run: PastPrediction) -> list[Cell]:
    columns = zip(*(column.tolist() for column in (run.expected, run.low, run.high, run.real)), strict=True)
    return [Cell((number(real), f"{number(expected)} ({span(low, high)})")) for expected, low, high, real in columns]


def time_sections(summary: Summary) -> list[Section]:
    """Say how long each step took; empty if nothing was timed."""
    if not summary.costs:
        return []
    return [Section("Time", (line_table("", {step: duration(seconds) for step, seconds in summary.costs.items()}),))]


def provenance_section(summary: Summary) -> Section:
    """Say what the study was made with: versions, seeds, hashes."""
    return Section("Provenance", (line_table("", dict(summary.provenance)),) if summary.provenance else ())
