"""The expected curve and map hold the prediction's numbers."""

from collections.abc import Callable

import pytest

from foretaste.document.blocks import Series
from foretaste.report.sections.expected import expected_figure
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


def named(summary: Summary, task: str | None) -> dict[str, Series]:
    return {series.name: series for series in expected_figure(summary, task).chart.series}


def test_the_curve_is_the_median_between_both_ends(make: Study) -> None:
    summary = make("ab")
    assert summary.outlook is not None
    series = named(summary, "a")
    place = summary.outlook.points.index(summary.outlook.points[3])
    at = (summary.outlook.points[place]["b"], float(summary.outlook.prediction.median[place, 0]))
    assert at in series["expected"].points
    band = series["90 % interval"].points
    assert (at[0], float(summary.outlook.prediction.low[place, 0])) in band
    assert (at[0], float(summary.outlook.prediction.high[place, 0])) in band
    assert [point[0] for point in series["expected"].points] == sorted(point[0] for point in series["expected"].points)


@pytest.mark.parametrize("task", [None, "c"])
def test_the_map_is_coloured_by_what_is_expected(make: Study, task: str | None) -> None:
    summary = make("abc")
    assert summary.outlook is not None
    series = named(summary, task)
    assert len(series["expected"].points) == len(series["expected"].colours) == len(summary.outlook.points)
    assert "90 % interval" in series["expected"].texts[0][2]
    assert summary.recommendation is not None
    assert series["recommended"].points == (tuple(summary.recommendation.weights.values()),)
    assert len(series["joint run"].colours) == len(summary.joint.rows)
