"""The page: a report as one HTML file that needs no network.

plotly.js is written into it once. Everything a user named is escaped, in markup and in scripts.
"""

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template

from plotly.offline import get_plotlyjs

from foretaste.document.blocks import Figure, Report
from foretaste.document.markup import html
from foretaste.report.drawing import draw

__all__ = ["MARKS", "SCRIPTS", "page", "script", "sections_html"]

MARKS = (
    '<meta name="generator" content="foretaste">',
    '<p class="product">foretaste</p>',
)  # in every page, this and earlier versions'

SCRIPTS = (
    "simplex.js",
    "wishes.js",
    "page.js",
    "map.js",
    "curve.js",
    "figures.js",
    "work.js",
    "explore.js",
)  # in the order that they are read in
_STYLES = ("page.css", "narrow.css")  # later ones win
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:\">"
)


def page(report: Report, state: Mapping[str, object], *, live: bool = False, sections: str | None = None) -> str:
    """Write one HTML document: the explorer, and everything that there is to read.

    Args:
        report: What there is to read.
        state: What the explorer begins with; empty without rows.
        live: Whether there is a server behind it, which the scripts are read from; otherwise the document is complete
            in itself.
        sections: What `sections_html` writes for this report, if it is there already.

    >>> "<title>&lt;s&gt;</title>" in page(Report("<s>", "", ()), {})
    True
    """
    if live:
        scripts = "".join(f'<script src="/static/{name}"></script>\n' for name in SCRIPTS)
        scripts += '<script defer src="/static/plotly.js"></script>\n'  # large: the map is drawn before it is there
    else:
        scripts = (
            "".join(f"<script>{text}</script>\n" for text in (*map(script, SCRIPTS), get_plotlyjs())) if state else ""
        )
    return Template(_file("page.html")).substitute(
        policy="" if live else _POLICY,
        title=escape(report.name),
        style="\n".join(map(_file, _STYLES)),
        live="data-live" if live else "",
        facts=escape(report.facts),
        headline=escape(report.headline),
        sections=sections_html(report) if sections is None else sections,
        state=_data('id="state"', json.dumps(state)) if state else "",
        scripts=scripts,
    )


def sections_html(report: Report) -> str:
    """Write all but the explorer as HTML.

    >>> sections_html(Report("s", "", ()))
    ''
    """
    return html(report.sections, _figure)


def script(name: str) -> str:
    """Read one of the explorer's scripts.

    Args:
        name: One of `SCRIPTS`.

    >>> "Simplex" in script("simplex.js")
    True
    """
    return _file(f"explore/{name}")


def _file(name: str) -> str:
    return resources.files("foretaste.report").joinpath(name).read_text(encoding="utf-8")


def _data(attributes: str, text: str) -> str:
    """JSON that no content can break out of."""
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" {attributes}>{safe}</script>'


def _figure(figure: Figure) -> str:
    label = escape(figure.title)
    place = f'<div class="plot"><div class="drawing" id="{figure.name}" role="img" aria-label="{label}"></div></div>'
    return place + _data(f"data-plot='{figure.name}'", str(draw(figure.chart).to_json()))
