"""How far to trust previews, as a section."""

from collections.abc import Callable

import pytest

from foretaste.document.blocks import Figures, Table
from foretaste.document.wording import number
from foretaste.report.sections.agreement import agreement_cells, agreement_section, without_anchor
from foretaste.report.summary import Summary
from foretaste.weights import uniform
from summaries import shown, words

Study = Callable[..., Summary]
AB = ("a", "b")
NAMES = ("movies", "news", "questions", "toxicity", "a-task-with-a-very-long-name")


def _figures(summary: Summary) -> Figures:
    (figures,) = [block for block in agreement_section(summary, full=True).blocks if isinstance(block, Figures)]
    return figures


def test_a_row_per_method(make: Study) -> None:
    lines = [line.split() for line in shown([agreement_section(make(AB), full=False)]).splitlines()]
    assert ["simple", "5", "0.020", "1.00", "1.00", "1.00", "0.000", "0.000", "0.083"] in lines
    assert [line[0] for line in lines if len(line) == 9 and line[1] == "5"] == ["simple", "diagonal"]


def test_every_method_is_judged(make: Study) -> None:
    text = shown([agreement_section(make(AB), full=False)])
    assert "simple: Trust" in text
    assert "diagonal: Trust" in text
    assert agreement_cells(make(AB).agreements[0])[0] == "0.020"


def test_each_tasks_error_and_rank_are_shown(make: Study) -> None:
    summary = make(AB)
    lines = [line.split() for line in shown([agreement_section(summary, full=False)]).splitlines()]
    for task in summary.tasks:
        expected = [task]
        for agreement in summary.agreements:
            rank = agreement.rank[task]
            assert rank is not None
            expected += [number(agreement.error[task]), f"{rank:.2f}"]
        assert expected in lines


@pytest.mark.parametrize("width", [50, 60, 80, 100, 130])
@pytest.mark.parametrize(
    "methods", [("simple", "anchored"), ("simple", "diagonal", "kronecker", "lowrank", "anchored", "mixture")]
)
def test_no_number_is_cut(make: Study, width: int, methods: tuple[str, ...]) -> None:
    section = agreement_section(make(NAMES[:5], resolution=2, methods=methods), full=False)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    text = "".join(shown([type(section)("", (table,))], width) for table in tables)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("0.020") == len(methods) * 6
    assert "a-task-with-a-ver" in text
    assert "without its anchor" not in text  # equal weights were neither previewed nor trained


def test_an_anchor_is_said(make: Study) -> None:
    summary = make(AB, methods=("simple", "anchored"))
    assert "Judged without its anchor: anchored." in words([agreement_section(summary, full=False)])
    assert without_anchor(make(AB).agreements) == ""


def test_pairs_of_tasks_are_in_it(make: Study) -> None:
    assert "Worst pair: halfway between a and b" in words([agreement_section(make(AB), full=False)])


def test_a_series_per_task_and_the_line_where_both_agree(make: Study) -> None:
    chart = _figures(make(NAMES[:3])).figures[0].chart
    assert [series.name for series in chart.series] == [*NAMES[:3], ""]
    for seen, real in chart.series[0].points:
        assert real == pytest.approx(seen + 0.02)
    assert [x for point in chart.series[3].points for x in point] == pytest.approx([0.5, 0.5, 0.92, 0.92])
    assert [axis.title for axis in chart.axes] == ["preview, simple", "joint run"]


def test_a_figure_leaves_the_anchor_out(make: Study) -> None:
    figures = _figures(make(NAMES[:2], methods=("simple", "anchored"))).figures
    assert [len(figure.chart.series[0].points) for figure in figures[:2]] == [5, 4]
    assert figures[1].caption.startswith(
        "4 weightings with a preview and a joint run, not counting the one that anchors the previews. "
    )


def test_captions_have_the_numbers(make: Study) -> None:
    first, *_, last = _figures(make(AB)).figures
    assert "a 0.020, b 0.020" in first.caption
    assert "simple: error 0.020, rank correlation 1.00, regret 0.000." in last.caption
    assert "rank correlation undefined" in _figures(make(AB, joint=[uniform(AB)])).figures[-1].caption


def test_methods_are_bars(make: Study) -> None:
    chart = _figures(make(AB)).figures[-1].chart
    assert chart.axes[0].labels == ("simple", "diagonal")
    assert [series.name for series in chart.series][1] == "rank correlation (1 is perfect)"
    assert [value for (value,) in chart.series[0].points] == pytest.approx([0.02, 0.02])
    assert chart.series[1].texts == (("1.000",), ("1.000",))
