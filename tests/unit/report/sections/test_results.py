"""The rows of a study as sections."""

from collections.abc import Callable

from foretaste.document.blocks import Table
from foretaste.report.sections.results import (
    history_sections,
    previews_section,
    provenance_section,
    rows_section,
    time_sections,
)
from foretaste.report.summary import Summary
from summaries import shown, words

Study = Callable[..., Summary]
AB = ("a", "b")


def test_previews_are_sorted_limited_and_marked(make: Study) -> None:
    lines = shown([previews_section(make(AB), limit=2)]).splitlines()
    rows = [line for line in lines if "%" in line]
    assert [row.split()[:2] for row in rows] == [["0.783", ">*"], ["0.773", "*"]]
    assert any("\u2026 and 3 more." in line for line in lines)
    assert "more." not in shown([previews_section(make(AB))])


def test_every_row_is_there_with_all_metrics(make: Study) -> None:
    table = rows_section(make(AB)).blocks[0]
    assert isinstance(table, Table)
    assert len(table.rows) == 15
    assert table.folded == "15 rows: weights, metrics, seconds"
    joint = next(row for row in table.rows if row[0].parts == ("joint",))
    assert joint[3].parts == ("100%", "0.920", "0.000")
    assert (len(joint), joint[-2].parts) == (7, ("2",))


def test_predictions_stand_beside_results(make: Study) -> None:
    (section,) = history_sections(make(AB))
    assert "of the metrics lie in their 90 % interval; the predictions are off by" in words([section])
    assert " of 2" in shown([section])
    assert history_sections(make(AB, joint=())) == []


def test_costs_are_durations(make: Study) -> None:
    assert "1 min 15 s" in shown(time_sections(make(AB)))


def test_provenance_is_shown_as_it_is(make: Study) -> None:
    assert "torch" in shown([provenance_section(make(AB))])
