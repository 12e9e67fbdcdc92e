"""Drawings hold the charts' numbers, and no name is read as markup."""

from typing import Any

import plotly.graph_objects as go
import pytest

from foretaste.document.blocks import Axis, Chart, Series
from foretaste.report.drawing import draw

TEXTS = (("preview, simple", "<b>a 50%"),)
POINT = Series("preview", "preview", ((0.2, 0.3, 0.5),), TEXTS, colours=(0.5,))
SIDES = tuple(Axis(name, percent=True) for name in ("movies", "news", "<b>questions"))
LINES = Chart(
    "parallel",
    (
        Axis("<b>a\nweight", percent=True, bounds=(0.0, 1.0)),
        Axis("a\naccuracy", bounds=(0.5, 0.9)),
        Axis("b\nf1", bounds=(0.5, 0.5)),
    ),
    (
        Series(
            "",
            "preview",
            ((0.0, 0.5, 0.5), (0.5, 0.7, 0.5), (1.0, 0.9, 0.5)),
            (("x",),) * 3,
            (0.1, 0.2, 0.3),
            joined=True,
        ),
        Series("recommended", "recommended", ((0.5, 0.7, 0.5),), (("x",),), joined=True),
    ),
    Axis("value"),
)


def _traces(figure: go.Figure) -> dict[str, dict[str, Any]]:
    """By name; those without one under ''."""
    return {trace.name or "": trace.to_plotly_json() for trace in figure.data}


def test_a_triangle_has_shares_and_colours() -> None:
    joint = Series("joint run", "joint", ((1.0, 0.0, 0.0),), TEXTS, colours=(0.9,))
    best = Series("recommended", "recommended", ((1.0, 0.0, 0.0),), TEXTS)
    figure = draw(Chart("triangle", SIDES, (POINT, joint, best), Axis("loss", less_is_better=True)))
    traces = _traces(figure)
    assert {trace["type"] for trace in traces.values()} == {"scatterternary"}
    assert traces["preview"]["a"] == [0.2]
    assert traces["joint run"]["marker"]["color"] == [0.9]
    assert traces["joint run"]["marker"]["size"] > traces["preview"]["marker"]["size"]
    assert figure.data[-1].name == "recommended"
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax, figure.layout.coloraxis.reversescale) == (
        0.5,
        0.9,
        True,
    )
    assert figure.layout.ternary.baxis.title.text == "news"


@pytest.mark.parametrize("value", [0.9, 0.0, -3.0])
def test_colours_of_points_that_are_alike_have_one_tick(value: float) -> None:
    points = Series("preview", "preview", ((0.2, 0.3, 0.5),) * 2, TEXTS * 2, colours=(value, value))
    colours = draw(Chart("triangle", SIDES, (points,), Axis("value"))).layout.coloraxis
    assert (colours.colorbar.tickvals, colours.colorbar.ticktext) == ((value,), (f"{value:.3f}",))
    assert value - 0.05 < colours.cmin < value < colours.cmax < value + 0.05


def test_the_legend_has_no_value_for_a_colour() -> None:
    shown, points = draw(Chart("triangle", SIDES, (POINT,), Axis("value"))).data
    assert (shown.a, shown.showlegend) == ((None,), None)
    assert isinstance(shown.marker.color, str)
    assert (points.showlegend, points.legendgroup) == (False, shown.legendgroup)


def test_a_plane_has_lines_points_and_intervals() -> None:
    line = Series("preview, simple", "line", ((0.0, 0.5), (1.0, 0.7)), TEXTS * 2, joined=True, strong=True)
    front = Series("front", "front", ((0.0, 0.5), (1.0, 0.7)), TEXTS * 2, joined=True)
    expected = Series("expected", "expected", ((0.5, 0.6),), TEXTS, spread=(((0.4, 0.7), (0.5, 0.8)),))
    tasks = Series("task", "task", ((0.5, 0.6),), TEXTS)
    equal = Series("", "equal", ((0.0, 0.0), (1.0, 1.0)))
    figure = draw(
        Chart(
            "plane",
            (Axis("x", percent=True, bounds=(0.0, 1.0)), Axis("y")),
            (line, front, expected, tasks, equal),
            size="small",
        )
    )
    traces = _traces(figure)
    assert (traces["preview, simple"]["mode"], traces["preview, simple"]["line"]["width"]) == ("lines", 3)
    assert traces["front"]["mode"] == "lines+markers"
    assert traces["expected"]["error_x"]["array"] == [pytest.approx(0.2)]
    assert traces["expected"]["error_y"]["arrayminus"] == [pytest.approx(0.1)]
    assert traces["task"]["mode"] == "markers"
    assert traces[""]["x"] == traces[""]["y"] == [0.0, 1.0]
    assert (figure.layout.xaxis.tickformat, figure.layout.xaxis.range) == (".0%", (-0.03, 1.03))


def test_parallel_lines_lie_between_the_ends_of_their_axes() -> None:
    figure = draw(LINES)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers" and not trace.name]
    assert sum(list(trace.y).count(None) for trace in lines) == 3
    assert [list(trace.y)[:3] for trace in lines] == [[0.0, 0.0, 0.5], [0.5, pytest.approx(0.5), 0.5], [1.0, 1.0, 0.5]]
    assert [note.text for note in figure.layout.annotations] == ["0%", "100%", "0.500", "0.900", "0.500", "0.500"]
    assert any(trace.name == "recommended" and trace.line.width == 4 for trace in figure.data)
    assert figure.data[-1].marker.color == (0.1, 0.3)
    assert figure.data[-1].marker.colorbar.title.text == "value"
    assert draw(Chart("parallel", (), (), Axis("value"))).data == ()


def test_bars_have_a_panel_per_series() -> None:
    series = (
        Series("error", "bars", ((0.02,), (0.03,)), (("0.020",), ("0.030",))),
        Series("regret", "bars", ((0.0,), (0.0,)), (("0",), ("0",))),
    )
    figure = draw(Chart("bars", (Axis("", labels=("simple", "<i>m")),), series))
    assert [list(bar.y) for bar in figure.data] == [["simple", "&lt;i&gt;m"]] * 2
    assert list(figure.data[0].x) == [0.02, 0.03]
    assert figure.layout.xaxis.title.text == "error"
    assert figure.layout.xaxis2.range == (-0.03, 1.03)


def test_names_are_never_markup() -> None:
    hostile = Series("<b>name", "task", ((0.2, 0.3),), (("<b>first", "<b>second"),))
    for chart in (
        Chart("plane", (Axis("<b>x"), Axis("<b>y")), (hostile,)),
        Chart("triangle", SIDES, (POINT,), Axis("<b>v")),
        LINES,
    ):
        figure = draw(chart)
        assert all("<b>name" not in (trace.name or "") for trace in figure.data)
        assert all(
            "<b>second" not in text and "<b><b>" not in text for trace in figure.data for text in trace.hovertext or ()
        )
        assert "<b>" not in str(figure.layout.to_plotly_json())


def test_figures_carry_no_template_of_the_session() -> None:
    assert draw(LINES).layout.template.layout.to_plotly_json() == {}
