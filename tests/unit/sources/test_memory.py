"""Models and tasks in memory: which parameters are trained, and how examples of every common form are read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import foretaste as ft
from foretaste.errors import TaskError
from foretaste.sources.memory import NamedTensors, describe_architecture, problem_in_memory
from in_memory import causal_model, classifier, disagreeing_tasks, network, rows_of_tokens


def test_a_model_that_is_trained_whole_has_tasks_with_all_parameters() -> None:
    problem = problem_in_memory(network(), disagreeing_tasks("a", "b"))
    assert [task.names for task in problem.tasks] == [None, None]
    assert dict(problem.facts) == {"architecture": "Sequential, 42 parameters", "model": "in memory"}


def test_parameters_that_need_no_gradient_are_not_trained() -> None:
    model = network()
    model[0].requires_grad_(False)  # type: ignore[index]
    problem = problem_in_memory(model, disagreeing_tasks("a", "b"))
    assert problem.trained == {"2.weight", "2.bias"}
    assert dict(problem.facts)["trained"] == "18 parameters"
    with pytest.raises(TaskError, match="no parameter of the model needs a gradient"):
        problem_in_memory(model.requires_grad_(False), disagreeing_tasks("a", "b"))


def test_an_architecture_is_its_layers_and_settings_and_not_its_params() -> None:
    assert describe_architecture(network()) == describe_architecture(nn.Sequential(*[*network().children()]))
    assert describe_architecture(network()) != describe_architecture(nn.Sequential(nn.Linear(2, 8), nn.ReLU()))
    first, other = classifier(), classifier()
    other.config.hidden_act = "relu"
    assert describe_architecture(first).startswith("BertForSequenceClassification ")
    assert describe_architecture(first) != describe_architecture(other)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ((torch.ones(2), torch.tensor(1)), {"inputs", "labels"}),
        ({"input_ids": [1, 2], "text": "a b", "label": 1}, {"input_ids", "labels"}),
        ({"inputs": torch.ones(2), "labels": 0.5}, {"inputs", "labels"}),
    ],
    ids=["pair", "row of datasets", "mapping"],
)
def test_examples_of_every_form_become_tensors(row: object, names: set[str]) -> None:
    example = NamedTensors([row])[0]
    assert set(example) == names
    assert all(isinstance(value, Tensor) for value in example.values())


def test_other_examples_are_refused() -> None:
    with pytest.raises(TaskError, match="an example is a int; give a mapping with 'labels'"):
        NamedTensors([3])[0]


def test_pairs_are_inputs_and_labels() -> None:
    pairs: Any = [(torch.randn(2), torch.tensor(place % 2)) for place in range(6)]
    problem = problem_in_memory(network(), [ft.Task(name, pairs, pairs) for name in "ab"])
    task = problem.tasks[0]
    batch = task.batch(task.train, [0, 1], torch.device("cpu"))
    assert task.predict(problem.model, batch).shape == (2, 2)


def test_a_classifier_of_transformers_is_called_by_the_names_of_columns() -> None:
    problem = problem_in_memory(classifier(), [ft.Task(name, rows_of_tokens(0), rows_of_tokens(1)) for name in "ab"])
    task = problem.tasks[0]
    batch = task.batch(task.train, [0, 1, 2], torch.device("cpu"))
    assert task.predict(problem.model, batch).shape == (3, 2)


def test_a_causal_model_s_labels_belong_to_the_place_before() -> None:
    rows = rows_of_tokens(0, causal=True)
    tasks = [ft.Task(name, rows, rows, loss=ft.TokenCrossEntropy(), unit="token") for name in "ab"]
    problem = problem_in_memory(causal_model(), tasks)
    task = problem.tasks[0]
    batch = task.batch(task.train, [0], torch.device("cpu"))
    assert batch["labels"][0].tolist() == [*rows[0]["labels"][1:].tolist(), -100]
    own = problem.model(**{name: value[None] for name, value in rows[0].items()}).loss
    loss = task.loss.per_unit(task.predict(problem.model, batch), batch).sum() / 5
    assert own.item() == pytest.approx(loss.item(), abs=1e-5)


def test_rows_of_different_lengths_need_a_collator() -> None:
    rows: Any = [{"input_ids": list(range(1, 3 + place % 3)), "label": place % 2} for place in range(6)]
    with pytest.raises(TaskError, match="pad them to one length, or give the task a collate="):
        problem_in_memory(classifier(), [ft.Task(name, rows, rows) for name in "ab"])


def test_examples_without_labels_are_refused() -> None:
    rows = [{"input_ids": torch.tensor([1, 2])}] * 4
    with pytest.raises(TaskError, match="the examples of task 'a' have input_ids and no labels"):
        problem_in_memory(classifier(), [ft.Task(name, rows, rows) for name in "ab"])


def test_a_model_that_can_save_itself_does(tmp_path: Path) -> None:
    problem = problem_in_memory(classifier(), [ft.Task(name, rows_of_tokens(0), rows_of_tokens(1)) for name in "ab"])
    problem.save(problem.model, tmp_path / "out")
    assert (tmp_path / "out" / "config.json").is_file()
