"""Rows as points of charts."""

from collections.abc import Callable

from foretaste.evaluation import Fidelity
from foretaste.report.sections.points import describe_row, row_series
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


def test_a_row_is_described_with_weights_and_metrics(make: Study) -> None:
    study = make(("a", "b"))
    assert describe_row(study, study.previews.rows[0]) == (
        "preview, diagonal",
        "a 100%: accuracy 0.900",
        "b 0%: accuracy 0.500",
    )
    joint = next(row for row in study.surface.rows if row.fidelity is Fidelity.JOINT)
    assert describe_row(study, joint)[0] == "joint run"


def test_a_series_has_a_text_a_point(make: Study) -> None:
    study = make(("a", "b"))
    series = row_series(
        study, study.previews.rows, "preview", "preview", [[0.5, 0.5]] * 5, colours=[0.1] * 5, strong=True
    )
    assert len(series.points) == len(series.texts) == len(series.colours) == 5
    assert (series.points[0], series.strong, series.joined) == ((0.5, 0.5), True, False)
