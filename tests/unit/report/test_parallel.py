"""Parallel coordinates at their edges."""

from collections.abc import Callable

import pytest

from foretaste.report.parallel import parallel
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


def test_no_rows_make_an_empty_figure(make: Study) -> None:
    assert len(parallel(make("abcd"), (), weights=True).data) == 0


def test_one_row_lies_in_the_middle_of_its_metrics(make: Study) -> None:
    study = make("abcd", resolution=1)
    figure = parallel(study, study.previews.rows[:1], weights=False)
    assert list(figure.data[0].y)[:4] == [0.5] * 4


def test_better_lines_lie_on_top(make: Study) -> None:
    study = make("abcd", resolution=2)
    figure = parallel(study, study.previews.rows, weights=True)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers" and not trace.name]
    assert lines[-1].line.color.startswith("rgb(")
    first, last = (float(study.values(study.previews).min()), float(study.values(study.previews).max()))
    assert figure.data[-1].marker.color == pytest.approx((first, last))
    assert 1.0 in lines[0].y  # the corners are the worst for the mean
    assert 1.0 not in list(lines[-1].y)[:4]
