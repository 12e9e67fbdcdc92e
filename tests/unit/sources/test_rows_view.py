import pytest
import torch

from foretaste.loss.squared import Squared
from foretaste.metrics import METRICS
from foretaste.sources.rows_view import RowView, TensorRows, largest
from foretaste.task import Rows, Task


@pytest.mark.parametrize(
    ("inputs", "labels", "facts"),
    [
        (torch.zeros(2, 3, 4), torch.tensor([0, 1]), {"inputs": "tensor of 3 x 4", "label": 1}),
        (torch.ones(2, 1), torch.zeros(2, 5, dtype=torch.long), {"inputs": 1.0, "label": "tensor of 5"}),
    ],
)
def test_tensors_are_told_by_size_and_numbers_by_value(
    inputs: torch.Tensor, labels: torch.Tensor, facts: dict[str, object]
) -> None:
    rows = Rows(inputs, labels)
    task = Task("a", rows, rows, (METRICS["accuracy"],))
    assert TensorRows().row(task, 1) == RowView("tensors", (), facts)
    assert TensorRows().describe(task) == {}


def test_a_target_is_a_number() -> None:
    rows = Rows(torch.zeros(2, 4), torch.tensor([0.5, 1.5]))
    assert TensorRows().row(Task("a", rows, rows, loss=Squared()), 1).facts["label"] == 1.5


def test_the_longest_rows_are_those_with_most_numbers() -> None:
    examples = [{"inputs": torch.zeros(size), "labels": torch.tensor(0)} for size in (3, 9, 1, 9)]
    task = Task("a", examples, examples, (METRICS["accuracy"],))
    assert TensorRows().longest(task, 2) == [1, 3]
    assert TensorRows().longest(task, 9) == [1, 3, 0, 2]
    assert largest([], 2) == []
