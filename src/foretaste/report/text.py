"""Text: a summary as Rich renderables; who calls prints them."""

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foretaste.report.captions import certainty, confirmed, nothing
from foretaste.report.summary import Summary, confirmation, verdict
from foretaste.report.wording import MISSING, duration, number, share, shares, signed
from foretaste.surface.pareto import front
from foretaste.task import Evaluation

__all__ = ["agreements", "confirmed_table", "costs", "previews", "recommended", "render", "verdicts"]

_LIMIT = 12
_WIDE = 3  # tasks up to which weight and metric share a line
_BAR = 16


def render(summary: Summary) -> Group:
    """All of the summary, the recommendation first.

    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.report.summary import summarise
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> found = summarise(empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> len(render(found).renderables)
    1
    """
    if not summary.surface.rows:
        return Group(Text(nothing(summary)))
    parts: list[RenderableType] = [recommended(summary)]
    if confirmation(summary):
        parts.append(confirmed_table(summary))
    if summary.previews.rows:
        parts.append(previews(summary))
    if summary.agreements:
        parts += [agreements(summary), verdicts(summary)]
    if summary.costs:
        parts.append(costs(summary))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def recommended(summary: Summary) -> Panel:
    """What to choose, why and how sure that is."""
    found = summary.recommendation
    title = Text(f"{summary.name}: recommendation")
    if found is None:
        return Panel(Text(certainty(summary)), title=title, title_align="left", padding=(1, 2))
    lines = Text()
    lines.append(f"{'Why' if found.floors_met else 'Floors not met'}: ", "bold" if found.floors_met else "bold red")
    lines.append(f"{found.reason}; value {number(found.value)}")
    lines.append("\n" if found.gain is None else f", {signed(found.gain)} against equal weights.\n")
    lines.append("How sure: ", "bold").append(certainty(summary))
    if found.runners_up:
        lines.append("\nRunners-up:", "bold")
    for weights, value in found.runners_up:
        lines.append(f"\n  {number(value)}  {shares(weights)}")
    return Panel(Group(_chosen(summary), Text(), lines), title=title, title_align="left", padding=(1, 2))


def _chosen(summary: Summary) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=20)
    table.add_column("", min_width=_BAR, max_width=_BAR)
    for header in ("weight", "expected", "single-task", "difference"):
        table.add_column(header, justify="right")
    table.add_column("metric", style="dim", overflow="ellipsis", no_wrap=True)
    found, single = summary.recommendation, summary.single
    assert found is not None
    for task, weight in found.weights.items():
        bar = ProgressBar(total=1, completed=weight, width=_BAR, complete_style="cyan", finished_style="cyan")
        alone = single.get(task)
        change = None if alone is None else found.expected[task] - alone
        numbers = (share(weight), number(found.expected[task]), number(alone), signed(change))
        table.add_row(Text(task), bar, *numbers, Text(summary.surface.headlines[task].metric))
    return table


def confirmed_table(summary: Summary) -> Group:
    """The recommended weights after joint finetuning, beside their preview."""
    found = confirmation(summary)
    if found is None:
        return Group(Text(certainty(summary)))
    table = _table("Joint finetuning at the recommended weights")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for header in ("previewed", "joint", "difference"):
        table.add_column(header, justify="right")
    for task, value in found.joint.items():
        table.add_row(Text(task), number(found.previewed[task]), number(value), signed(found.difference[task]), end_section=False)
    table.add_section()
    change = signed(found.joint_value - found.previewed_value)
    table.add_row(Text(str(summary.preference)), number(found.previewed_value), number(found.joint_value), change)
    return Group(table, Text(confirmed(summary)))


def previews(summary: Summary, limit: int = _LIMIT) -> Table:
    """The best previews by the preference; those on the Pareto front are marked.

    Args:
        summary: Of a study with previews.
        limit: How many to show.
    """
    surface = summary.previews
    values = summary.values(surface)
    order = sorted(range(len(values)), key=lambda index: -values[index])
    efficient = {row.weights for row in front(surface).rows}
    chosen = summary.recommendation.weights if summary.recommendation else None
    table = _table(f"Previews ({summary.method}), by {summary.preference}")
    table.caption = f"{_more(len(order), limit)}> recommended, * on the Pareto front; under each task its weight and {_metrics(summary)}"
    table.add_column("", width=2)
    table.add_column("value", justify="right")
    for task in summary.tasks:
        table.add_column(Text(task), justify="right", overflow="ellipsis", no_wrap=True)
    for index in order[:limit]:
        row = surface.rows[index]
        mark = (">" if row.weights == chosen else " ") + ("*" if row.weights in efficient else "")
        table.add_row(mark, number(values[index]), *_cells(summary, row), style="bold" if row.weights == chosen else "")
    return table


def _cells(summary: Summary, row: Evaluation) -> list[Text]:
    glue = " " if len(summary.tasks) <= _WIDE else "\n"
    cells = []
    for task, head in summary.surface.headlines.items():
        weight = f"{share(row.weights[task]):>5}"
        cells.append(Text.assemble((weight, "dim"), glue, number(row.metrics[task][head.metric])))
    return cells


def _more(count: int, limit: int) -> str:
    return f"\u2026 and {count - limit} more. " if count > limit else ""


def _metrics(summary: Summary) -> str:
    return " or ".join(dict.fromkeys(head.metric for head in summary.surface.headlines.values()))


def agreements(summary: Summary) -> Table:
    """How well each method's previews predict joint finetuning, one method a row."""
    table = _table("Previews against joint finetuning")
    table.caption = (
        "error: mean absolute, of the headline metrics; rank: Spearman correlation; regret: joint metric given up by trusting previews"
    )
    table.add_column("method", no_wrap=True)
    for header in ("points", "error", "rank mean", "rank worst", "rank top", "regret mean", "regret worst", "spread"):
        table.add_column(header, justify="right")
    for found in summary.agreements:
        ranks = [MISSING if rank is None else f"{rank:.2f}" for rank in (found.rank_mean, found.rank_worst, found.rank_top)]
        numbers = [number(value) for value in (found.regret_mean, found.regret_worst, found.spread)]
        table.add_row(Text(found.method), str(found.points), number(found.mean_error), *ranks, *numbers)
    return table


def verdicts(summary: Summary) -> Group:
    """One sentence or two per method."""
    return Group(*(Text.assemble((f"{found.method}: ", "bold"), verdict(found)) for found in summary.agreements))


def costs(summary: Summary) -> Table:
    """What the study took, step by step."""
    table = _table("Time")
    table.add_column("step", overflow="ellipsis", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for step, seconds in summary.costs.items():
        table.add_row(Text(step), duration(seconds))
    return table


def _table(title: str) -> Table:
    found = Table(box=box.SIMPLE_HEAD, title=Text(title, "bold"), title_justify="left", caption_justify="left", pad_edge=False)
    found.show_edge = False
    return found
