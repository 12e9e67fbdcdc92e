"""Parallel coordinates at their edges."""

from collections.abc import Callable

import pytest

from foretaste.report.sections.parallel import parallel_chart
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


def test_no_rows_make_an_empty_chart(make: Study) -> None:
    assert parallel_chart(make("abcd"), (), weights=True).series == ()


def test_axes_have_the_bounds_of_weights_and_metrics(make: Study) -> None:
    study = make("abcd", resolution=2)
    chart = parallel_chart(study, study.previews.rows, weights=True)
    assert [axis.bounds for axis in chart.axes] == [(0.0, 1.0)] * 4 + [(0.5, 0.9)] * 4
    assert [axis.percent for axis in chart.axes] == [True] * 4 + [False] * 4
    assert len(parallel_chart(study, study.previews.rows, weights=False).axes) == 4


def test_better_rows_come_last_and_the_recommended_one_after_them(make: Study) -> None:
    study = make("abcd", resolution=2)
    rows, best = parallel_chart(study, study.previews.rows, weights=True).series
    assert list(rows.colours) == sorted(rows.colours)
    assert len(rows.points) == len(study.previews.rows)
    assert (rows.colours[0], rows.colours[-1]) == pytest.approx(
        (study.values(study.previews).min(), study.values(study.previews).max())
    )
    assert (best.name, best.role, len(best.points)) == ("recommended", "recommended", 1)
