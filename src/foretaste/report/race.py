"""A race: what came to the end, what stopped on the way, and how much of the evaluation that saved."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from foretaste.report.tables import row_json, rows
from foretaste.report.wording import counted, number, share, shares, span
from foretaste.surface.race import ERROR, Apart, Raced

__all__ = ["raced", "raced_json"]

_LISTED = 12


def raced(found: Sequence[Raced]) -> Group:
    """Each method's race: the rows, those that stopped, and in sentences what is best and what was saved.

    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.PREVIEW, "simple")
    >>> [str(part) for part in raced([Raced("simple", (row,), (), row.weights, {}, 10, 40)]).renderables[1:]]
    ['Best by simple: a 50%, b 50%.', '10 of 40 evaluations of single examples were made, now or before: 75% were saved.']
    """
    return Group(*(part for each in found for part in _one(each)))


def _one(found: Raced) -> list[RenderableType]:
    parts: list[RenderableType] = [rows(found.rows)]
    if found.dropped:
        parts.append(_dropped(found))
    parts.append(Text(f"Best by {found.method}: {shares(found.best)}.{_undecided(found)}"))
    if found.reason:
        parts.append(Text(f"No race: {found.reason}.", "yellow"))
    else:
        saved = share(1 - found.evaluated / found.whole)
        parts.append(
            Text(f"{found.evaluated:,} of {found.whole:,} evaluations of single examples were made, now or before: {saved} were saved.")
        )
    if found.dropped:
        parts.append(
            Text(f"That the one that is best on all examples is among those that stopped has a probability of at most {ERROR:.0%}.")
        )
    return parts


def _dropped(found: Raced) -> Table:
    title = Text("Stopped: surely not the best", "bold")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("weights", no_wrap=True)
    for heading in ("examples", "value", "behind the leader"):
        table.add_column(heading, justify="right")
    for each in found.dropped[:_LISTED]:
        behind = "misses the floors" if each.missing else f"{number(each.apart.behind)} ({span(each.apart.low, each.apart.high)})"
        table.add_row(" ".join(share(weight) for weight in each.weights.values()), str(each.examples), number(each.value), behind)
    if len(found.dropped) > _LISTED:
        table.caption, table.caption_justify = f"… and {len(found.dropped) - _LISTED} more; --json has all", "left"
    return table


def _undecided(found: Raced) -> str:
    others = found.undecided
    if not others:
        return ""
    some = "; ".join(shares(weights) for weights in others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return f" It cannot be told apart from {counted(len(others), 'other')} on these examples: {some}."


def raced_json(found: Sequence[Raced]) -> list[dict[str, object]]:
    """The same, ready for `json.dumps`.

    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("a"), {"a": {"accuracy": 0.9}}, Fidelity.PREVIEW, "simple")
    >>> raced_json([Raced("simple", (row,), (), row.weights, {}, 10, 40)])[0]["best"]
    {'a': 1.0}
    """
    return [
        {
            "method": each.method,
            "rows": [row_json(row) | _apart(each.apart.get(row.weights)) for row in each.rows],
            "dropped": [
                {"weights": dict(one.weights), "examples": one.examples, "value": one.value, "missing": one.missing} | _apart(one.apart)
                for one in each.dropped
            ],
            "best": dict(each.best),
            "undecided": [dict(weights) for weights in each.undecided],
            "evaluated": each.evaluated,
            "whole": each.whole,
            "error": ERROR,
            "reason": each.reason,
        }
        for each in found
    ]


def _apart(found: Apart | None) -> dict[str, object]:
    return {} if found is None else {"behind": found.behind, "low": found.low, "high": found.high}
