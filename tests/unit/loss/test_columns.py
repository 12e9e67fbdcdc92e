import pytest
import torch

from foretaste.errors import TaskError
from foretaste.loss.columns import FixedRoot, as_columns, check_columns, draw_where, one_column_each
from laws import normal


@pytest.mark.parametrize(("outputs", "labels"), [((3,), (3,)), ((3, 1), (3,)), ((3,), (3, 1)), ((3, 2), (3, 2))])
def test_shapes_that_fit(outputs: tuple[int, ...], labels: tuple[int, ...]) -> None:
    check_columns(torch.zeros(outputs), torch.zeros(labels), "Squared")
    assert as_columns(torch.zeros(outputs)).shape == as_columns(torch.zeros(labels)).shape


@pytest.mark.parametrize(
    ("outputs", "labels"), [((3, 2), (3,)), ((3, 2), (6,)), ((3,), (4,)), ((3, 2, 2), (3, 4)), ((), ())]
)
def test_shapes_that_do_not(outputs: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(TaskError, match=r"do not fit; Squared\(\) needs one output per label"):
        check_columns(torch.zeros(outputs), torch.zeros(labels), "Squared")


def test_numbers_go_where_they_count_in_order() -> None:
    counted = torch.tensor([[True, False], [False, True]])
    assert draw_where(counted, torch.tensor([3.0, 4.0])).tolist() == [[3.0, 0.0], [0.0, 4.0]]


def test_columns_one_by_one_add_up() -> None:
    columns = normal(4, 3)
    each = one_column_each(columns)
    assert torch.equal(sum(each, torch.zeros(4, 3)), columns)
    assert [int(one.any(0).sum()) for one in each] == [1, 1, 1]


def test_a_given_root_is_the_gradient_of_its_total() -> None:
    root, outputs = FixedRoot(normal(4, 3)), normal(2, 3, seed=1).requires_grad_()
    (found,) = torch.autograd.grad(root.total(outputs, slice(1, 3)), outputs)
    assert torch.equal(found, root.slopes[1:3])
