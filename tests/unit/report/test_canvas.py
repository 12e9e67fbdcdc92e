"""What all figures share."""

from collections.abc import Callable

import plotly.graph_objects as go
import pytest

from foretaste.evaluation import Fidelity
from foretaste.report.canvas import add_coloured, axis, canvas, hover, label, shading
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


def test_labels_are_short_and_escaped() -> None:
    assert label("<a>&") == "&lt;a&gt;&amp;"
    assert label("abcdefgh", 4) == "abc\u2026"


def test_hover_text_has_weights_and_metrics(make: Study) -> None:
    study = make(("a", "b"))
    assert hover(study, study.previews.rows[0]) == "<b>preview, diagonal</b><br>a 100%: accuracy 0.900<br>b 0%: accuracy 0.500"
    joint = next(row for row in study.surface.rows if row.fidelity is Fidelity.JOINT)
    assert hover(study, joint).startswith("<b>joint finetuning</b>")


def test_figures_carry_no_template_of_the_session() -> None:
    assert canvas().layout.template.layout.to_plotly_json() == {}
    assert axis("x", ".0%")["tickformat"] == ".0%"


@pytest.mark.parametrize("value", [0.9, 0.0, -3.0])
def test_colours_of_points_that_are_alike_have_one_tick(value: float) -> None:
    found = shading([value, value], {"thickness": 12})
    assert found["colorbar"] == {"thickness": 12, "tickvals": [value], "ticktext": [f"{value:.3f}"]}
    low, high = found["cmin"], found["cmax"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert value - 0.05 < low < value < high < value + 0.05


def test_the_legend_has_no_value_for_a_colour() -> None:
    figure = canvas()
    add_coloured(
        figure, go.Scatterternary(a=[1], b=[0], c=[0], name="joint run", marker={"color": [0.5], "coloraxis": "coloraxis", "size": 9})
    )
    shown, points = figure.data
    assert (shown.a, shown.marker.size, shown.showlegend) == ((None,), 9, None)
    assert isinstance(shown.marker.color, str)
    assert (points.showlegend, points.legendgroup) == (False, shown.legendgroup)
