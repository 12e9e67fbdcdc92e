"""Maps hold the rows' numbers."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from foretaste.document.blocks import Chart, Figures, Series
from foretaste.report.sections.maps import map_section
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import uniform

Study = Callable[..., Summary]
AB = ("a", "b")
NAMES = ("movies", "news", "questions", "toxicity", "summaries")


def _figures(summary: Summary) -> Figures:
    (figures,) = map_section(summary).blocks
    assert isinstance(figures, Figures)
    return figures


def _charts(summary: Summary) -> list[Chart]:
    return [figure.chart for figure in _figures(summary).figures]


def _named(chart: Chart) -> dict[str, Series]:
    return {series.name: series for series in chart.series}


def test_three_tasks_make_a_triangle_each(make: Study) -> None:
    summary = make(NAMES[:3], joint=[uniform(NAMES[:3])])
    assert [figure.title for figure in _figures(summary).figures] == [*NAMES[:3], "Preference: the mean over tasks"]
    chart = _charts(summary)[0]
    series = _named(chart)
    assert (chart.kind, list(series)) == ("triangle", ["preview", "joint run", "recommended"])
    assert len(series["preview"].points) == 15
    assert list(series["joint run"].points[0]) == pytest.approx([1 / 3] * 3)
    assert list(series["joint run"].colours) == pytest.approx([0.5 + 0.4 * 3**-0.5 + 0.02])
    assert [axis.title for axis in chart.axes] == list(NAMES[:3])
    assert "movies 33.3%: accuracy 0.751" in series["joint run"].texts[0]


def test_two_tasks_make_a_curve_each(make: Study) -> None:
    _, news, value = _charts(make(NAMES[:2]))
    series = _named(news)
    assert list(series) == ["preview, simple", "preview, diagonal", "joint run", "recommended"]
    points = series["preview, simple"].points
    assert [x for x, _ in points] == [0, 0.25, 0.5, 0.75, 1]
    assert [y for _, y in points] == pytest.approx([0.5, 0.7, 0.5 + 0.4 * 0.5**0.5, 0.5 + 0.4 * 0.75**0.5, 0.9])
    assert series["recommended"].points[0][0] == 0.5
    assert (series["preview, diagonal"].strong, series["preview, simple"].strong) == (True, False)
    assert [axis.title for axis in news.axes] == ["weight of news, the rest is movies", "accuracy"]
    assert value.axes[1].title == "value"


@pytest.mark.parametrize("count", [1, 4, 5])
def test_other_numbers_of_tasks_are_parallel_coordinates(make: Study, count: int) -> None:
    (chart,) = _charts(make(NAMES[:count], resolution=2))
    assert (chart.kind, len(chart.axes)) == ("parallel", 2 * count)
    assert _figures(make(NAMES[:count], resolution=2)).wide is (count > 3)


def test_the_recommendation_lies_on_top(make: Study) -> None:
    for count in (2, 3):
        assert all(chart.series[-1].role == "recommended" for chart in _charts(make(NAMES[:count])))


def test_without_joint_runs_there_are_none(make: Study) -> None:
    for count in (2, 3):
        for chart in _charts(make(NAMES[:count], joint=())):
            assert "joint run" not in _named(chart)


def test_without_any_row_nothing_is_recommended(make: Study) -> None:
    for chart in _charts(make(NAMES[:3], methods=(), joint=())):
        assert "recommended" not in _named(chart)


def test_where_less_is_better_the_axis_says_so(make: Study) -> None:
    names = ("a", "b", "c")
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy"), "c": Headline("accuracy")}
    surface = Surface(heads, make(names).surface.rows)
    summary = summarise(
        surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    colours = [chart.colours for chart in _charts(summary)]
    assert [axis.less_is_better for axis in colours if axis] == [True, False, False, False]
    assert "loss 0.000 to 1.000, best at a 100%" in _figures(summary).figures[0].caption


def test_captions_have_ranges_and_the_expected_value(make: Study) -> None:
    first, _, value = (figure.caption for figure in _figures(make(AB)).figures)
    assert "5 previews: accuracy 0.500 to 0.900, best at a 100%, b 0%." in first
    assert "5 joint runs: 0.520 to 0.920." in first
    assert first.endswith("Expected at the recommended weights: 0.805.")
    assert value.startswith("5 previews: value 0.700 to 0.783, best at a 50%, b 50%.")
    (only,) = _figures(make("abcd", resolution=1)).figures
    assert only.caption.endswith(
        "Previewed metrics: a 0.500 to 0.900, b 0.500 to 0.900, c 0.500 to 0.900, d 0.500 to 0.900."
    )


def test_a_value_that_is_negated_is_called_so(make: Study) -> None:
    summary = make(AB)
    heads = dict.fromkeys(AB, Headline("loss", higher_is_better=False))
    less = replace(summary, surface=replace(summary.surface, headlines=heads))
    assert "5 previews: value (minus the mean loss) -0.500 to -0.500" in _figures(less).figures[-1].caption
    many = make("abcd", resolution=2)
    heads = dict.fromkeys("abcd", Headline("loss", higher_is_better=False))
    (chart,) = _charts(replace(many, surface=replace(many.surface, headlines=heads)))
    assert chart.colours is not None
    assert chart.colours.title == "value (minus the mean loss)"
