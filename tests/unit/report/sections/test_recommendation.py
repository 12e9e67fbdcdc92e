"""The recommendation as a section."""

from collections.abc import Callable
from dataclasses import replace

from foretaste.document.blocks import Code, Note, Table
from foretaste.document.wording import number
from foretaste.report.sections.headline import headline
from foretaste.report.sections.recommendation import confirmation_sections, recommendation_section
from foretaste.report.summary import Summary, summarise
from foretaste.surface.joint_shares import JointData
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from summaries import shown, words

Study = Callable[..., Summary]
AB = ("a", "b")


def test_it_has_weights_metrics_and_change(make: Study) -> None:
    summary = make(AB)
    best = summary.recommendation
    assert best is not None
    text = shown([recommendation_section(summary)])
    line = next(line for line in text.splitlines() if "[" not in line and "50%" in line and "0.920" in line)
    expected = best.expected["a"]
    interval = [number(best.low["a"]), "to", number(best.high["a"])]
    assert line.split()[-7:-1] == [number(expected), *interval, "0.920", number(expected - 0.92)]
    assert "Metric: accuracy." in text
    assert "Why: Highest expected mean of 5 weightings" in words([recommendation_section(summary)])
    assert "Runners-up:" in text
    assert recommendation_section(summary).blocks[:2] == (
        Note(headline(summary), tone="strong"),
        Code("a=0.5,b=0.5"),
    )


def test_weights_are_told_as_shares_of_a_joint_run(make: Study) -> None:
    data = JointData(10, 8, "token", "sampling", dict.fromkeys(AB, 20), {"a": 1.0, "b": 3.0})
    text = shown([recommendation_section(replace(make(AB), joint_data=data))])
    assert "rows drawn" not in shown([recommendation_section(make(AB))])
    assert "What a joint run trains on: 10 steps of 8 rows." in text
    row = next(line for line in text.splitlines() if "3.00" in line)
    assert row.strip("│ ").split() == ["a", "60", "75%", "50%", "3.00"]


def test_floors_that_are_missed_are_said(make: Study) -> None:
    text = shown([recommendation_section(make(AB, floors=["all>=0.99"]))])
    assert "Floors not met:" in text
    assert "Why:" not in text
    assert "Floor: all>=0.99 holds with probability 0%." in text


def test_too_few_results(make: Study) -> None:
    text = words([recommendation_section(make(AB, methods=(), joint=()))])
    assert "Too few results to recommend weights." in text


def test_metrics_that_differ_are_all_named(make: Study) -> None:
    heads = {"a": Headline("accuracy"), "b": Headline("loss", higher_is_better=False)}
    surface = Surface(heads, make(AB, joint=()).surface.rows)
    summary = summarise(
        surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    assert "Metrics: a accuracy, b loss (less is better)" in shown([recommendation_section(summary)])


def test_the_joint_run_stands_beside_its_preview(make: Study) -> None:
    lines = [line.split() for line in shown(confirmation_sections(make(AB))).splitlines()]
    assert ["a", "0.783", "0.803", "+0.020"] in lines
    assert ["the", "mean", "over", "tasks", "0.783", "0.803", "+0.020"] in lines
    assert confirmation_sections(make(AB, joint=())) == []


def test_an_anchor_is_said(make: Study) -> None:
    (section,) = confirmation_sections(make(AB, methods=("simple", "anchored")))
    table = section.blocks[0]
    assert isinstance(table, Table)
    assert [column.name for column in table.columns] == ["task", "previewed", "joint run"]
    assert "The previews are anchored to this joint run" in words([section])


def test_unlike_metrics_are_a_caution(make: Study) -> None:
    summary = make(AB)
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")}
    mixed = replace(summary, surface=replace(summary.surface, headlines=heads))
    assert "Caution: The tasks have different metrics" in words([recommendation_section(mixed)])
    assert "Caution:" not in words([recommendation_section(summary)])
