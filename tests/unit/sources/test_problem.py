from dataclasses import replace

import pytest
import torch

from foretaste.errors import TaskError
from foretaste.params import parameters_of
from foretaste.sources.problem import Problem, examples_digest, text_digest
from foretaste.task import Rows
from problems import blobs, linear

A, B = blobs("a", 1), blobs("b", 2)


def test_base_is_the_content_of_the_params() -> None:
    assert (
        Problem(linear(), (A, B)).base() == Problem(linear(), (B, A)).base() != Problem(linear(seed=1), (A, B)).base()
    )


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "0 tasks were given"),
        ((A,), "1 tasks were given"),
        ((A, A), "two tasks have one name: a, a"),
        ((A, replace(B, unit="token")), "different units"),
        (
            (A, replace(B, names=frozenset(["0.weight", "head.weight"]))),
            "task 'b' names parameters that the model lacks: head.weight",
        ),
    ],
)
def test_faults_are_named(tasks: tuple[object, ...], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Problem(linear(), tasks)  # type: ignore[arg-type]


def test_what_is_trained_is_what_some_task_has() -> None:
    problem = Problem(
        linear(), (replace(A, names=frozenset(["0.weight"])), replace(B, names=frozenset(["0.weight", "4.bias"])))
    )
    assert problem.trained == {"0.weight", "4.bias"}
    assert Problem(linear(), (A, B)).trained == problem.names_of(A) == set(parameters_of(linear()))


def test_what_is_new_must_be_there() -> None:
    with pytest.raises(TaskError, match="fresh names parameters that the model lacks: head"):
        Problem(linear(), (A, B), fresh=frozenset(["head"]))


def test_nan_in_the_pretrained_model_is_named() -> None:
    model = linear()
    with torch.no_grad():
        model.get_parameter("4.bias")[1] = float("nan")
    with pytest.raises(TaskError, match=r"NaN or infinity in 4\.bias"):
        Problem(model, (A, B))


def test_digests_see_content_and_borders() -> None:
    rows = Rows(torch.eye(4), torch.arange(4))
    first, rest = Rows(torch.eye(4)[:1], torch.arange(1)), Rows(torch.eye(4)[1:], torch.arange(1, 4))
    assert examples_digest([rows, rows]) != examples_digest([rows])
    assert examples_digest([first, rest]) != examples_digest([rows])
    assert text_digest(["ab", "c"]) != text_digest(["a", "bc"])
