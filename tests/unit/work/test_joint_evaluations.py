from dataclasses import replace

import pytest

from engine_studies import StopAfter
from finished import jointly
from foretaste.evaluate import evaluate
from foretaste.evaluation import Fidelity
from foretaste.train.joint import joint
from foretaste.weights import TaskWeights, uniform
from foretaste.work.joint_evaluations import JointEvaluation, ShortJointRun
from foretaste.work.runs import JointRun
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_a_joint_run_is_evaluated_and_kept(session: Session) -> None:
    row = session.finish([JointEvaluation(POINT)])[0][0]
    assert (row.weights, row.fidelity, row.method) == (POINT, Fidelity.JOINT, "joint")
    done = jointly(session, POINT)
    expected = evaluate(session.problem.model, session.study.tensors(done.artefact), session.problem.tasks)
    assert {task: dict(found) for task, found in row.metrics.items()} == {
        task: dict(each.metrics) for task, each in expected.items()
    }
    assert row.cost > done.seconds


def test_it_is_finished_when_both_run_and_row_are_there(session: Session) -> None:
    work = JointEvaluation(POINT)
    assert not work.is_finished(session)
    session.finish([JointRun(POINT)])
    assert not work.is_finished(session)
    session.finish([work])
    assert work.is_finished(session)


def test_progress_counts_every_step_once(session: Session) -> None:
    watch = StopAfter(1 << 30)
    replace(session, watch=watch).finish([JointEvaluation(POINT)])
    assert watch.count == session.joint_training.steps == JointEvaluation(POINT).size(session)


def test_a_short_run_begins_at_the_pretrained_params(session: Session) -> None:
    row = session.finish([ShortJointRun(2, POINT)])[0][0]
    assert (row.fidelity, row.method, row.steps) == (Fidelity.SHARPENED, "pretrained", 2)
    training = replace(session.joint_training, steps=2)
    run = joint(session.problem.model, None, session.problem.tasks, POINT, training)
    expected = evaluate(session.problem.model, run.params, session.problem.tasks)
    assert {task: dict(found) for task, found in row.metrics.items()} == {
        task: dict(each.metrics) for task, each in expected.items()
    }


@pytest.mark.parametrize("other", [ShortJointRun(3, POINT), ShortJointRun(2, uniform(["low", "mid", "high"]))])
def test_short_runs_differ_by_steps_and_weights(session: Session, other: ShortJointRun) -> None:
    assert ShortJointRun(2, POINT).keys(session) != other.keys(session)
    assert str(ShortJointRun(2, POINT)) != str(other)
