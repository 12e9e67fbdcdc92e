"""Text of any study fits a terminal and has the numbers."""

from collections.abc import Callable

import pytest

from foretaste.document.blocks import Axis, Chart, Code, Figure, Figures, List, Note, Section, line_table
from foretaste.report.sections.study import study_sections
from foretaste.report.summary import Summary
from foretaste.weights import uniform
from summaries import shown

Study = Callable[..., Summary]
NAMES = ("movies", "news", "questions", "toxicity", "a-task-with-a-very-long-name")


@pytest.mark.parametrize("width", [50, 60, 80, 120])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("joint", [None, ()])
def test_fits_the_terminal(make: Study, width: int, count: int, joint: tuple[()] | None) -> None:
    summary = make(NAMES[:count], joint=joint)
    text = shown(study_sections(summary, full=False), width, summary.name)
    assert max(len(line) for line in text.splitlines()) <= width
    assert summary.recommendation is not None
    assert "single-task" in text
    for value in summary.recommendation.expected.values():
        assert f"{value:.3f}" in text
    words = " ".join(text.split())
    assert ("rank correlation of the" in words or "Too few" in words or "nothing to choose" in words) is (joint is None)


def test_names_are_never_markup(make: Study) -> None:
    summary = make(("[red]a[/red]", "[/]b"), name="[bold]x", joint=[uniform(("[red]a[/red]", "[/]b"))])
    text = shown(study_sections(summary, full=False), name=summary.name)
    assert "[red]a[/red]" in text
    assert "[/]b" in text
    assert "[bold]x: recommendation" in text


def test_what_documents_alone_show_is_left_out() -> None:
    figure = Figure("map", "title", Chart("plane", (Axis("x"), Axis("y")), ()), "caption")
    text = shown([Section("The map", (Figures("lead", (figure,)), Code("a=1"), Note("a note")))])
    assert [line.strip() for line in text.splitlines()] == ["The map", "a note"]


def test_labels_lists_and_tables_keep_their_distance() -> None:
    section = Section(
        "Time", (line_table("", {"previews": "3 s"}), Note("It is quick.", "Why"), List("Others", ("one", "two")))
    )
    assert [line.strip() for line in shown([section]).splitlines()] == [
        "Time",
        "previews  3 s",
        "",
        "Why: It is quick.",
        "Others:",
        "one",
        "two",
    ]
