"""Every kind of figure is Plotly's, and the default suits the number of tasks."""

from collections.abc import Callable

import pytest

from foretaste.errors import StudyError
from foretaste.report.figures import plot_study
from foretaste.report.summary import Summary

Study = Callable[..., Summary]


@pytest.mark.parametrize(("tasks", "kind"), [("ab", "scatter"), ("abc", "scatterternary"), ("abcd", "scatter")])
def test_the_default_suits_the_number_of_tasks(make: Study, tasks: str, kind: str) -> None:
    figure = plot_study(make(tasks))
    assert {trace.type for trace in figure.data} == {kind}
    assert figure.layout.title.text
    assert "plotly" in figure.to_html(include_plotlyjs=False)


@pytest.mark.parametrize("kind", ["front", "agreement"])
@pytest.mark.parametrize("tasks", ["ab", "abc", "abcd"])
def test_other_kinds_are_for_any_number_of_tasks(make: Study, tasks: str, kind: str) -> None:
    assert plot_study(make(tasks), kind).data  # type: ignore[arg-type]


def test_a_task_s_own_metric_is_drawn_with_intervals(make: Study) -> None:
    figure = plot_study(make("ab"), "curve", "b")
    names = [trace.name for trace in figure.data]
    assert names[:2] == ["90 % interval", "expected"]
    assert "recommended" in names
    assert "90 % interval" in figure.data[1].hovertext[0]
    assert figure.layout.yaxis.title.text == "accuracy"


def test_what_cannot_be_drawn_is_refused(make: Study) -> None:
    with pytest.raises(StudyError, match="there is no figure 'pie'; there are curve, map, front, agreement"):
        plot_study(make("ab"), "pie")  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="there is no task 'c'; the tasks are a, b"):
        plot_study(make("ab"), task="c")
    with pytest.raises(StudyError, match="the map is for 3 tasks, and the study has 2; draw the curve"):
        plot_study(make("ab"), "map")
    with pytest.raises(StudyError, match="no weighting has both a preview and a joint run"):
        plot_study(make("ab", joint=()), "agreement")
    with pytest.raises(StudyError, match="no evaluations to draw yet"):
        plot_study(make("ab", joint=(), methods=()))
