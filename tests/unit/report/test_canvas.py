from typing import Any

import pytest

from foretaste.document.blocks import Axis, Chart, Series
from foretaste.report.canvas import BELOW, BESIDE, axis_style, colour_scale, escape_name, hover_texts, new_figure


def test_a_new_figure_has_the_height_that_was_asked_for_and_no_traces() -> None:
    figure = new_figure(460)
    assert (figure.layout.height, len(figure.data)) == (460, 0)


def test_names_are_short_lines_without_markup() -> None:
    name = escape_name("<b>movies\n" + "x" * 40, 10)
    assert name.startswith("&lt;b&gt;movies<br>x")
    assert len(name.split("<br>")[1]) <= 10


def test_only_the_first_line_of_a_hover_text_is_bold() -> None:
    series = Series("preview", "preview", ((0.5, 0.5),), (("<i>", "a < b"),))
    assert hover_texts(series) == ["<b>&lt;i&gt;</b><br>a &lt; b"]


def test_an_axis_is_a_little_longer_than_its_bounds() -> None:
    assert axis_style(Axis("accuracy", bounds=(0.0, 1.0)))["range"] == [-0.03, 1.03]
    assert "range" not in axis_style(Axis("accuracy"))


def _chart(*values: float) -> Chart:
    points = tuple((0.5, value) for value in values)
    series = Series("preview", "preview", points, tuple(("simple",) for _ in values), colours=values)
    return Chart("plane", (Axis("a"), Axis("b")), (series,), colours=Axis("loss", less_is_better=True))


@pytest.mark.parametrize(("bar", "side"), [(BELOW, "bottom"), (BESIDE, "right")])
def test_colours_go_from_the_least_value_to_the_largest(bar: dict[str, object], side: str) -> None:
    scale: dict[str, Any] = colour_scale(_chart(0.2, 0.8, 0.5), bar)
    assert (scale["cmin"], scale["cmax"], scale["reversescale"]) == (0.2, 0.8, True)
    assert scale["colorbar"]["title"] == {"text": "loss", "side": side}


def test_one_value_has_one_tick_in_the_middle() -> None:
    scale: dict[str, Any] = colour_scale(_chart(0.5, 0.5), BESIDE)
    assert scale["cmin"] < 0.5 < scale["cmax"]
    assert scale["colorbar"]["tickvals"] == [0.5]
