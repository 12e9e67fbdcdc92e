"""Text: a summary as Rich renderables; who calls prints them."""

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foretaste.report.captions import alternative, certainty, nothing, valuation
from foretaste.report.summary import Summary, confirmation, verdict
from foretaste.report.wording import MISSING, duration, number, share, signed, span, trimmed
from foretaste.surface.pareto import front
from foretaste.task import Evaluation

__all__ = ["agreements", "confirmed_table", "costs", "previews", "recommended", "render", "verdicts"]

_LIMIT = 12
_WIDE = 3  # tasks up to which weight and metric share a line
_BAR = 10


def render(summary: Summary) -> Group:
    """All of the summary, the recommendation first.

    >>> from foretaste.surface.preference import Preference
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
    """What to choose, why and how sure that is.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> str(recommended(found).title)
    's: recommendation'
    """
    found = summary.recommendation
    title = Text(f"{summary.name}: recommendation")
    if found is None:
        return Panel(Text(certainty(summary)), title=title, title_align="left", padding=(1, 2))
    lines = Text()
    lines.append(f"{'Why' if found.floors_met else 'Floors not met'}: ", "bold" if found.floors_met else "bold red")
    lines.append(f"{found.reason}; {valuation(found)}.\n")
    for kept in found.floors:
        lines.append("Floor: ", "bold").append(f"{kept.floor} holds with probability {kept.chance:.0%}.\n")
    lines.append("How sure: ", "bold").append(certainty(summary))
    if found.runners_up:
        lines.append("\nRunners-up:", "bold")
    for other in found.runners_up:
        lines.append(f"\n  {alternative(other)}")
    return Panel(Group(_chosen(summary), Text(_judged(summary), "dim"), Text(), lines), title=title, title_align="left", padding=(1, 2))


def _chosen(summary: Summary) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=18)
    table.add_column("", min_width=_BAR, max_width=_BAR)
    for header in ("weight", "expected", "90 % interval", "single-task", "change"):
        table.add_column(header, justify="right", min_width=len(header), no_wrap=True)
    found, single = summary.recommendation, summary.single
    assert found is not None
    for task, weight in found.weights.items():
        bar = ProgressBar(total=1, completed=weight, width=_BAR, complete_style="cyan", finished_style="cyan")
        alone = single.get(task)
        change = None if alone is None else found.expected[task] - alone
        within = span(found.low[task], found.high[task])
        table.add_row(Text(task), bar, share(weight), number(found.expected[task]), within, number(alone), signed(change))
    return table


def confirmed_table(summary: Summary) -> Group:
    """The recommended weights after joint finetuning, beside their preview.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> str(confirmed_table(found).renderables[0])
    'Too little to recommend from yet; ...'
    """
    found = confirmation(summary)
    if found is None:
        return Group(Text(certainty(summary)))
    table = _table("Joint finetuning at the recommended weights")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for header in ("previewed", "joint", "difference"):
        table.add_column(header, justify="right")
    for task, value in found.joint.items():
        table.add_row(Text(task), number(found.previewed.get(task)), number(value), signed(found.difference.get(task)))
    table.add_section()
    change = signed(None if found.previewed_value is None else found.joint_value - found.previewed_value)
    table.add_row(Text(str(summary.preference)), number(found.previewed_value), number(found.joint_value), change)
    return Group(table)


def previews(summary: Summary, limit: int = _LIMIT) -> Group:
    """The best previews by the preference; those on the Pareto front are marked.

    Args:
        summary: Of a study with previews.
        limit: How many to show.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> table, legend = previews(found, limit=2).renderables
    >>> table.row_count, str(legend)
    (2, '… and 1 more. > recommended, * on the Pareto front. Under each task: its weight, its metric.')
    """
    surface = summary.previews
    values = summary.values(surface)
    order = sorted(range(len(values)), key=lambda index: -values[index])
    efficient = {row.weights for row in front(surface).rows}
    chosen = summary.recommendation.weights if summary.recommendation else None
    table = _table(f"Previews ({summary.method}), by {summary.preference}")
    table.add_column("", width=2)
    table.add_column("value", justify="right")
    for task in summary.tasks:
        table.add_column(Text(task), justify="right", overflow="ellipsis", no_wrap=True)
    for index in order[:limit]:
        row = surface.rows[index]
        mark = (">" if row.weights == chosen else " ") + ("*" if row.weights in efficient else "")
        table.add_row(mark, number(values[index]), *_cells(summary, row), style="bold" if row.weights == chosen else "")
    legend = f"{_more(len(order), limit)}> recommended, * on the Pareto front. Under each task: its weight, its metric."
    return Group(table, Text(legend, "dim"))


def _cells(summary: Summary, row: Evaluation) -> list[Text]:
    glue = " " if len(summary.tasks) <= _WIDE else "\n"
    cells = []
    for task, head in summary.surface.headlines.items():
        weight = f"{share(row.weights[task]):>5}"
        cells.append(Text.assemble((weight, "dim"), glue, number(row.metrics[task][head.metric])))
    return cells


def _more(count: int, limit: int) -> str:
    return f"\u2026 and {count - limit} more. " if count > limit else ""


def _judged(summary: Summary) -> str:
    """The metrics behind the numbers, named once where the tasks share one."""
    named = {task: head.metric + ("" if head.higher_is_better else " (less is better)") for task, head in summary.surface.headlines.items()}
    common = set(named.values())
    return f"metric: {common.pop()}" if len(common) == 1 else "metrics: " + ", ".join(f"{task} {metric}" for task, metric in named.items())


def agreements(summary: Summary) -> Group:
    """How well each method's previews predict joint finetuning, one method a row.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Fidelity
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> agreements(found).renderables[0].row_count
    1
    """
    table = _table("Previews against joint finetuning")
    table.add_column("method", no_wrap=True)
    for header in ("points", "error", "rank mean", "rank worst", "rank top", "regret mean", "regret worst", "spread"):
        table.add_column(header, justify="right")
    for found in summary.agreements:
        ranks = [MISSING if rank is None else f"{rank:.2f}" for rank in (found.rank_mean, found.rank_worst, found.rank_top)]
        numbers = [number(value) for value in (found.regret_mean, found.regret_worst, found.spread)]
        table.add_row(Text(found.method), str(found.points), number(found.mean_error), *ranks, *numbers)
    legend = "error: mean absolute; rank: Spearman correlation; regret: what choosing by preview gives up; spread: range of the joint mean"
    return Group(table, Text(legend, "dim"), _by_task(summary))


def _by_task(summary: Summary) -> Table:
    """Each task's error and rank correlation, a task a row."""
    table = _table("")
    table.add_column("task", no_wrap=True)
    for found in summary.agreements:
        table.add_column(f"{found.method}: error", justify="right")
        table.add_column("rank", justify="right")
    for task in summary.tasks:
        cells = []
        for found in summary.agreements:
            rank = found.rank[task]
            cells += [number(found.error[task]), MISSING if rank is None else f"{rank:.2f}"]
        table.add_row(Text(trimmed(task)), *cells)
    return table


def verdicts(summary: Summary) -> Group:
    """How far to trust the previews of each method.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> verdicts(found).renderables
    []
    """
    worst = summary.preference.kind == "worst"
    return Group(*(Text.assemble((f"{found.method}: ", "bold"), verdict(found, worst=worst)) for found in summary.agreements))


def costs(summary: Summary) -> Table:
    """What the study took, step by step.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy")}, ())
    >>> found = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={"previews": 75.0}
    ... )
    >>> costs(found).row_count
    1
    """
    table = _table("Time")
    table.show_header = False
    table.add_column("", overflow="ellipsis", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for step, seconds in summary.costs.items():
        table.add_row(Text(step), duration(seconds))
    return table


def _table(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=Text(title, "bold"), title_justify="left", pad_edge=False, show_edge=False)
