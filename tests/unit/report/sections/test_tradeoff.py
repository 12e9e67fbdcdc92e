"""The trade-off between tasks."""

from collections.abc import Callable

import pytest

from foretaste.document.blocks import Chart, Figure, Figures
from foretaste.report.sections.tradeoff import tradeoff_section
from foretaste.report.summary import Summary
from foretaste.weights import TaskWeights

Study = Callable[..., Summary]
AB = ("a", "b")
NAMES = ("movies", "news", "questions", "toxicity", "summaries")


def _figure(summary: Summary) -> Figure:
    (block,) = tradeoff_section(summary).blocks
    assert isinstance(block, Figures)
    return block.figures[0]


def _chart(summary: Summary) -> Chart:
    return _figure(summary).chart


def test_two_tasks_are_one_against_the_other(make: Study) -> None:
    chart = _chart(make(NAMES[:2]))
    front = next(series for series in chart.series if series.role == "front")
    assert list(front.points) == sorted(front.points)
    assert (len(front.points), front.joined, front.colours) == (5, True, ())
    assert chart.series[0].points == ()
    assert [axis.title for axis in chart.axes] == ["movies, accuracy", "news, accuracy"]
    assert [series.name for series in chart.series] == [
        "preview",
        "expected front",
        "preview on the front",
        "joint run",
        "recommended",
    ]


def test_intervals_hold_what_is_expected(make: Study) -> None:
    expected = next(series for series in _chart(make(NAMES[:2])).series if series.role == "expected")
    assert len(expected.points) == len(expected.spread) == len(expected.texts) > 0
    for point, spread in zip(expected.points, expected.spread, strict=True):
        assert all(low <= value <= high for value, (low, high) in zip(point, spread, strict=True))


def test_three_tasks_colour_the_third(make: Study) -> None:
    chart = _chart(make(NAMES[:3], joint=[TaskWeights(NAMES[:3], (0.0, 0.0, 1.0))]))
    assert chart.colours is not None
    assert chart.colours.title == "questions, accuracy"
    joint = next(series for series in chart.series if series.role == "joint")
    assert list(joint.colours) == pytest.approx([0.92])


def test_more_tasks_have_the_front_only(make: Study) -> None:
    assert len(_chart(make(NAMES, resolution=2)).axes) == 5


def test_without_joint_runs_or_previews(make: Study) -> None:
    for count in (2, 3):
        names = [series.name for series in _chart(make(NAMES[:count], joint=())).series]
        assert "joint run" not in names
        assert "recommended" in names
        assert "recommended" in [series.name for series in _chart(make(NAMES[:count], resolution=2, methods=())).series]
        assert "recommended" not in [series.name for series in _chart(make(NAMES[:count], methods=(), joint=())).series]


def test_the_caption_counts_the_front(make: Study) -> None:
    caption = _figure(make(AB)).caption
    assert caption.startswith("5 of 5 previews are on the Pareto front: ")
    assert "Best preview of each task: a 0.900, b 0.900." in caption
    assert "on the expected Pareto front" in caption
    assert _figure(make(AB, methods=())).caption.startswith("5 of 5 joint runs are on the Pareto front")
