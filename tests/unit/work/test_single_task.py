import pytest

from finished import finetuned
from foretaste.errors import StudyError, TaskError
from foretaste.evaluate import evaluate
from foretaste.store.study import StudyStore
from foretaste.work import single_task
from foretaste.work.context import Context
from foretaste.work.runs import single_task_run
from foretaste.work.single_task import PretrainedMetrics, SingleTaskMetrics
from foretaste.workflow.session import Session


def test_metrics_are_those_of_the_task_s_own_model(session: Session) -> None:
    found = session.finish([SingleTaskMetrics("mid")])[0]
    task = session.task("mid")
    params = session.study.tensors(finetuned(session, task).artefact)
    assert dict(found) == dict(evaluate(session.problem.model, params, [task])["mid"].metrics)


def test_the_key_names_the_params(session: Session) -> None:
    work = SingleTaskMetrics("low")
    assert work.needs(session) == (single_task_run(session, "low"),)
    assert work.inputs(session)["params"] == single_task_run(session, "low").done(session).artefact
    assert work.key(session) != SingleTaskMetrics("mid").key(session)


def test_without_a_model_there_is_nothing_to_evaluate(
    session: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with StudyStore.create(tmp_path_factory.mktemp("empty") / "study") as study:
        context = Context(study, session.recipe, session.problem, session.base)
        with pytest.raises(StudyError, match=r"finetuning on task 'low' is not in the study .* yet"):
            SingleTaskMetrics("low").inputs(context)


def test_the_pretrained_model_is_measured_without_any_training(session: Session) -> None:
    metrics = session.finish([PretrainedMetrics("mid")])[0]
    task = session.task("mid")
    assert dict(metrics) == dict(evaluate(session.problem.model, None, [task])["mid"].metrics)
    assert PretrainedMetrics("mid").needs(session) == ()


def test_a_pretrained_model_that_cannot_be_measured_stops_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TaskError("the metric is no number")

    monkeypatch.setattr(single_task, "evaluate", fail)
    assert session.finish([PretrainedMetrics("mid")]) == [{}]
