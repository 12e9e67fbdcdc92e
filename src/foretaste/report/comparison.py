"""A comparison of preview methods: a table for the terminal, and the same as JSON."""

from dataclasses import asdict

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from foretaste.report.summary import plain
from foretaste.report.wording import MISSING, counted, duration, number, trimmed
from foretaste.surface.agreement import Agreement
from foretaste.surface.comparison import Comparison

__all__ = ["beside", "comparison_json"]

_COLUMNS = ("error", "rank mean", "rank worst", "rank top", "regret mean", "regret worst", "cost once", "cost each")
_LEGEND = (
    "error: mean absolute; rank: Spearman correlation; regret: what choosing by preview gives up; "
    "cost: in joint runs, once for all weightings and for each one, evaluation left out"
)
_RIVALS = {"uniform": "uniform weights", "proportional": "weights by data"}


def beside(found: Comparison) -> Group:
    """Methods beside each other, a method a row; controls and rivals are dim.

    >>> from foretaste.surface.comparison import Compared, Regret
    >>> even = {"a": 0.01, "b": 0.03}
    >>> near = Agreement("simple", 3, even, even, {"a": None, "b": None}, 0.5, None, None, 0.0, 0.01, 0.1)
    >>> found = Comparison((Compared(near, "averaging", "preview", 2.0, 0.001),), {"uniform": Regret(0.02, 0.0)}, 75.0)
    >>> beside(found).renderables[0].row_count
    2
    """
    first = found.methods[0].agreement
    title = f"Methods at {counted(first.points, 'weighting')}, where the joint mean varies by {number(first.spread)}"
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, title=Text(title, "bold"))
    table.title_justify = "left"
    table.add_column("method", no_wrap=True)
    for header in _COLUMNS:
        table.add_column(header, justify="right", min_width=max(map(len, header.split())))
    for each in found.methods:
        costs = [_runs(each.once), _runs(each.each)]
        table.add_row(Text(trimmed(each.method)), *_cells(each.agreement), *costs, style="dim" if each.kind == "control" else "")
    table.add_section()
    for name, regret in found.rivals.items():
        table.add_row(Text(_RIVALS[name]), *[MISSING] * 4, number(regret.mean), number(regret.worst), *[_runs(0.0)] * 2, style="dim")
    said = [f"{each.method}: {each.title}{' (control)' if each.kind == 'control' else ''}" for each in found.methods]
    legend = f"{_LEGEND}; one joint run takes {duration(found.joint_seconds)}"
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
