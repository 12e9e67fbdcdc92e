"""Every kind of figure is Plotly's, and the default suits the number of weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.errors import StudyError
from foretaste.report.figures import PlotKind, plot_study
from foretaste.report.summary import Summary
from foretaste.weights import TaskWeights
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.outside import OutsideQuestion
from swarms import QUESTION, made_up_runs, swarm

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
    with pytest.raises(StudyError, match="the map is for 3 weights, and the study has 2; draw the curve"):
        plot_study(make("ab"), "map")
    with pytest.raises(StudyError, match="no weighting has both a preview and a joint run"):
        plot_study(make("ab", joint=()), "agreement")
    with pytest.raises(StudyError, match="no evaluations to draw yet"):
        plot_study(make("ab", joint=(), methods=()))


def mixed(folder: Path, *floors: str) -> Summary:
    """Two tasks, and three domains that are mixed."""
    with swarm(folder, made_up_runs(16)) as study:
        return read_outcome(study, floors=floors).summary()


def one_task(folder: Path, domains: Sequence[str] = ("web", "code")) -> Summary:
    """One task, and domains that are mixed."""
    runs = [replace(run, metrics={"qa": run.metrics["qa"]}) for run in made_up_runs(12, domains=("web", "code"))]
    with swarm(folder, runs, OutsideQuestion.of({"qa": "accuracy"}, domains)) as study:
        return read_outcome(study).summary()


@pytest.mark.parametrize("kind", [None, "map"])
@pytest.mark.parametrize("task", [None, "coding"])
def test_three_domains_are_a_map(tmp_path: Path, kind: PlotKind | None, task: str | None) -> None:
    figure = plot_study(mixed(tmp_path / "a.study"), kind, task)
    assert {trace.type for trace in figure.data} == {"scatterternary"}
    axes = figure.layout.ternary
    assert [axis.title.text for axis in (axes.aaxis, axes.baxis, axes.caxis)] == ["web", "code", "books"]


@pytest.mark.parametrize("kind", [None, "curve"])
@pytest.mark.parametrize("task", [None, "qa"])
def test_two_domains_of_one_task_are_a_curve(tmp_path: Path, kind: PlotKind | None, task: str | None) -> None:
    figure = plot_study(one_task(tmp_path / "a.study"), kind, task)
    assert {trace.type for trace in figure.data} == {"scatter"}
    assert figure.layout.xaxis.title.text.startswith("weight of code, the rest is web")


@pytest.mark.parametrize("kind", [None, "map"])
def test_a_named_criterion_is_drawn_over_the_same_weights(tmp_path: Path, kind: PlotKind | None) -> None:
    summary = mixed(tmp_path / "a.study", "coding:pass@10>=0.3")
    assert summary.tasks == ("qa", "coding", "coding:pass@10")
    axes = plot_study(summary, kind, "coding:pass@10").layout.ternary
    assert axes.caxis.title.text == "books"
    with pytest.raises(StudyError, match="the curve is for 2 weights, and the study has 3; draw the map"):
        plot_study(summary, "curve")


def test_a_study_of_tasks_with_a_named_criterion_keeps_its_curve(tmp_path: Path) -> None:
    question = OutsideQuestion.of({"qa": "accuracy", "coding": ["pass@1", "pass@10"]})
    runs = [
        replace(run, weights=TaskWeights(("qa", "coding"), list(run.weights.values())))
        for run in made_up_runs(12, domains=("web", "code"))
    ]
    with swarm(tmp_path / "a.study", runs, question) as study:
        summary = read_outcome(study, floors=["coding:pass@10>=0.3"]).summary()
    assert {trace.type for trace in plot_study(summary).data} == {"scatter"}
    assert plot_study(summary, "curve").data
    with pytest.raises(StudyError, match="the map is for 3 weights, and the study has 2; draw the curve"):
        plot_study(summary, "map")


def test_without_a_prediction_the_map_is_of_the_task_that_was_asked_for(make: Study) -> None:
    summary = replace(make("abc"), outlook=None, recommendation=None)
    titles = [plot_study(summary, "map", task).layout.title.text for task in ("a", "c", None)]
    assert titles == ["a", "c", "Preference: the mean over tasks"]


def test_a_study_of_runs_made_elsewhere_is_advised_to_tell_more(tmp_path: Path) -> None:
    with swarm(tmp_path / "a.study", question=QUESTION) as study:
        summary = read_outcome(study).summary()
    with pytest.raises(StudyError, match="no evaluations to draw yet; tell the results of some runs first"):
        plot_study(summary)
    with pytest.raises(StudyError, match="a joint run yet; tell both at the same weights first"):
        plot_study(one_task(tmp_path / "b.study"), "agreement")
