"""Markup: a summary's tables in HTML; every text is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

from foretaste.report.confirmation import confirmation
from foretaste.report.summary import Summary
from foretaste.report.wording import MISSING, number, share, shares, signed, span
from foretaste.surface.hindsight import Foretold

__all__ = ["agreement_table", "chosen_table", "confirmed_table", "foretold_table", "lines_table", "rows_table"]

_HASH = 12


def chosen_table(summary: Summary) -> str:
    """The recommended weights as bars, with what they are expected to give; empty without a recommendation.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> chosen_table(found)
    ''
    """
    found, single = summary.recommendation, summary.single
    if found is None:
        return ""
    rows = []
    for task, weight in found.weights.items():
        bar = f'<span class="bar"><span style="width:{100 * weight:.4g}%"></span></span> {share(weight)}'
        alone = single.get(task)
        change = None if alone is None else found.expected[task] - alone
        metric = escape(_metric(summary, task))
        within = span(found.low[task], found.high[task])
        rows.append([escape(task), bar, number(found.expected[task]), within, number(alone), signed(change), metric])
    return _table("", ["task", "weight", "expected", "90 % interval", "single-task", "change", "metric"], rows)


def _metric(summary: Summary, task: str) -> str:
    head = summary.surface.headlines[task]
    return head.metric if head.higher_is_better else f"{head.metric} (less is better)"


def confirmed_table(summary: Summary) -> str:
    """The joint run at the recommended weights beside its preview; empty where there is none.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> confirmed_table(found)
    ''
    """
    found = confirmation(summary)
    if found is None:
        return ""
    rows = [
        [escape(task), number(found.previewed.get(task)), number(value), signed(found.difference.get(task))]
        for task, value in found.joint.items()
    ]
    change = signed(found.value_difference)
    rows.append([escape(summary.wanted), number(found.previewed_value), number(found.joint_value), change])
    title, header = "Joint finetuning at the recommended weights", ["task", "previewed", "joint", "difference"]
    if found.anchored:
        return _table(f"{title}: this joint run anchored the preview", header[:-1], [row[:-1] for row in rows])
    return _table(title, header, rows)


def agreement_table(summary: Summary) -> str:
    """One method a row.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> "<td>simple</td><td>3</td><td>0.000</td>" in agreement_table(found)
    True
    """
    header = ["method", "points", "mean error", "rank, mean", "rank, worst", "rank, top", "regret, mean", "regret, worst", "spread"]
    rows = []
    for found in summary.agreements:
        ranks = [MISSING if rank is None else f"{rank:.2f}" for rank in (found.rank_mean, found.rank_worst, found.rank_top)]
        numbers = [number(value) for value in (found.regret_mean, found.regret_worst, found.spread)]
        rows.append([escape(found.method), str(found.points), number(found.mean_error), *ranks, *numbers])
    caption = (
        "Error: mean absolute. Rank: Spearman correlation; top: of the mean, among the quarter of the points (at least 3) "
        "where joint finetuning is best. Regret: what choosing by preview gives up. Spread: range of the joint mean."
    )
    return _table(
        caption + "".join(f" {found.method}: without its anchor." for found in summary.agreements if found.left_out), header, rows
    )


def rows_table(summary: Summary) -> str:
    """Every row as it was made: weights, all metrics, seed, seconds.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> rows_table(found).count("<td>preview</td>")
    3
    """
    columns = [(task, metric) for task in summary.tasks for metric in _metrics(summary, task)]
    header = ["made by", "method", "seed", *(f"weight {task}" for task in summary.tasks), *(f"{task} {metric}" for task, metric in columns)]
    rows = [
        [str(row.fidelity), escape(row.method), str(row.seed), *(share(weight) for weight in row.weights.values())]
        + [number(row.metrics[task].get(metric)) for task, metric in columns]
        + [f"{row.cost:.3g}", f"<code>{escape(row.key[:_HASH])}</code>"]
        for row in summary.surface.rows
    ]
    return _table("", [escape(name) for name in [*header, "seconds", "hash"]], rows)


def foretold_table(found: Sequence[Foretold]) -> str:
    """Joint runs beside what had been expected of them; empty without one.

    >>> foretold_table([])
    ''
    """
    if not found:
        return ""
    rows = []
    for each in found:
        columns = zip(*(column.tolist() for column in (each.expected, each.low, each.high, each.real)), strict=True)
        cells = [f"{number(real)} <small>({number(expected)}: {span(low, high)})</small>" for expected, low, high, real in columns]
        rows.append([escape(shares(each.weights)), *cells, f"{each.inside} of {len(each.real)}"])
    header = ["weights", *(escape(task) for task in found[0].weights), "in the interval"]
    return _table("Joint runs, and what was expected of each from what was known before it", header, rows)


def _metrics(summary: Summary, task: str) -> list[str]:
    return list(dict.fromkeys(metric for row in summary.surface.rows for metric in row.metrics[task]))


def lines_table(caption: str, lines: Mapping[str, str]) -> str:
    """A key and its value a line; empty where there are none.

    >>> lines_table("Made by", {"seed": "<0>"})
    '<table class="lines"><caption>Made by</caption><tr><th scope="row">seed</th><td>&lt;0&gt;</td></tr></table>'
    """
    if not lines:
        return ""
    rows = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in lines.items())
    return f'<table class="lines"><caption>{escape(caption)}</caption>{rows}</table>'


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells and header are markup already."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    title = f'<p class="note">{escape(caption)}</p>' if caption else ""
    return f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
