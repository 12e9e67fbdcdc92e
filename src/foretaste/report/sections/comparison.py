"""A comparison of preview methods: how near each comes to joint finetuning, and what it costs."""

from foretaste.document.blocks import Cell, Column, Note, Section, Table, Tone, cell_of
from foretaste.document.wording import MISSING, counted, duration, number
from foretaste.report.sections.agreement import LEGEND, agreement_cells, without_anchor
from foretaste.surface.comparison import Comparison

__all__ = ["comparison_section"]

_COLUMNS = (
    "method",
    "error",
    "rank mean",
    "rank worst",
    "rank top",
    "regret mean",
    "regret worst",
    "cost once",
    "cost each",
)
_RIVALS = {"uniform": "uniform weights", "proportional": "weights by data"}
_COST = "Cost: in joint runs, once for all weightings and for each one, without evaluation."


def comparison_section(comparison: Comparison) -> Section:
    """Show methods beside each other, a method a row; controls, and weights that need no preview, are dim.

    >>> from foretaste.surface.agreement import Agreement
    >>> from foretaste.surface.comparison import MethodComparison, Regret
    >>> even = {"a": 0.01, "b": 0.03}
    >>> near = Agreement("simple", 3, even, even, {"a": None, "b": None}, 0.5, None, None, 0.0, 0.01, 0.1)
    >>> comparison = Comparison(
    ...     (MethodComparison(near, "averaging", "preview", 2.0, 0.001),), {"uniform": Regret(0.02, 0.0)}, 75.0
    ... )
    >>> len(comparison_section(comparison).blocks[0].rows)
    2
    """
    largest = max((method.agreement for method in comparison.methods), key=lambda agreement: agreement.points)
    title = (
        f"Methods at {counted(largest.points, 'weighting')}, where the mean over the joint runs varies by"
        f" {number(largest.spread)}"
    )
    rows = []
    for method in comparison.methods:
        costs = _joint_runs(method.once), _joint_runs(method.each)
        rows.append(
            _row("quiet" if method.kind == "control" else "", method.method, *agreement_cells(method.agreement), *costs)
        )
    for name, regret in comparison.rivals.items():
        cells = (_RIVALS[name], *[MISSING] * 4, number(regret.mean), number(regret.worst), *[_joint_runs(0.0)] * 2)
        rows.append(_row("quiet", *cells))
    anchors = without_anchor([method.agreement for method in comparison.methods])
    legend = f"{LEGEND}{_COST}{anchors} One joint run takes {duration(comparison.joint_seconds)}."
    table = Table(tuple(map(Column, _COLUMNS)), tuple(rows), caption=legend)
    titles = [
        Note(f"{method.title}{' (control)' if method.kind == 'control' else ''}", method.method)
        for method in comparison.methods
    ]
    return Section(title, (table, *titles))


def _row(tone: Tone, *cells: str) -> tuple[Cell, ...]:
    return tuple(cell_of(cell, tone) for cell in cells)


def _joint_runs(cost: float) -> str:
    """Write a cost in joint runs with two digits."""
    return "0" if cost == 0 else f"{cost:.2g}" if cost < 10 else f"{cost:.0f}"
