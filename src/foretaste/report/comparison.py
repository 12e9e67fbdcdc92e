"""A comparison of preview methods: a table for the terminal, and the same as JSON."""

from dataclasses import asdict

from rich.console import Group
from rich.text import Text

from foretaste.report.fitting import Fitting, grid, listed
from foretaste.report.summary_json import plain
from foretaste.report.wording import MISSING, counted, duration, number, trimmed
from foretaste.surface.agreement import Agreement
from foretaste.surface.comparison import Comparison

__all__ = ["beside", "comparison_json"]

_COLUMNS = ("error", "rank mean", "rank worst", "rank top", "regret mean", "regret worst", "cost once", "cost each")
_LEGEND = (
    "error: mean absolute; rank: Spearman correlation, top: of the mean, among the quarter of the points (at least 3) where joint "
    "finetuning is best; regret: what choosing by preview gives up; "
    "cost: in joint runs, once for all weightings and for each one, evaluation left out"
)
_RIVALS = {"uniform": "uniform weights", "proportional": "weights by data"}


def beside(found: Comparison) -> Group:
    """Methods beside each other, a method a row; controls and rivals are dim.

    >>> from foretaste.surface.comparison import Compared, Regret
    >>> even = {"a": 0.01, "b": 0.03}
    >>> near = Agreement("simple", 3, even, even, {"a": None, "b": None}, 0.5, None, None, 0.0, 0.01, 0.1)
    >>> found = Comparison((Compared(near, "averaging", "preview", 2.0, 0.001),), {"uniform": Regret(0.02, 0.0)}, 75.0)
    >>> beside(found).renderables[0].choices[0].row_count
    2
    """
    first = max((each.agreement for each in found.methods), key=lambda each: each.points)
    title = f"Methods at {counted(first.points, 'weighting')}, where the joint mean varies by {number(first.spread)}"
    header = ["method", *(column.replace(" ", "\n") for column in _COLUMNS)]
    lines: list[tuple[str, list[str]]] = []
    for each in found.methods:
        cells = [trimmed(each.method), *_cells(each.agreement), _runs(each.once), _runs(each.each)]
        lines.append(("dim" if each.kind == "control" else "", cells))
    for name, regret in found.rivals.items():
        lines.append(("dim", [_RIVALS[name], *[MISSING] * 4, number(regret.mean), number(regret.worst), *[_runs(0.0)] * 2]))
    rows = [[Text(cell, style) for cell in cells] for style, cells in lines]
    table = Fitting((grid(title, header, rows), listed(title, header, rows)))
    said = [f"{each.method}: {each.title}{' (control)' if each.kind == 'control' else ''}" for each in found.methods]
    apart = "".join(f"; {each.method}: without its anchor" for each in found.methods if each.agreement.left_out)
    legend = f"{_LEGEND}{apart}; one joint run takes {duration(found.joint_seconds)}"
    return Group(table, Text(legend, "dim"), Text(), *map(Text, said))


def _cells(found: Agreement) -> list[str]:
    ranks = [MISSING if rank is None else f"{rank:.2f}" for rank in (found.rank_mean, found.rank_worst, found.rank_top)]
    return [number(found.mean_error), *ranks, number(found.regret_mean), number(found.regret_worst)]


def _runs(cost: float) -> str:
    """A cost in joint runs, in two digits."""
    return "0" if cost == 0 else f"{cost:.2g}" if cost < 10 else f"{cost:.0f}"


def comparison_json(found: Comparison) -> dict[str, object]:
    """The same, ready for `json.dumps`.

    >>> from foretaste.surface.comparison import Compared, Regret
    >>> even = {"a": 0.01, "b": 0.03}
    >>> near = Agreement("simple", 3, even, even, {"a": None, "b": None}, 0.5, None, None, 0.0, 0.01, 0.1)
    >>> found = Comparison((Compared(near, "averaging", "preview", 2.0, 0.001),), {"uniform": Regret(0.02, 0.0)}, 75.0)
    >>> comparison_json(found)["rivals"]
    {'uniform': {'mean': 0.02, 'worst': 0.0}}
    """
    costs = [{"title": each.title, "kind": each.kind, "cost_once": each.once, "cost_each": each.each} for each in found.methods]
    methods = [
        asdict(each.agreement) | {"mean_error": each.agreement.mean_error} | cost for each, cost in zip(found.methods, costs, strict=True)
    ]
    rivals = {name: asdict(regret) for name, regret in found.rivals.items()}
    return {"best": found.best, "methods": plain(methods), "rivals": plain(rivals), "joint_seconds": found.joint_seconds}
