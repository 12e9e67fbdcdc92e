"""Text: a summary as Rich renderables; who calls prints them."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foretaste.evaluation import Evaluation
from foretaste.report.captions import alternative, certainty, nothing, valuation
from foretaste.report.confirmation import confirmation
from foretaste.report.fitting import Fitting, grid, listed
from foretaste.report.summary import Summary, verdict
from foretaste.report.wording import MISSING, duration, number, share, signed, span, trimmed
from foretaste.surface.pareto import front

__all__ = ["agreements", "confirmed_table", "costs", "previews", "recommended", "render", "verdicts"]

_LIMIT = 12
_WIDE = 3  # tasks up to which weight and metric share a line
_BAR = 10
_LEGEND = (
    "error: mean absolute; rank: Spearman correlation, top: of the mean, among the quarter of the points (at least 3) where joint "
    "finetuning is best; regret: what choosing by preview gives up; spread: range of the joint mean"
)


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
    lines.append(f"{found.reason}; {valuation(found, summary.measure)}.\n")
    if summary.caution:
        lines.append("Mind: ", "bold yellow").append(f"{summary.caution}\n")
    for kept in found.floors:
        lines.append("Floor: ", "bold").append(f"{kept.floor} holds with probability {kept.chance:.0%}.\n")
    lines.append("How sure: ", "bold").append(certainty(summary))
    if found.runners_up:
        lines.append("\nRunners-up:", "bold")
    for other in found.runners_up:
        lines.append(f"\n  {alternative(other)}")
    return Panel(Group(_chosen(summary), Text(_judged(summary), "dim"), Text(), lines), title=title, title_align="left", padding=(1, 2))


def _chosen(summary: Summary) -> Fitting:
    found, single = summary.recommendation, summary.single
    assert found is not None
    rows: list[list[str]] = []
    for task, weight in found.weights.items():
        alone = single.get(task)
        change = None if alone is None else found.expected[task] - alone
        within = span(found.low[task], found.high[task])
        rows.append([trimmed(task), share(weight), number(found.expected[task]), within, number(alone), signed(change)])
    header, narrow = (
        ["task", "weight", "expected", f"90 %{glue}interval", f"single-{end}task", "change"] for glue, end in ((" ", ""), "\n\n")
    )
    bars = [
        ProgressBar(total=1, completed=weight, width=_BAR, complete_style="cyan", finished_style="cyan")
        for weight in found.weights.values()
    ]
    return Fitting((_barred(header, rows, bars), _barred(narrow, rows, bars), grid("", narrow, rows), listed("", narrow, rows)))


def _barred(header: Sequence[str], rows: Sequence[Sequence[str]], bars: Sequence[ProgressBar]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(header[0], no_wrap=True)
    table.add_column("", min_width=_BAR, max_width=_BAR)
    for heading in header[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, bar in zip(rows, bars, strict=True):
        table.add_row(Text(row[0]), bar, *row[1:])
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
    title, header = "Joint finetuning at the recommended weights", ["", "previewed", "joint", "difference"]
    lines = [(task, found.previewed.get(task), value, found.difference.get(task)) for task, value in found.joint.items()]
    lines.append((summary.wanted, found.previewed_value, found.joint_value, found.value_difference))
    rows = [[name, number(seen), number(real), signed(change)] for name, seen, real, change in lines]
    if found.anchored:
        header, rows = header[:-1], [row[:-1] for row in rows]
    table = grid(title, header, rows)
    table.columns[0].no_wrap = False
    return Group(
        table, *([Text("This joint run anchored the preview: what they differ by says nothing of others.", "dim")] * found.anchored)
    )


def previews(summary: Summary, limit: int = _LIMIT) -> Group:
    """The best previews by the preference; those on the Pareto front are marked.

    Args:
        summary: Of a study with previews.
        limit: How many to show.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> table, legend = previews(found, limit=2).renderables
    >>> table.choices[0].row_count, str(legend)
    (2, '… and 1 more. > recommended, * on the Pareto front. Under each task: its weight, its metric.')
    """
    surface = summary.previews
    values = summary.values(surface)
    order = sorted(range(len(values)), key=lambda index: -values[index])
    efficient = {row.weights for row in front(surface).rows}
    chosen = summary.recommendation.weights if summary.recommendation else None
    title = f"Previews ({summary.method}), by {summary.wanted}"
    lines: list[list[str]] = []
    for index in order[:limit]:
        row = surface.rows[index]
        mark = (">" if row.weights == chosen else " ") + ("*" if row.weights in efficient else "")
        lines.append([f"{mark:<2} {number(values[index])}", *_cells(summary, row)])
    header = ["   value", *map(trimmed, summary.tasks)]
    shapes = [(shape, glue) for glue in (" ", "\n")[len(summary.tasks) > _WIDE :] for shape in (grid,)] + [(listed, " ")]
    tables = tuple(shape(title, header, _marked([[cell.replace("\t", glue) for cell in line] for line in lines])) for shape, glue in shapes)
    legend = f"{_more(len(order), limit)}> recommended, * on the Pareto front. Under each task: its weight, its metric."
    return Group(Fitting(tables), Text(legend, "dim"))


def _marked(lines: Sequence[Sequence[str]]) -> list[list[Text]]:
    """The recommended one in bold."""
    return [[Text(cell, "bold" if line[0].startswith(">") else "") for cell in line] for line in lines]


def _cells(summary: Summary, row: Evaluation) -> list[str]:
    heads = summary.surface.headlines.items()
    return [f"{share(row.weights[task]):>5}\t{number(row.metrics[task][head.metric])}" for task, head in heads]


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
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> agreements(found).renderables[0].choices[0].row_count
    1
    """
    columns = ("points", "error", "rank mean", "rank worst", "rank top", "regret mean", "regret worst", "spread")
    header, rows = ["method", *(column.replace(" ", "\n") for column in columns)], []
    for found in summary.agreements:
        ranks = [_rank(rank) for rank in (found.rank_mean, found.rank_worst, found.rank_top)]
        numbers = [number(value) for value in (found.regret_mean, found.regret_worst, found.spread)]
        rows.append([found.method, str(found.points), number(found.mean_error), *ranks, *numbers])
    apart = "".join(f"; {found.method}: without its anchor" for found in summary.agreements if found.left_out)
    title = "Previews against joint finetuning"
    return Group(Fitting((grid(title, header, rows), listed(title, header, rows))), Text(f"{_LEGEND}{apart}", "dim"), _by_task(summary))


def _by_task(summary: Summary) -> Fitting:
    """Each task's error and rank correlation: a task a row, or a method a row."""
    header = ["task", *(name for found in summary.agreements for name in (f"{found.method}:\nerror", "\nrank"))]
    rows = [
        [trimmed(task), *(cell for found in summary.agreements for cell in (number(found.error[task]), _rank(found.rank[task])))]
        for task in summary.tasks
    ]
    turned = ["method: error, rank", *map(trimmed, summary.tasks)]
    shapes = [(grid, "\n"), (listed, "  ")]
    by_method = (shape("", turned, _methods(summary, glue)) for shape, glue in shapes)
    return Fitting((grid("", header, rows), *by_method))


def _methods(summary: Summary, glue: str) -> list[list[str]]:
    return [
        [found.method, *(f"{number(found.error[task])}{glue}{_rank(found.rank[task])}" for task in summary.tasks)]
        for found in summary.agreements
    ]


def _rank(rank: float | None) -> str:
    return MISSING if rank is None else f"{rank:.2f}"


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
