from dataclasses import replace

import torch

from foretaste.evaluate import evaluate
from foretaste.evaluation import Fidelity
from foretaste.recipe import parse
from foretaste.train.joint import joint
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.confirm import confirm
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_rows_are_joint_finetuning_evaluated(session: Session) -> None:
    (row,) = confirm(session, [POINT])
    run = joint(session.problem.model, None, session.problem.tasks, POINT, session.joint_training, realise="sampling")
    (done,) = session.study.all_work("joint")
    kept = session.study.tensors(done.artefact)
    assert all(torch.equal(kept[name], tensor) for name, tensor in run.params.items())
    expected = evaluate(session.problem.model, run.params, session.problem.tasks)
    assert {task: dict(found) for task, found in row.metrics.items()} == {
        task: dict(each.metrics) for task, each in expected.items()
    }
    assert (row.weights, row.fidelity, row.method, row.seed) == (POINT, Fidelity.JOINT, "joint", 0)


def test_the_cost_holds_the_training(session: Session) -> None:
    (row,) = confirm(session, [POINT])
    assert row.cost > session.study.all_work("joint")[0].seconds > 0


def test_joint_runs_are_made_once(session: Session) -> None:
    first = confirm(session, [POINT, uniform(session.problem.names)])
    assert confirm(session, [uniform(session.problem.names), POINT]) == first[::-1]
    assert len(session.study.all_work("joint")) == 2


def test_the_recipe_says_how_alpha_is_realised_and_how_long(session: Session) -> None:
    recipe = parse("name: a\nmodel: {source: digits}\nfinetune: {steps: 5}\njoint: {realise: loss, steps: 3}\n")
    confirm(replace(session, recipe=recipe), [POINT])
    (done,) = session.study.all_work("joint")
    assert done.inputs["realise"] == "loss"
    assert len(done.result["history"]) == 3
    assert [value["examples"] for value in done.result["seen"].values()] == [
        33,
        33,
        30,
    ]  # of batches of 32, not by alpha
