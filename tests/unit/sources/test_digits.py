import pytest
import torch

from foretaste.errors import DataError
from foretaste.evaluate import evaluate
from foretaste.sources import digits as module
from foretaste.sources.digits import digits
from foretaste.task import Rows


def test_three_groups_of_classes_that_do_not_leak() -> None:
    problem = digits()
    assert problem.names == ["low", "mid", "high"]
    for task, classes in zip(problem.tasks, [{0, 1, 2, 3}, {4, 5, 6}, {7, 8, 9}], strict=True):
        assert isinstance(task.train, Rows)
        assert isinstance(task.validation, Rows)
        assert set(task.train.labels.tolist()) == set(task.validation.labels.tolist()) == classes
        assert len(task.train) == 300
        assert len(task.validation) > 200
        distance = torch.cdist(task.train.inputs, task.validation.inputs)
        assert float(distance.min()) > 0


def test_is_the_same_every_time_and_another_for_another_seed() -> None:
    first = digits()
    module._pretrained_with_tasks.cache_clear()
    again, other = digits(), digits(seed=1)
    assert first.base() == again.base() != other.base()
    assert [task.fingerprint for task in first.tasks] == [task.fingerprint for task in again.tasks]
    assert {task.fingerprint for task in first.tasks}.isdisjoint(task.fingerprint for task in other.tasks)


def test_the_model_is_the_callers_own() -> None:
    first, again = digits(), digits()
    base = again.base()
    with torch.no_grad():
        next(first.model.parameters()).zero_()
    assert again.base() == digits().base() == base != first.base()


def test_pretraining_gave_a_start_and_left_room() -> None:
    problem = digits()
    found = [result.metrics["accuracy"] for result in evaluate(problem.model, None, problem.tasks).values()]
    assert 0.5 < sum(found) / 3 < 0.97


def test_views_are_the_same_digits_in_three_ways() -> None:
    problem = digits(tasks="views")
    upright, turned, flipped = (task.train for task in problem.tasks)
    assert isinstance(upright, Rows)
    assert isinstance(turned, Rows)
    assert isinstance(flipped, Rows)
    assert upright.labels.tolist() == turned.labels.tolist() == flipped.labels.tolist()
    square = upright.inputs[7].reshape(8, 8)
    assert turned.inputs[7].reshape(8, 8)[0].tolist() == square[:, -1].tolist()  # the last column is the first row
    assert flipped.inputs[7].reshape(8, 8)[:, 0].tolist() == square[:, -1].tolist()
    assert len({task.fingerprint for task in problem.tasks}) == 3


def test_the_network_reads_upright_digits_only() -> None:
    problem = digits(tasks="views")
    accuracy = {
        name: result.metrics["accuracy"] for name, result in evaluate(problem.model, None, problem.tasks).items()
    }
    assert accuracy["upright"] > 0.85
    assert max(accuracy["turned"], accuracy["flipped"]) < 0.5


def test_other_tasks_are_refused() -> None:
    with pytest.raises(DataError, match="write one of groups, views"):
        digits(tasks="faces")  # type: ignore[arg-type]
