"""A study's report."""

from collections.abc import Callable

from foretaste.document.blocks import Figures
from foretaste.document.markup import html
from foretaste.report.sections.study import study_facts, study_report, study_sections
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from summaries import shown, words

Study = Callable[..., Summary]
AB = ("a", "b")


def test_sections_come_in_reading_order(make: Study) -> None:
    assert [section.title for section in study_report(make(AB)).sections] == [
        "Recommendation",
        "Joint run at the recommended weights",
        "The trade-off",
        "Best diagonal previews by the mean over tasks",
        "How far to trust the previews",
        "Predictions and results",
        "All rows",
        "Provenance",
        "Time",
    ]


def test_a_terminal_has_no_figures_and_no_rows(make: Study) -> None:
    sections = study_sections(make(AB), full=False)
    assert len(sections) == 5
    assert not any(isinstance(block, Figures) for section in sections for block in section.blocks)


def test_a_notebook_shows_a_study(make: Study) -> None:
    text = html(study_sections(make(("<a>", "b")), full=False))
    assert text.count("<section") == 5
    assert "<a>" not in text


def test_an_empty_study_says_what_to_run() -> None:
    surface = Surface({"a": Headline("accuracy")}, ())
    summary = summarise(
        surface, name="new", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    assert "new has no results yet; run `foretaste run RECIPE`" in shown(study_sections(summary))


def test_joint_runs_alone_are_enough_to_recommend(make: Study) -> None:
    text = words(study_sections(make(AB, methods=()), full=False))
    assert "rests on 3 joint runs, 2 single-task models." in text
    assert "Runners-up" in text


def test_facts_are_one_line(make: Study) -> None:
    assert study_facts(make(AB)) == "Tasks: a, b. 10 previews, 5 joint runs. Goal: the highest mean over tasks."
    assert study_facts(make(AB, preference="worst")).endswith("Goal: the best result for the worst task.")
    assert study_facts(make(AB, floors=["all>=0.5"])).endswith("Goal: the highest mean over tasks, with all>=0.5.")
    assert study_facts(make(AB, preference="a=3,b=1")).endswith("Goal: the highest mean weighted a 75%, b 25%.")
