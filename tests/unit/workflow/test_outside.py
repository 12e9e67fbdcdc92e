from pathlib import Path

import pytest

from foretaste.errors import RecipeError, StudyError, TaskError, WeightsError
from foretaste.workflow.outcome import empty_surface, read_outcome
from foretaste.workflow.outside import MetricNames, OutsideQuestion, check_same_question, parse_tasks, start_outside
from foretaste.workflow.reopen import reopen
from foretaste.workflow.session import Session
from swarms import QUESTION, swarm


def test_a_study_knows_tasks_metrics_and_domains(tmp_path: Path) -> None:
    with start_outside(tmp_path / "swarm", QUESTION) as study:
        surface, outcome = empty_surface(study), read_outcome(study)
    assert surface.tasks == ("qa", "coding")
    assert surface.weight_names == ("web", "code", "books")
    assert surface.headlines["coding"].metric == "pass@1"
    assert surface.is_from_outside
    assert (outcome.name, str(outcome.preference), outcome.costs) == ("swarm", "the mean over tasks", {})
    assert outcome.provenance["rows by fidelity"] == "none yet"


def test_directions_come_from_names_unless_they_are_given() -> None:
    question = OutsideQuestion.of({"a": ["loss", "speed:down", "wer:up"], "b": {"latency": False}})
    assert question.metrics == {"a": {"loss": False, "speed": False, "wer": True}, "b": {"latency": False}}


def test_the_same_question_opens_the_study_again(tmp_path: Path) -> None:
    swarm(tmp_path / "s").close()
    with swarm(tmp_path / "s"):
        pass
    with pytest.raises(StudyError, match=r"has other tasks: qa \(accuracy:up\), .* not a \(f1:up\)"):
        start_outside(tmp_path / "s", OutsideQuestion.of({"a": "f1"}))
    other = OutsideQuestion.of({"qa": "accuracy", "coding": ["pass@10", "pass@1"]}, QUESTION.domains)
    with pytest.raises(StudyError, match="has other tasks"):
        start_outside(tmp_path / "s", other)  # another headline metric


def test_another_direction_is_another_question_and_named(tmp_path: Path) -> None:
    start_outside(tmp_path / "s", OutsideQuestion.of({"a": "speed:up"})).close()
    with pytest.raises(StudyError, match=r"has other tasks: a \(speed:up\), not a \(speed:down\)"):
        start_outside(tmp_path / "s", OutsideQuestion.of({"a": "speed:down"}))


def test_a_preference_is_kept_unless_another_is_given(tmp_path: Path) -> None:
    tasks = {"a": "f1", "b": "f1"}
    start_outside(tmp_path / "s", OutsideQuestion.of(tasks, prefer="worst", floors=["a>=0.1"])).close()
    for question, kind, count in (
        (OutsideQuestion.of(tasks), "worst", 1),
        (OutsideQuestion.of(tasks, prefer="mean"), "mean", 1),
        (OutsideQuestion.of(tasks, floors=[]), "mean", 0),
    ):
        with start_outside(tmp_path / "s", question) as study:
            outcome = read_outcome(study)
        assert (outcome.preference.kind, len(outcome.floors)) == (kind, count)


def test_a_study_of_domains_has_no_knee() -> None:
    with pytest.raises(WeightsError, match="the knee needs a single-task model of each task"):
        OutsideQuestion.of({"a": "f1"}, ["web", "books"], prefer="knee")


def test_domains_that_are_the_tasks_need_not_be_named() -> None:
    assert OutsideQuestion.of({"a": "f1", "b": "f1"}, ["a", "b"]).domains == ()


@pytest.mark.parametrize(
    ("tasks", "domains", "reason"),
    [
        ({}, (), "at least one task"),
        ({"a=b": "f1"}, (), "has '='"),
        ({"a": "f1"}, ("web", "web"), "domain is named twice"),
        ({"a": []}, (), "has 0 metrics"),
        ({"a": [f"m{number}" for number in range(51)]}, (), "has 51 metrics"),
        ({"a": "x=y"}, (), "cannot be used"),
        ({"a": ["f1", "f1"]}, (), "names a metric twice"),
    ],
)
def test_names_that_cannot_be_used(tasks: dict[str, MetricNames], domains: tuple[str, ...], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        OutsideQuestion.of(tasks, domains)


def test_preference_and_floors_are_checked_at_once() -> None:
    with pytest.raises(WeightsError, match="preference 'best'"):
        OutsideQuestion.of({"a": "f1"}, prefer="best")
    with pytest.raises(WeightsError, match="floor 'b>=1'"):
        OutsideQuestion.of({"a": "f1"}, floors=["b>=1"])
    assert OutsideQuestion.of({"a": ["f1", "em"]}, floors=["a:em>=0.5"]).floors == ("a:em>=0.5",)


def test_tasks_as_typed() -> None:
    for word, reason in (("a", "is not TASK=METRIC"), ("a=", "is not TASK=METRIC")):
        with pytest.raises(RecipeError, match=reason):
            parse_tasks([word])
    with pytest.raises(RecipeError, match="names 'a' twice"):
        parse_tasks(["a=f1", "a=em"])


def test_a_study_with_a_recipe_keeps_its_tasks(session: Session) -> None:
    with pytest.raises(StudyError, match="has a recipe, which names its tasks"):
        start_outside(session.study.path, QUESTION)
    check_same_question(tmp := Path("s"), None, {})
    assert tmp


def test_a_study_without_a_recipe_is_not_opened_for_training(tmp_path: Path) -> None:
    swarm(tmp_path / "s").close()
    with pytest.raises(StudyError, match="has no recipe: its runs are made elsewhere"):
        reopen(tmp_path / "s")
