from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretaste.errors import WeightsError
from foretaste.loss.squared import Squared
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task
from foretaste.train.mixture import Realise, Step, count_label_tokens, exact_counts, mixture, units_per_example
from foretaste.weights import TaskWeights, uniform
from problems import blobs

TASKS = [blobs("a", 1, 40), blobs("b", 2, 20), blobs("c", 3, 30)]
NAMES = [task.name for task in TASKS]


def plan_of(
    weights: TaskWeights, steps: int = 30, batch: int = 8, realise: Realise = "sampling", seed: int = 0
) -> list[Step]:
    return mixture(TASKS, weights, steps, batch, torch.Generator().manual_seed(seed), realise)


def tokens(name: str, length: int) -> Task:
    labels = torch.full((6, 12), -100)
    labels[:, :length] = 1
    rows = Rows(torch.zeros(6, 12), labels)
    return Task(name, rows, rows, [METRICS["accuracy"]], unit="token")


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda found: sum(found) > 1e-3))
@settings(max_examples=40, deadline=None)
def test_counts_are_exact_and_every_prefix_is_near_its_share(raw: list[float]) -> None:
    alpha = TaskWeights(NAMES, [value / sum(raw) for value in raw])
    plan = plan_of(alpha)
    seen: Counter[str] = Counter()
    for number, step in enumerate(plan, start=1):
        assert sum(len(portion.indices) for portion in step) == 8
        for portion in step:
            seen[portion.task] += len(portion.indices)
        for name in NAMES:
            assert abs(seen[name] - alpha[name] * 8 * number) <= 2
    assert sum(seen.values()) == 240
    assert all(abs(seen[name] - alpha[name] * 240) < 1 for name in NAMES)


def test_a_task_of_weight_zero_is_never_seen() -> None:
    plan = plan_of(TaskWeights(NAMES, [0.5, 0.5, 0.0]))
    assert {portion.task for step in plan for portion in step} == {"a", "b"}


def test_every_epoch_has_each_example_once_in_another_order() -> None:
    plan = plan_of(TaskWeights(NAMES, [0.0, 1.0, 0.0]), steps=10, batch=5)
    drawn = [index for step in plan for portion in step for index in portion.indices]
    epochs = [drawn[start : start + 10] for start in range(0, 50, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_the_generator_decides() -> None:
    alpha = uniform(NAMES)
    assert plan_of(alpha) == plan_of(alpha)
    assert plan_of(alpha) != plan_of(alpha, seed=1)


def test_by_loss_every_step_has_every_active_task() -> None:
    plan = plan_of(TaskWeights(NAMES, [0.2, 0.0, 0.8]), batch=7, realise="loss")
    assert all(
        [(portion.task, portion.weight, len(portion.indices)) for portion in step] == [("a", 0.2, 4), ("c", 0.8, 3)]
        for step in plan
    )


def test_by_loss_needs_room_for_every_task() -> None:
    with pytest.raises(WeightsError, match="a batch of 2 cannot hold 3 tasks"):
        plan_of(uniform(NAMES), batch=2, realise="loss")


def test_weights_must_be_for_these_tasks() -> None:
    with pytest.raises(WeightsError, match="weights are for a, b"):
        mixture(TASKS, uniform(["a", "b"]), 1, 1, torch.Generator())


def test_token_losses_are_sampled_by_tokens_not_rows() -> None:
    short, long = tokens("short", 2), tokens("long", 10)
    assert (units_per_example(short), units_per_example(long)) == (2.0, 10.0)
    plan = mixture([short, long], uniform(["short", "long"]), 10, 12, torch.Generator())
    rows = Counter[str]()
    for step in plan:
        rows.update({portion.task: len(portion.indices) for portion in step})
    assert rows == {"short": 100, "long": 20}  # 200 label tokens each


def test_largest_remainders() -> None:
    assert exact_counts({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 10) == {"a": 4, "b": 3, "c": 3}
    assert exact_counts({"a": 1.0, "b": 0.0}, 7) == {"a": 7, "b": 0}


def test_only_labels_that_count_are_counted() -> None:
    assert count_label_tokens(tokens("a", 5)) == [5] * 6
    numbers = Rows(torch.zeros(2, 1), torch.tensor([[1.0, torch.nan], [2.0, 3.0]]))
    assert count_label_tokens(Task("a", numbers, numbers, [METRICS["accuracy"]], loss=Squared())) == [1, 2]
