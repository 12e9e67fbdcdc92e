import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foretaste.evaluate import evaluate
from foretaste.evaluation import Fidelity
from foretaste.metric_kinds import Metric, TextMetric
from foretaste.params import Params, parameters_of, snapshot, tensors_of
from foretaste.plan import Preview
from foretaste.recipe import parse
from foretaste.sources.problem import Problem
from foretaste.task import Example, Rows, Task
from foretaste.train.batch_norm import reestimate
from foretaste.weights import TaskWeights, uniform
from foretaste.work.judge import (
    describe_evaluation,
    evaluate_row,
    needs_statistics,
    objective,
    reestimate_statistics,
    use_precision,
)
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
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
    found = reestimate_statistics(normed, params, weights)
    generator = torch.Generator().manual_seed(3)
    expected = reestimate(normed.problem.model, params, normed.problem.tasks, weights, generator=generator)
    assert all(torch.equal(found[name], expected[name]) for name in params)
    assert [name for name in params if not torch.equal(found[name], params[name])] == [
        "1.running_mean",
        "1.running_var",
    ]


def test_at_a_corner_they_are_the_task_s_own(normed: Session) -> None:
    params = snapshot(tensors_of(normed.problem.model))
    assert reestimate_statistics(normed, params, TaskWeights(AB, [0.0, 1.0])) is params


@pytest.mark.parametrize("change", ["averaged", "frozen", "none there"])
def test_statistics_are_left_where_they_are_not_to_be_found_anew(
    normed: Session, session: Session, change: str
) -> None:
    recipe = normed.recipe
    frozen = recipe.finetune.model_copy(update={"batch_norm": "freeze"})
    same = {
        "averaged": replace(normed, recipe=recipe.model_copy(update={"preview": Preview(batch_norm="average")})),
        "frozen": replace(normed, recipe=recipe.model_copy(update={"finetune": frozen})),
        "none there": session,
    }[change]
    params = snapshot(tensors_of(same.problem.model))
    assert needs_statistics(normed)
    assert not needs_statistics(same)
    assert reestimate_statistics(same, params, uniform(same.problem.names)) is params


def test_a_row_is_the_evaluation_of_the_params_and_their_cost(session: Session) -> None:
    params, weights = snapshot(parameters_of(session.problem.model)), uniform(session.problem.names)
    found, each = evaluate_row(
        session, params, weights, Fidelity.SHARPENED, "mine", time.perf_counter() - 5.0, spent=100.0
    )
    expected = evaluate(session.problem.model, params, session.problem.tasks)
    assert {task: dict(metrics) for task, metrics in found.metrics.items()} == {
        task: dict(one.metrics) for task, one in expected.items()
    }
    assert (found.weights, found.fidelity, found.method, found.seed) == (
        weights,
        Fidelity.SHARPENED,
        "mine",
        session.recipe.seed,
    )
    assert 105.0 < found.cost < 150.0
    for task in session.problem.tasks:
        assert float(each[f"{task.name}/losses"].double().mean()) == pytest.approx(
            found.metrics[task.name]["loss"], rel=1e-6
        )
        assert len(each[f"{task.name}/predicted"]) == len(task.validation)


def _columns(task: Task) -> tuple[Tensor, Tensor]:
    assert isinstance(task.validation, Rows)
    return task.validation.inputs, task.validation.labels


def test_the_objective_is_the_joint_loss_at_four_weightings_for_three_tasks(session: Session) -> None:
    """With fewer validation examples than are used for choices, it is the rows' own losses, weighted."""
    tasks = tuple(
        replace(task, validation=Rows(*(column[:50] for column in _columns(task)))) for task in session.problem.tasks
    )
    small = replace(session, problem=replace(session.problem, tasks=tasks))
    params, asked = snapshot(parameters_of(small.problem.model)), []

    def merge(weights: TaskWeights) -> Params:
        asked.append(weights)
        return params

    found = objective(small, merge)
    losses = {task: one.metrics["loss"] for task, one in evaluate(small.problem.model, params, tasks).items()}
    assert [round(max(weights.values()), 4) for weights in asked] == [0.3333, 0.6667, 0.6667, 0.6667]
    assert found == pytest.approx(
        sum(share * losses[task] for weights in asked for task, share in weights.items()), rel=1e-6
    )


def test_choices_are_made_on_the_same_examples_every_time_and_not_on_the_first_ones(session: Session) -> None:
    params = snapshot(parameters_of(session.problem.model))
    first, again = objective(session, lambda weights: params), objective(session, lambda weights: params)
    other = replace(session, recipe=session.recipe.model_copy(update={"seed": 5}))
    assert first == again
    assert objective(other, lambda weights: params) != first


def test_statistics_are_reestimated_for_choices_too(normed: Session) -> None:
    params = snapshot(tensors_of(normed.problem.model))
    averaged = normed.recipe.model_copy(
        update={"preview": normed.recipe.preview.model_copy(update={"batch_norm": "average"})}
    )
    assert objective(normed, lambda weights: params) != objective(
        replace(normed, recipe=averaged), lambda weights: params
    )


def test_other_data_or_another_model_is_another_evaluation(session: Session) -> None:
    before = describe_evaluation(session)
    first, *rest = session.problem.tasks
    other = replace(session, problem=replace(session.problem, tasks=(replace(first, fingerprint="other"), *rest)))
    assert describe_evaluation(other) != before
    assert describe_evaluation(replace(session, base="other")) != before
    assert describe_evaluation(session) == before


def test_in_bf16_results_move_a_little_and_are_named_apart(session: Session) -> None:
    narrow = replace(session, recipe=session.recipe.model_copy(update={"preview": Preview(mixed_precision="bf16")}))
    own, weights = parameters_of(session.problem.model), uniform(session.problem.names)
    wide_row, other = (
        evaluate_row(each, own, weights, Fidelity.PREVIEW, "simple", time.perf_counter())[0]
        for each in (session, narrow)
    )
    moved = [abs(found["loss"] - other.metrics[task]["loss"]) for task, found in wide_row.metrics.items()]
    assert 0 < max(moved) < 0.02
    assert describe_evaluation(narrow) == describe_evaluation(session) | {"mixed_precision": "bf16"}


def test_in_bf16_one_model_lent_two_params_answers_for_each(session: Session) -> None:
    narrow = replace(session, recipe=session.recipe.model_copy(update={"preview": Preview(mixed_precision="bf16")}))
    model, tasks = session.problem.model, session.problem.tasks
    one = snapshot(parameters_of(model))
    two = {name: 2 * tensor for name, tensor in one.items()}
    with use_precision(narrow):
        both = [evaluate(model, params, tasks)["low"].losses for params in (one, two)]
    for params, together in zip((one, two), both, strict=True):
        with use_precision(narrow):
            assert torch.equal(evaluate(model, params, tasks)["low"].losses, together)
    assert not torch.equal(*both)


def test_choices_are_made_on_the_loss_and_compute_no_metric(normed: Session) -> None:
    def never(predicted: Tensor, labels: Tensor) -> float:
        raise AssertionError

    params = snapshot(tensors_of(normed.problem.model))
    tasks = tuple(replace(task, metrics=[Metric("never", never)]) for task in normed.problem.tasks)
    strict = replace(normed, problem=replace(normed.problem, tasks=tasks))
    assert objective(strict, lambda weights: params) == objective(normed, lambda weights: params)


def test_what_the_model_wrote_is_kept_with_its_losses(normed: Session) -> None:
    def write(model: nn.Module, examples: Sequence[Example]) -> list[tuple[str, str]]:
        return [(f"é{int(example['labels'])}", "") for example in examples]

    judge = TextMetric("count", lambda written, wanted: float(len(written)))
    tasks = tuple(
        replace(task, metrics=[judge], write=write) if task.name == "a" else task for task in normed.problem.tasks
    )
    writing = replace(normed, problem=replace(normed.problem, tasks=tasks))
    params = snapshot(tensors_of(normed.problem.model))
    found, each = evaluate_row(writing, params, uniform(AB), Fidelity.PREVIEW, "simple", time.perf_counter())
    labels = [int(tasks[0].validation[index]["labels"]) for index in range(20)]
    assert json.loads(bytes(each["a/texts"].tolist())) == [f"é{label}" for label in labels]
    assert found.metrics["a"]["count"] == 20
    assert set(each) == {"a/losses", "a/predicted", "a/texts", "b/losses", "b/predicted"}
