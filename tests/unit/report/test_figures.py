"""Figures hold the rows' numbers, and no name is read as markup."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest

from foretaste.evaluation import Fidelity
from foretaste.report.figures import VALUE, comparison, maps, methods, tradeoff
from foretaste.report.summary import Summary
from foretaste.surface.table import Headline
from foretaste.weights import TaskWeights, uniform

Study = Callable[..., Summary]
NAMES = ("movies", "news", "questions", "toxicity", "summaries")


def _traces(figure: go.Figure) -> dict[str, dict[str, Any]]:
    """By name; those without one under ''."""
    return {trace.name or "": trace.to_plotly_json() for trace in figure.data}


def test_three_tasks_make_a_triangle_each(make: Study) -> None:
    drawn = maps(make(NAMES[:3], joint=[uniform(NAMES[:3])]))
    assert list(drawn) == [*NAMES[:3], VALUE]
    traces = _traces(drawn["movies"])
    assert list(traces) == ["preview", "joint run", "recommended"]
    assert {trace["type"] for trace in traces.values()} == {"scatterternary"}
    assert len(traces["preview"]["a"]) == 15
    assert traces["joint run"]["a"] == [pytest.approx(1 / 3)]
    assert traces["joint run"]["marker"]["color"] == [pytest.approx(0.5 + 0.4 * 3**-0.5 + 0.02)]
    assert drawn["movies"].layout.coloraxis.cmin == pytest.approx(0.5)
    assert drawn["movies"].layout.ternary.baxis.title.text == "news"
    assert "movies 33.3%: accuracy 0.751" in traces["joint run"]["hovertext"][0]


def test_two_tasks_make_a_curve_each(make: Study) -> None:
    drawn = maps(make(NAMES[:2]))
    assert list(drawn) == [*NAMES[:2], VALUE]
    traces = _traces(drawn["news"])
    assert list(traces) == ["preview, simple", "preview, diagonal", "joint run", "recommended"]
    assert traces["preview, simple"]["x"] == [0, 0.25, 0.5, 0.75, 1]
    assert traces["preview, simple"]["y"] == pytest.approx([0.5, 0.7, 0.5 + 0.4 * 0.5**0.5, 0.5 + 0.4 * 0.75**0.5, 0.9])
    assert traces["recommended"]["x"] == [0.5]
    assert drawn["news"].layout.xaxis.title.text == "weight of news, the rest is movies"
    assert drawn["news"].layout.yaxis.title.text == "accuracy"
    assert drawn[VALUE].layout.yaxis.title.text == "value"


@pytest.mark.parametrize("count", [1, 4, 5])
def test_other_numbers_of_tasks_are_parallel_coordinates(make: Study, count: int) -> None:
    drawn = maps(make(NAMES[:count], resolution=2))
    assert list(drawn) == [VALUE]
    assert len(drawn[VALUE].layout.xaxis.ticktext) == 2 * count
    lines = [trace for trace in drawn[VALUE].data if trace.mode == "lines+markers" and not trace.name]
    points = len(make(NAMES[:count], resolution=2).previews.rows)
    assert sum(list(trace.y).count(None) for trace in lines) == points
    heights = [height for trace in lines for height in trace.y if height is not None]
    assert 0 <= min(heights) <= max(heights) <= 1


def test_parallel_coordinates_write_the_bounds(make: Study) -> None:
    figure = maps(make(NAMES[:4], resolution=2))[VALUE]
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["0%", "100%"] * 4 + ["0.500", "0.900"] * 4
    assert any(trace.name == "recommended" and trace.line.width == 4 for trace in figure.data)


def test_without_joint_runs_there_are_none(make: Study) -> None:
    for count in (2, 3):
        for figure in (*maps(make(NAMES[:count], joint=())).values(), tradeoff(make(NAMES[:count], joint=()))):
            assert "joint run" not in _traces(figure)
            assert "recommended" in _traces(figure)


def test_without_previews_nothing_breaks(make: Study) -> None:
    for count in (2, 3, 4):
        study = make(NAMES[:count], resolution=2, methods=())
        assert study.chosen is not None
        assert study.chosen.fidelity == Fidelity.JOINT
        assert len(study.tasks) > 3 or "recommended" in _traces(tradeoff(study))  # four tasks and more are lines, of previews
        assert len(maps(study)) >= 1
    study = make(NAMES[:3], methods=(), joint=())
    assert "recommended" not in _traces(tradeoff(study))
    assert all("recommended" not in _traces(figure) for figure in maps(study).values())


def test_the_trade_off_of_two_tasks(make: Study) -> None:
    figure = tradeoff(make(NAMES[:2]))
    traces = _traces(figure)
    front = traces["preview on the front"]
    assert front["x"] == sorted(front["x"])
    assert len(front["x"]) == 5
    assert traces["preview"]["x"] == []
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("movies, accuracy", "news, accuracy")


def test_the_trade_off_of_three_tasks_colours_the_third(make: Study) -> None:
    study = make(NAMES[:3], joint=[TaskWeights(NAMES[:3], (0.0, 0.0, 1.0))])
    figure = tradeoff(study)
    assert figure.layout.coloraxis.colorbar.title.text == "questions, accuracy"
    assert _traces(figure)["joint run"]["marker"]["color"] == [pytest.approx(0.92)]


def test_the_trade_off_of_more_has_the_front_only(make: Study) -> None:
    figure = tradeoff(make(NAMES, resolution=2))
    assert len(figure.layout.xaxis.ticktext) == 5


def test_comparison_has_a_colour_per_task_and_the_diagonal(make: Study) -> None:
    figure = comparison(make(NAMES[:3]), "simple")
    assert [trace.name for trace in figure.data] == [*NAMES[:3], None]
    assert len({trace.marker.color for trace in figure.data[:3]}) == 3
    assert list(figure.data[0].y) == pytest.approx([value + 0.02 for value in figure.data[0].x])
    assert figure.data[3].x == figure.data[3].y
    assert figure.data[3].x == pytest.approx((0.5, 0.92))
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("preview, simple", "joint finetuning")


def test_methods_as_bars(make: Study) -> None:
    figure = methods(make(NAMES[:2]))
    assert [list(bar.y) for bar in figure.data] == [["simple", "diagonal"]] * 3
    assert list(figure.data[0].x) == pytest.approx([0.02, 0.02])
    assert list(figure.data[1].text) == ["1.000", "1.000"]
    assert figure.layout.xaxis2.title.text == "rank correlation of the mean (1 is perfect)"


@pytest.mark.parametrize("count", [2, 3, 4])
def test_names_are_never_markup(make: Study, count: int) -> None:
    names = [f"<b>{index}" for index in range(count)]
    study = make(names, resolution=2, methods=("<i>m",))
    for figure in (*maps(study).values(), tradeoff(study), comparison(study, "<i>m"), methods(study)):
        for trace in figure.data:
            for text in (trace.name or "", *(trace.hovertext or ())):
                assert not ({"<b>0", "<i>m"} & {text[at : at + 4] for at in range(len(text))})
        titles = str(figure.layout.to_plotly_json())
        assert "<b>0" not in titles
        assert "<i>m" not in titles


def test_a_comparison_leaves_the_anchor_out(make: Study) -> None:
    study = make(NAMES[:2], methods=("simple", "anchored"))
    assert [len(comparison(study, method).data[0].x) for method in ("simple", "anchored")] == [5, 4]


def test_a_value_that_is_negated_is_called_so(make: Study) -> None:
    study = make(NAMES[:4], resolution=2)
    less = replace(study, surface=replace(study.surface, headlines=dict.fromkeys(NAMES[:4], Headline("loss", higher_is_better=False))))
    assert maps(less)[VALUE].data[-1].marker.colorbar.title.text == "value (minus the mean loss)"
