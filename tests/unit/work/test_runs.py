from dataclasses import replace

import pytest
import torch

from finished import finetuned, jointly
from foretaste.sources.finetune_plan import TaskFinetune
from foretaste.store.study import Done
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.weights import TaskWeights
from foretaste.work.context import Unwatched
from foretaste.work.observer import Observer
from foretaste.work.runs import JointRun, SingleTaskRun
from foretaste.workflow.fit import fit
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def without_seed(done: Done) -> dict[str, object]:
    return {**done.inputs, "training": {key: value for key, value in done.inputs["training"].items() if key != "seed"}}


def test_members_differ_by_their_seed_alone(session: Session) -> None:
    task = session.problem.tasks[0]
    first, second, third = (finetuned(session, task, member) for member in range(3))
    assert without_seed(first) == without_seed(second) == without_seed(third)
    assert len({done.inputs["training"]["seed"] for done in (first, second, third)}) == 3
    assert len({done.artefact for done in (first, second, third)}) == 3


def test_the_first_member_is_the_task_s_model(session: Session) -> None:
    for task in session.problem.tasks:
        assert finetuned(session, task) == fit(session)[task.name].run


def test_a_member_is_finetuning_with_its_seed(session: Session) -> None:
    task = session.problem.tasks[1]
    done = finetuned(session, task, 1)
    training = replace(session.training_of("low"), seed=done.inputs["training"]["seed"])
    expected = finetune(session.problem.model, None, task, training).params
    kept = session.study.tensors(done.artefact)
    assert all(torch.equal(kept[name], tensor) for name, tensor in expected.items())


def test_a_task_s_own_settings_are_in_the_key_of_its_run_alone(session: Session) -> None:
    own = session.recipe.finetune.model_copy(update={"tasks": {"low": TaskFinetune(steps=2, learning_rate=0.1)}})
    other = replace(session, recipe=session.recipe.model_copy(update={"finetune": own}))
    keys = [[SingleTaskRun(name).key(at) for name in ("low", "mid")] for at in (session, other)]
    assert keys[0][0] != keys[1][0]
    assert keys[0][1] == keys[1][1]
    assert JointRun(POINT).key(session) == JointRun(POINT).key(other)
    run = SingleTaskRun("low").finish(other, Observer(Unwatched(), 2))
    assert len(run.history) == 2


def test_members_of_neighbouring_studies_are_other_runs(session: Session) -> None:
    """The second run of a study is not the first one of the study whose seed is one more."""
    task = session.problem.tasks[0]
    next_seed = replace(session, recipe=session.recipe.model_copy(update={"seed": 1}))
    assert finetuned(session, task, 1).key != finetuned(next_seed, task).key


def test_a_joint_run_is_joint_finetuning(session: Session) -> None:
    done = jointly(session, POINT)
    expected = joint(session.problem.model, None, session.problem.tasks, POINT, session.joint_training)
    kept = session.study.tensors(done.artefact)
    assert all(torch.equal(kept[name], tensor) for name, tensor in expected.params.items())
    assert done.result["history"] == pytest.approx(list(expected.history))


def test_runs_are_made_once(session: Session) -> None:
    task = session.problem.tasks[0]
    made = [finetuned(session, task, 1), jointly(session, POINT)]
    before = session.study.all_work()
    assert [finetuned(session, task, 1), jointly(session, POINT)] == made
    assert session.study.all_work() == before
