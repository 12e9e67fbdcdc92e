"""How well previews predict joint finetuning, as a section."""

from collections.abc import Sequence

from foretaste.document.blocks import (
    Axis,
    Block,
    Cell,
    Chart,
    Column,
    Figure,
    Figures,
    Note,
    Section,
    Series,
    Table,
    cell_of,
)
from foretaste.document.wording import correlation, counted, joined, number
from foretaste.evaluation import Fidelity
from foretaste.report.sections.mergeability import describe_pairs
from foretaste.report.sections.points import describe_row
from foretaste.report.summary import Summary, verdict
from foretaste.surface.agreement import Agreement, anchor_of

__all__ = ["LEGEND", "agreement_cells", "agreement_section", "without_anchor"]

LEGEND = (
    "Error: mean absolute error. Rank: Spearman correlation of the mean over tasks, of the worst task, and (top) of the"
    " mean among the quarter of the weightings (at least 3) where joint finetuning is best. Regret: what choosing by"
    " preview gives up. "
)
_SPREAD = "Spread: range of the mean over the joint runs."


def agreement_section(summary: Summary, *, full: bool) -> Section:
    """Judge each method's previews by the joint runs at the same weights.

    Args:
        summary: Of a study with both.
        full: Whether there is room for figures.
    """
    worst = summary.preference.kind == "worst"
    blocks: list[Block] = [Note(verdict(agreement, worst=worst), agreement.method) for agreement in summary.agreements]
    blocks += [_methods_table(summary.agreements), _tasks_table(summary)]
    if pairs := describe_pairs(summary.surface.where(Fidelity.PREVIEW, "simple").averaged()):
        blocks.append(Note(pairs))
    if full:
        blocks.append(
            Figures(
                "", (*(_figure(summary, place) for place in range(len(summary.agreements))), _methods_figure(summary))
            )
        )
    return Section("How far to trust the previews", tuple(blocks))


def agreement_cells(agreement: Agreement) -> list[str]:
    """Write error, ranks and regrets of a method.

    >>> even = {"a": 0.25}
    >>> agreement_cells(Agreement("simple", 3, even, even, {"a": None}, 0.5, None, None, 0.0, 0.01, 0.1))
    ['0.250', '0.50', '\u2014', '\u2014', '0.000', '0.010']
    """
    ranks = map(correlation, (agreement.rank_mean, agreement.rank_worst, agreement.rank_top))
    return [number(agreement.mean_error), *ranks, number(agreement.regret_mean), number(agreement.regret_worst)]


def without_anchor(agreements: Sequence[Agreement]) -> str:
    """Say which methods are judged without the joint run that their previews rest on; empty if none is.

    >>> without_anchor([])
    ''
    """
    methods = [agreement.method for agreement in agreements if agreement.left_out]
    return f" Judged without its anchor: {joined(methods)}." if methods else ""


def _methods_table(agreements: Sequence[Agreement]) -> Table:
    names = (
        "method",
        "points",
        "error",
        "rank mean",
        "rank worst",
        "rank top",
        "regret mean",
        "regret worst",
        "spread",
    )
    rows = [
        tuple(
            map(
                cell_of,
                (agreement.method, str(agreement.points), *agreement_cells(agreement), number(agreement.spread)),
            )
        )
        for agreement in agreements
    ]
    return Table(tuple(map(Column, names)), tuple(rows), caption=f"{LEGEND}{_SPREAD}{without_anchor(agreements)}")


def _tasks_table(summary: Summary) -> Table:
    """Each task's error and rank correlation, a task a row."""
    columns = [Column(agreement.method, ("error", "rank")) for agreement in summary.agreements]
    rows = [
        (
            cell_of(task),
            *(
                Cell((number(agreement.error[task]), correlation(agreement.rank[task])))
                for agreement in summary.agreements
            ),
        )
        for task in summary.tasks
    ]
    return Table((Column("task"), *columns), tuple(rows), narrow_caption="Each cell: error, then rank correlation.")


def _figure(summary: Summary, place: int) -> Figure:
    """A method's previews against joint runs at the same weights; the joint run that anchors previews is left out."""
    agreement = summary.agreements[place]
    method, anchor = agreement.method, anchor_of(agreement.method, summary.tasks)
    previews = summary.surface.where(Fidelity.PREVIEW, method).averaged()
    pairs = [
        (preview, row) for row in summary.joint.rows if row.weights != anchor and (preview := previews.at(row.weights))
    ]
    series, reached = [], list[float]()
    for task, head in summary.surface.headlines.items():
        points = tuple((preview.metrics[task][head.metric], real.metrics[task][head.metric]) for preview, real in pairs)
        texts = tuple(
            (*describe_row(summary, preview), f"joint run, {task}: {number(real)}")
            for (preview, _), (_, real) in zip(pairs, points, strict=True)
        )
        series.append(Series(task, "task", points, texts))
        reached += [number for point in points for number in point]
    ends = (min(reached, default=0.0), max(reached, default=1.0))
    diagonal = Series("", "equal", tuple((end, end) for end in ends), joined=True)
    chart = Chart("plane", (Axis(f"preview, {method}"), Axis("joint run")), (*series, diagonal))
    return Figure(f"trust-{place}", f"{method} previews and joint runs", chart, _caption(agreement))


def _caption(agreement: Agreement) -> str:
    errors = ", ".join(f"{task} {number(value)}" for task, value in agreement.error.items())
    without = ", not counting the one that anchors the previews" if agreement.left_out else ""
    count = f"{counted(agreement.points, 'weighting')} with a preview and a joint run{without}"
    return f"{count}. Mean absolute error: {errors}. On the line they agree."


def _methods_figure(summary: Summary) -> Figure:
    """Mean error, rank correlation and regret of each method."""
    measures: dict[str, list[float | None]] = {
        "mean absolute error (less is better)": [agreement.mean_error for agreement in summary.agreements],
        "rank correlation (1 is perfect)": [agreement.rank_mean for agreement in summary.agreements],
        "regret of the mean (less is better)": [agreement.regret_mean for agreement in summary.agreements],
    }
    series = tuple(
        Series(title, "bars", tuple((value or 0.0,) for value in values), tuple((number(value),) for value in values))
        for title, values in measures.items()
    )
    methods = tuple(agreement.method for agreement in summary.agreements)
    caption = " ".join(
        f"{agreement.method}: error {number(agreement.mean_error)}, rank correlation"
        f" {'undefined' if agreement.rank_mean is None else correlation(agreement.rank_mean)}, regret"
        f" {number(agreement.regret_mean)}."
        for agreement in summary.agreements
    )
    return Figure("methods", "Methods", Chart("bars", (Axis("", labels=methods),), series), caption)
