from dataclasses import replace

import pytest
import torch

from foretaste.errors import WeightsError
from foretaste.evaluate import evaluate
from foretaste.evaluation import Fidelity
from foretaste.params import parameters_of
from foretaste.train.joint import joint
from foretaste.train.sharpen import sharpen
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.preview import prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews, train_briefly

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])
EDGE = TaskWeights(["low", "mid", "high"], [0.5, 0.5, 0.0])


@pytest.fixture
def headed(session: Session) -> Session:
    """Tasks that do not have all parameters in common, as those with heads of their own."""
    fewer = frozenset(list(parameters_of(session.problem.model))[:-1])
    first, *others = session.problem.tasks
    return replace(session, problem=replace(session.problem, tasks=(replace(first, names=fewer), *others)))


def test_rows_are_previews_trained_on_and_evaluated(session: Session) -> None:
    fit(session)
    rows = sharpen_previews(session, "diagonal", 3, [POINT, uniform(session.problem.names)])
    assert [row.weights for row in rows] == [POINT, uniform(session.problem.names)]
    assert {(row.label, row.fidelity, row.seed) for row in rows} == {("diagonal+3", Fidelity.SHARPENED, 0)}
    begin = prepare_merger(session, "diagonal")[1].merge(POINT).params
    run = sharpen(session.problem.model, None, begin, session.problem.tasks, POINT, session.joint_training, steps=3)
    expected = evaluate(session.problem.model, run.params, session.problem.tasks)
    assert all(
        dict(rows[0].metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in expected.items()
    )


def test_the_cost_holds_the_steps(session: Session) -> None:
    fit(session)
    (short,), (long,) = (sharpen_previews(session, "simple", steps, [POINT]) for steps in (1, 300))
    assert long.cost > 2 * short.cost > 0


def test_every_length_and_method_is_work_of_its_own_done_once(session: Session) -> None:
    fit(session)
    asked = [("simple", 1), ("simple", 2), ("diagonal", 1)]
    first = [sharpen_previews(session, method, steps, [POINT]) for method, steps in asked]
    before = session.study.all_work()
    assert len(session.study.all_work("evaluation")) == 3
    assert [sharpen_previews(session, method, steps, [POINT]) for method, steps in asked] == first
    assert session.study.all_work() == before


def test_sharpened_rows_are_no_previews(session: Session) -> None:
    fit(session)
    sharpen_previews(session, "simple", 1, [POINT])
    surface = read_outcome(session.study).surface
    assert surface.methods() == []
    preview(session, ["simple"], [POINT])
    assert read_outcome(session.study).surface.methods() == ["simple"]
    assert [row.label for row in read_outcome(session.study).surface.where(Fidelity.SHARPENED).rows] == ["simple+1"]


def test_a_cut_run_is_a_short_joint_run_from_the_pretrained_params(session: Session) -> None:
    (row,) = train_briefly(session, 2, [POINT])
    run = joint(session.problem.model, None, session.problem.tasks, POINT, replace(session.joint_training, steps=2))
    expected = evaluate(session.problem.model, run.params, session.problem.tasks)
    assert all(
        dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in expected.items()
    )
    assert (row.label, row.fidelity) == ("pretrained+2", Fidelity.SHARPENED)
    assert train_briefly(session, 2, [POINT]) == [row]
    assert session.study.all_work("joint") == []


def test_a_task_without_weight_is_fine_where_all_share_the_head(session: Session) -> None:
    assert [row.weights for row in sharpen_previews(session, "simple", 1, [EDGE])] == [EDGE]


def test_a_head_that_would_stay_untrained_is_refused_before_any_work(headed: Session) -> None:
    fit(headed)
    before = headed.study.all_work()
    message = (
        "joint finetuning at low=0.5,mid=0.5,high=0 would never train the head of task 'high'; give it some weight"
    )
    with pytest.raises(WeightsError, match=message):
        sharpen_previews(headed, "simple", 1, [POINT, EDGE])
    with pytest.raises(WeightsError, match=message):
        train_briefly(headed, 1, [EDGE])
    assert headed.study.all_work() == before
    assert torch.isfinite(torch.tensor(sharpen_previews(headed, "simple", 1, [POINT])[0].cost))
