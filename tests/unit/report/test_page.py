"""The page stands alone, has the numbers, and no name breaks it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from foretaste.document.blocks import Report
from foretaste.report.explorer import study_page
from foretaste.report.page import SCRIPTS, page, script, sections_html
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import uniform

Study = Callable[..., Summary]
NAMES = ("movies", "news", "questions", "toxicity", "summaries")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "br", "img", "link"}


class _Reader(HTMLParser):
    """Tags with attributes, text outside scripts and styles, and whether tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)


def _read(document: str) -> _Reader:
    found = _Reader()
    found.feed(document)
    found.close()
    assert found.open == []
    return found


def _sections(found: _Reader) -> str:
    return " ".join(" ".join(found.text).split())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_number_of_tasks_has_its_figures(make: Study, count: int) -> None:
    found = _read(study_page(make(NAMES[:count], resolution=2)))
    maps = {1: 1, 2: 0, 3: 0, 5: 1}[count]  # of two or three tasks the explorer draws the map
    places = {attrs["id"] for tag, attrs in found.tags if attrs.get("role") == "img"}
    data = [attrs["data-plot"] for tag, attrs in found.tags if tag == "script" and "data-plot" in attrs]
    assert len(places) == len(data) == maps + 1 + 2 + 1
    assert places == set(data)
    figures = [json.loads(script) for script in found.scripts if script.startswith('{"data"')]
    assert len(figures) == len(data)
    assert [tag for tag, _ in found.tags].count("figcaption") == len(data)


def test_the_page_has_the_numbers(make: Study) -> None:
    text = _sections(_read(study_page(make(NAMES[:2], floors=["all>=80%"]))))
    for part in (
        "Choose movies 50%, news 50%. These are equal weights. In joint finetuning they give",
        "movies=0.5,news=0.5",
        "0.920 -0.1",
        "Why: Highest expected mean of the ",
        "Floor: all>=80% of its single-task metric holds with probability 100%.",
        "How sure: Joint finetuning at these weights gives 0.803 (+0.020 against the preview).",
        "simple 5 0.020 1.00 1.00 1.00 0.000 0.000 0.083",
        "movies 0.783 0.803 +0.020",
        "15 rows",
        "joint joint 0 100% 0% 0.920 0.000 0.520 1.000 2",
        "torch 2.8",
        "previews 1 min 15 s",
    ):
        assert part in text
    order = [
        text.index(title)
        for title in (
            "Recommendation",
            "The trade-off",
            "How far to trust the previews",
            "All rows",
            "Provenance",
        )
    ]
    assert order == sorted(order)


def test_nothing_is_loaded_from_elsewhere(make: Study) -> None:
    document = study_page(make(NAMES[:3]))
    library = str(get_plotlyjs())
    assert document.count(library) == 1
    rest = document.replace(library, "").replace('"http://www.w3.org/2000/svg"', "")  # the name of SVG's elements
    assert not re.search(r"https?:|//[a-z]|@import|url\(|import\(", rest)
    assert all("src" not in attrs and attrs.get("href", "data:,") == "data:," for _, attrs in _read(rest).tags)
    for name in SCRIPTS:
        assert "fetch(`http" not in script(name)
    assert "showSendToCloud: false" in rest
    assert "default-src 'none'; script-src 'unsafe-inline'" in rest


def test_hostile_names_stay_text(make: Study) -> None:
    tasks = (HOSTILE, "b")
    study = make(tasks, name=HOSTILE, methods=(HOSTILE,), joint=[uniform(tasks)])
    found = _read(study_page(replace(study, provenance={HOSTILE: HOSTILE}, costs={HOSTILE: 1.0})))
    plain = _read(study_page(make(("a", "b"), methods=("m",), joint=[uniform(("a", "b"))])))
    assert [tag for tag, _ in found.tags].count("script") == [tag for tag, _ in plain.tags].count("script")
    assert "img" not in [tag for tag, _ in found.tags]
    assert not any(key.startswith("on") for _, attrs in found.tags for key in attrs)
    assert HOSTILE in "".join(found.text)
    assert "".join(found.text).count(HOSTILE) >= 8


def test_missed_floors_are_a_warning(make: Study) -> None:
    text = _sections(_read(study_page(make(NAMES[:2], floors=["all>=0.99"]))))
    assert "weightings is likely (at least 80%) to keep all>=0.99. These weights" in text
    assert "with all>=0.99" in text


def test_only_previews(make: Study) -> None:
    text = _sections(_read(study_page(make(NAMES[:3], joint=()))))
    assert "Not confirmed" in text
    assert "How far to trust the previews" not in text


def test_only_joint_runs(make: Study) -> None:
    text = _sections(_read(study_page(make(NAMES[:3], methods=()))))
    assert "The prediction rests on 12 joint runs, 3 single-task models." in text
    assert "The map" not in text


def test_an_empty_study_is_a_small_page() -> None:
    surface = Surface({"a": Headline("accuracy")}, ())
    document = study_page(
        summarise(
            surface, name="new", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
        )
    )
    assert "no results yet; run `foretaste run RECIPE`" in document
    assert len(document) < 12_000
    assert "<script" not in document


def test_a_loss_is_named_as_less_is_better(make: Study) -> None:
    heads = {"a": Headline("accuracy"), "b": Headline("loss", higher_is_better=False)}
    surface = Surface(heads, make(("a", "b")).surface.rows)
    found = summarise(
        surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    assert "loss (less is better)" in _sections(_read(study_page(found)))


def test_behind_a_server_scripts_are_read_from_it() -> None:
    document = page(Report("s", "facts", ()), {"name": "</script>"}, live=True)
    assert '<script src="/static/explore.js"></script>' in document
    assert "data-live" in document
    assert "Content-Security-Policy" not in document
    assert "</script>" not in _read(document).scripts[0]


def test_a_report_without_sections_is_empty() -> None:
    assert sections_html(Report("s", "facts", ())) == ""
