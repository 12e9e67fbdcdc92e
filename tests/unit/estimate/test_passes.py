from dataclasses import replace

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.estimate.fisher import Labels, build, fisher, init, update
from foretaste.estimate.passes import batches_of, count_batch, own_parameters, sum_over
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

ROWS = Rows(torch.eye(5), torch.arange(5))
TASK = Task("a", ROWS, ROWS, [METRICS["accuracy"]], names=frozenset({"weight"}))


def test_batches_are_all_examples_once_in_random_order() -> None:
    batches = list(batches_of(nn.Linear(5, 5), TASK, torch.Generator().manual_seed(1), None, 2))
    assert [len(batch["labels"]) for batch in batches] == [2, 2, 1]
    labels = torch.cat([batch["labels"] for batch in batches]).tolist()
    assert sorted(labels) == list(range(5)) != labels
    assert sum(len(batch["labels"]) for batch in batches_of(nn.Linear(5, 5), TASK, torch.Generator(), 3, 2)) == 3


def test_sums_are_over_every_batch() -> None:
    estimate = build(nn.Linear(5, 5), TASK, labels="empirical", generator=torch.Generator())
    batches, seen = list(batches_of(estimate.model, TASK, torch.Generator(), None, 2)), list[int]()
    state = sum_over(
        TASK,
        batches,
        lambda batch: init(estimate, batch),
        lambda sums, batch: update(estimate, sums, batch),
        seen.append,
    )
    assert (state.examples, state.units, seen) == (5, 5, [2, 4, 5])
    assert count_batch(estimate, state, batches[0]).examples == 7
    assert set(state.squares) == set(own_parameters(estimate)) == {"weight"}


def test_without_batches_there_is_no_curvature() -> None:
    estimate = build(nn.Linear(5, 5), TASK, generator=torch.Generator())
    with pytest.raises(TaskError, match="no batches were given for the curvature of task 'a'"):
        sum_over(
            TASK,
            [],
            lambda batch: init(estimate, batch),
            lambda sums, batch: update(estimate, sums, batch),
            lambda examples: None,
        )


@pytest.mark.parametrize("labels", ["empirical", "sampled"])
def test_batches_in_parts_give_the_same_curvature(labels: Labels) -> None:
    rows = Rows(torch.eye(6), torch.arange(6) % 3)
    whole = Task("a", rows, rows, [METRICS["accuracy"]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(6, 3)
    expected, found = (
        fisher(layer, None, task, labels=labels, generator=torch.Generator().manual_seed(0), batch_size=6)
        for task in (whole, replace(whole, width=1 << 24))
    )
    assert [len(part["labels"]) for part in replace(whole, width=1 << 24).parts({"labels": rows.labels})] == [2, 2, 2]
    assert found.record.units == expected.record.units == 6
    for name, entries in expected.precision.to_tensors().items():
        torch.testing.assert_close(found.precision.to_tensors()[name], entries)
