"""The page: a summary as one HTML file that needs no network.

plotly.js is written into it once. Everything a user named is escaped, in markup and in scripts.
"""

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from foretaste.evaluation import Fidelity
from foretaste.report.captions import agreed, alternative, certainty, compared, mapped, nothing, spanned, traded, valuation, valued
from foretaste.report.explain import fronted
from foretaste.report.explorer import explored, facts
from foretaste.report.figures import VALUE, comparison, maps, methods, tradeoff
from foretaste.report.markup import agreement_table, chosen_table, confirmed_table, foretold_table, lines_table, rows_table
from foretaste.report.mergeability import overall
from foretaste.report.summary import Summary, verdict
from foretaste.report.wording import counted, duration, number
from foretaste.surface.hindsight import coverage, foretold, mean_error

__all__ = ["MARKS", "SCRIPTS", "page", "script", "sections"]

MARKS = ('<meta name="generator" content="foretaste">', '<p class="product">foretaste</p>')  # in every page, this and earlier versions'

SCRIPTS = ("simplex.js", "page.js", "map.js", "curve.js", "figures.js", "work.js", "explore.js")  # in the order that they are read in
_PAST = 8  # joint runs whose history is shown: each is predicted anew
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:\">"
)


def page(summary: Summary, state: Mapping[str, object] | None = None) -> str:
    """One HTML document: the explorer, and everything that there is to read.

    Args:
        summary: What it shows.
        state: With a server behind it, what the explorer begins with: then scripts are read from the server. Without,
            the document is complete in itself.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> found = summarise(empty, name="<s>", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> "<title>&lt;s&gt;</title>" in page(found)
    True
    """
    drawn, live = bool(summary.surface.rows), state is not None
    if live:
        scripts = "".join(f'<script src="/static/{name}"></script>\n' for name in ("plotly.js", *SCRIPTS))
    else:
        scripts = "".join(f"<script>{text}</script>\n" for text in (get_plotlyjs(), *map(script, SCRIPTS))) if drawn else ""
    return Template(_file("page.html")).substitute(
        policy="" if live else _POLICY,
        title=escape(summary.name),
        style=_file("page.css"),
        live="data-live" if live else "",
        facts=escape(facts(summary)),
        sections=sections(summary),
        state=_data('id="state"', json.dumps(explored(summary) if state is None else state)) if drawn or live else "",
        scripts=scripts,
    )


def sections(summary: Summary) -> str:
    """All but the explorer, as HTML.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> found = summarise(empty, name="<s>", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> "&lt;s&gt;: nothing evaluated yet" in sections(found)
    True
    """
    if not summary.surface.rows:
        return _section("Nothing yet", _paragraph(nothing(summary)), "first")
    return "\n".join(_sections(summary))


def script(name: str) -> str:
    """One of the explorer's scripts.

    Args:
        name: One of `SCRIPTS`.

    >>> "Simplex" in script("simplex.js")
    True
    """
    return _file(f"explore/{name}")


def _file(name: str) -> str:
    return resources.files("foretaste.report").joinpath(name).read_text(encoding="utf-8")


def _data(kind: str, text: str) -> str:
    """JSON that no content can break out of."""
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" {kind}>{safe}</script>'


def _sections(summary: Summary) -> list[str]:
    found = [_recommendation(summary)]
    if summary.previews.rows:
        found += [_map(summary), _tradeoff(summary)]
    if summary.agreements:
        found.append(_trust(summary))
    return [*found, *_history(summary), _rows(summary), _provenance(summary)]


def _recommendation(summary: Summary) -> str:
    found = summary.recommendation
    if found is None:
        return _section("Recommendation", _paragraph(certainty(summary)), "first")
    why = escape(f"{found.reason}; {valuation(found, summary.measure)}.")
    floors = "".join(f"<p><b>Floor:</b> {escape(str(kept.floor))} holds with probability {kept.chance:.0%}.</p>" for kept in found.floors)
    others = "".join(f"<li>{escape(alternative(other))}</li>" for other in found.runners_up)
    return _section(
        "Recommendation",
        f'<p><code class="copy">{escape(found.weights.key)}</code></p>{chosen_table(summary)}'
        + (f"<p><b>Why:</b> {why}</p>" if found.floors_met else f'<p><span class="warn">Floors not met:</span> {why}</p>')
        + (f'<p><span class="warn">Mind:</span> {escape(summary.caution)}</p>' if summary.caution else "")
        + floors
        + f"<p><b>How sure:</b> {escape(certainty(summary))}</p>"
        + (f"<details><summary>Runners-up</summary><ul>{others}</ul></details>" if others else ""),
        "first",
    )


def _map(summary: Summary) -> str:
    drawn = maps(summary)
    captions = {name: valued(summary) if name == VALUE else mapped(summary, name) for name in drawn}
    if len(drawn) == 1:
        captions = {VALUE: f"{valued(summary)} {spanned(summary)}"}
    coloured = f"Weights and metrics, coloured by {summary.preference}" if len(drawn) == 1 else f"Preference: {summary.preference}"
    titles = {name: coloured if name == VALUE else name for name in drawn}
    figures = [_figure(f"map-{index}", titles[name], figure, captions[name]) for index, (name, figure) in enumerate(drawn.items())]
    return _section(
        "The map", _paragraph(f"What each weighting is expected to give, by {summary.method} previews.") + _grid(figures, _width(summary))
    )


def _tradeoff(summary: Summary) -> str:
    said = traded(summary) + (f" Expected of joint finetuning: {fronted(summary.outlook)}" if summary.outlook else "")
    return _section("The trade-off", _grid([_figure("tradeoff", "Pareto front", tradeoff(summary), said)], _width(summary)))


def _width(summary: Summary) -> str:
    """Many parallel axes need room: the figure scrolls on a phone."""
    return "wide" if len(summary.tasks) > 3 else ""


def _trust(summary: Summary) -> str:
    worst = summary.preference.kind == "worst"
    said = "".join(f"<p><b>{escape(found.method)}:</b> {escape(verdict(found, worst=worst))}</p>" for found in summary.agreements)
    figures = [
        _figure(f"trust-{index}", f"{found.method} previews against joint finetuning", comparison(summary, found.method), compared(found))
        for index, found in enumerate(summary.agreements)
    ]
    figures.append(_figure("methods", "Methods", methods(summary), agreed(summary)))
    said += _paragraph(between) if (between := overall(summary.surface.where(Fidelity.PREVIEW, "simple").averaged())) else ""
    return _section("How far to trust it", said + agreement_table(summary) + confirmed_table(summary) + _grid(figures))


def _history(summary: Summary) -> list[str]:
    """Of the last joint runs, in the order they were made."""
    past = [] if summary.outlook is None else foretold(summary.outlook.surface, _PAST)
    covered, off = coverage(past), mean_error(past)
    if covered is None:
        return []
    said = f"In their 90 % interval: {covered:.0%} of the metrics; off by {number(off)} on average. Cells: measured (expected: interval)."
    return [_section("History", _paragraph(said) + foretold_table(past))]


def _rows(summary: Summary) -> str:
    count = counted(len(summary.surface.rows), "row")
    return _section("All rows", f"<details><summary>{count}: weights, metrics, seconds</summary>{rows_table(summary)}</details>")


def _provenance(summary: Summary) -> str:
    costs = {step: duration(seconds) for step, seconds in summary.costs.items()}
    return _section("Provenance and cost", lines_table("Provenance", summary.provenance) + lines_table("Time by step", costs))


def _section(title: str, body: str, kind: str = "") -> str:
    return f'<section class="{kind}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _grid(figures: list[str], kind: str = "") -> str:
    return f'<div class="figures {kind}">' + "\n".join(figures) + "</div>"


def _figure(name: str, title: str, figure: go.Figure, caption: str) -> str:
    return (
        f"<figure><h3>{escape(title)}</h3>"
        f'<div class="plot"><div class="drawing" id="{name}" role="img" aria-label="{escape(title)}"></div></div>'
        f"{_data(f'data-plot={name!r}', str(figure.to_json()))}<figcaption>{escape(caption)}</figcaption></figure>"
    )
