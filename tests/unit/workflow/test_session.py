"""A session does work and returns results in the order that was asked for."""

from dataclasses import replace

from foretaste.recipe import parse
from foretaste.work.curvature import task_curvature
from foretaste.work.single_task import SingleTaskMetrics
from foretaste.workflow.session import Session


def test_a_session_knows_its_trainings(session: Session) -> None:
    assert session.training_of("low").steps == session.joint_training.steps == 5
    other = replace(
        session,
        recipe=parse("name: a\nmodel: {source: digits}\nseed: 7\njoint: {steps: 9}\nfinetune: {batch_norm: freeze}\n"),
    )
    assert (other.joint_training.steps, other.training_of("low").steps) == (9, 300)
    assert (other.training_of("low").seed, other.training_of("low").batch_norm) == (7, "freeze")


def test_finetuning_by_lora_keeps_the_other_numbers_of_training(session: Session) -> None:
    text = "name: a\nmodel: {source: digits}\nfinetune: {steps: 5, method: lora, r: 2, targets: all-linear}\n"
    other = replace(session, recipe=parse(text))
    assert other.training_of("low") == replace(
        session.training_of("low"),
        learning_rate=other.training_of("low").learning_rate,
        prior_precision=0.0,
        warmup=0.1,
    )


def test_results_come_in_the_order_that_was_asked_for(session: Session) -> None:
    works = [SingleTaskMetrics("high"), SingleTaskMetrics("low")]
    results = session.finish(works)
    assert [dict(result) for result in results] == [dict(work.stored_result(session)) for work in works]
    assert results[0] != results[1]


def test_a_session_does_what_its_work_needs(session: Session) -> None:
    other = replace(session, recipe=session.recipe.model_copy(update={"seed": 3}))
    record = other.finish([task_curvature(other, "mid")])[0]
    assert record.done.kind == "site"
    assert len(session.study.all_work("finetune")) == 3 + 1  # the run at the other seed


def test_a_session_is_shown_in_one_line(session: Session) -> None:
    assert "\n" not in repr(session)
    assert repr(session).startswith("Session(")
