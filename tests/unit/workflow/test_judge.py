import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foretaste.evaluate import evaluate
from foretaste.params import parameters_of, snapshot, tensors_of
from foretaste.recipe import Preview, parse
from foretaste.sources.problem import Problem
from foretaste.task import Fidelity
from foretaste.train.batch_norm import reestimated
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.judge import judged_by, losses_of, reestimates, row, with_statistics
from foretaste.workflow.session import Session, start
from problems import blobs, linear

AB = ["a", "b"]


@pytest.fixture
def normed(tmp_path: Path) -> Iterator[Session]:
    """A model with batch norm."""
    text = "{name: a, model: {source: digits}, seed: 3}"
    found = start(parse(text), text, Problem(linear(), (blobs("a", 1), blobs("b", 2))), tmp_path / "study")
    with found.study:
        yield found


def test_inside_the_simplex_statistics_are_those_of_the_tasks_at_these_weights(normed: Session) -> None:
    params, weights = snapshot(tensors_of(normed.problem.model)), TaskWeights(AB, [0.25, 0.75])
    found = with_statistics(normed, params, weights)
    generator = torch.Generator().manual_seed(3)
    expected = reestimated(normed.problem.model, params, normed.problem.tasks, weights, generator=generator)
    assert all(torch.equal(found[name], expected[name]) for name in params)
    assert [name for name in params if not torch.equal(found[name], params[name])] == ["1.running_mean", "1.running_var"]


def test_at_a_corner_they_are_the_task_s_own(normed: Session) -> None:
    params = snapshot(tensors_of(normed.problem.model))
    assert with_statistics(normed, params, TaskWeights(AB, [0.0, 1.0])) is params


@pytest.mark.parametrize("change", ["averaged", "frozen", "none there"])
def test_statistics_are_left_where_they_are_not_to_be_found_anew(normed: Session, session: Session, change: str) -> None:
    recipe = normed.recipe
    frozen = recipe.finetune.model_copy(update={"batch_norm": "freeze"})
    same = {
        "averaged": replace(normed, recipe=recipe.model_copy(update={"preview": Preview(batch_norm="average")})),
        "frozen": replace(normed, recipe=recipe.model_copy(update={"finetune": frozen})),
        "none there": session,
    }[change]
    params = snapshot(tensors_of(same.problem.model))
    assert reestimates(normed)
    assert not reestimates(same)
    assert with_statistics(same, params, uniform(same.problem.names)) is params


def test_a_row_is_the_evaluation_of_the_params_and_their_cost(session: Session) -> None:
    params, weights = snapshot(parameters_of(session.problem.model)), uniform(session.problem.names)
    found, each = row(session, params, weights, Fidelity.SHARPENED, "mine", time.perf_counter() - 5.0, spent=100.0)
    expected = evaluate(session.problem.model, params, session.problem.tasks)
    assert {task: dict(metrics) for task, metrics in found.metrics.items()} == {task: dict(one.metrics) for task, one in expected.items()}
    assert (found.weights, found.fidelity, found.method, found.seed) == (weights, Fidelity.SHARPENED, "mine", session.recipe.seed)
    assert 105.0 < found.cost < 150.0
    for task in session.problem.tasks:
        assert float(each[f"{task.name}/losses"].double().mean()) == pytest.approx(found.metrics[task.name]["loss"], rel=1e-6)
        assert len(each[f"{task.name}/predicted"]) == len(task.validation)


def test_losses_are_those_of_the_row(normed: Session) -> None:
    params, weights = snapshot(tensors_of(normed.problem.model)), uniform(AB)
    found, _ = row(normed, with_statistics(normed, params, weights), weights, Fidelity.PREVIEW, "mine", time.perf_counter())
    assert losses_of(normed, params, weights) == {task: metrics["loss"] for task, metrics in found.metrics.items()}


def test_other_data_or_another_model_is_another_evaluation(session: Session) -> None:
    before = judged_by(session)
    first, *rest = session.problem.tasks
    other = replace(session, problem=replace(session.problem, tasks=(replace(first, fingerprint="other"), *rest)))
    assert judged_by(other) != before
    assert judged_by(replace(session, base="other")) != before
    assert judged_by(session) == before
