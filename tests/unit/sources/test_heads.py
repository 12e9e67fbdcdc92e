from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from checkpoints import Checkpoints, parquet
from foretaste.metrics import METRICS
from foretaste.params import buffers_of, in_eval_mode, parameters_of
from foretaste.sources.heads import Heads
from foretaste.sources.problem import Problem
from foretaste.sources.request import TaskRequest
from foretaste.sources.transformers import load


@pytest.fixture
def heads(checkpoints: Checkpoints, plans: list[TaskRequest]) -> Problem:
    return load(str(checkpoints.bert), "text-classification", plans, head="private", max_length=16)


def batch_of(problem: Problem, wanted: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """A batch of (task, example) pairs."""
    return dict(problem.tasks[0].collate([problem.tasks[task].train[index] for task, index in wanted]))


def test_the_trunk_runs_once_for_all_heads(heads: Problem) -> None:
    assert isinstance(heads.model, Heads)
    calls: list[int] = []
    handle = heads.model.trunk.register_forward_hook(lambda *_: calls.append(1))
    heads.tasks[0].predict(heads.model, batch_of(heads, [(0, 0), (1, 0), (2, 0), (0, 1)]))
    assert calls == [1]
    heads.tasks[0].predict(heads.model, batch_of(heads, [(2, 0)]))
    assert calls == [1, 1]
    handle.remove()


def test_a_mixed_batch_is_its_parts(heads: Problem) -> None:
    """Also for the gradient: each example moves its own head and the trunk only."""
    predict = heads.tasks[0].predict
    wanted = [(0, 0), (2, 1), (1, 2), (2, 3), (0, 4)]
    with in_eval_mode(heads.model), torch.no_grad():
        mixed = predict(heads.model, batch_of(heads, wanted))
        for task in range(3):
            places = [place for place, (owner, _) in enumerate(wanted) if owner == task]
            alone = predict(heads.model, batch_of(heads, [wanted[place] for place in places]))
            torch.testing.assert_close(mixed[places], alone)
    predict(heads.model, batch_of(heads, [(0, 0), (2, 1)]))[0].sum().backward()  # type: ignore[no-untyped-call]
    touched = {
        name
        for name, parameter in heads.model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.any())
    }
    assert any(name.startswith("trunk.") for name in touched)
    assert {name.split(".")[1] for name in touched if name.startswith("heads.")} == {"for_a"}


def test_classes_that_a_head_lacks_are_impossible(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Their probability is 0, and no gradient comes from them."""
    plans = [
        TaskRequest(name, file, file, (METRICS["accuracy"],), {"image": "image"})
        for name, classes in (("few", 2), ("many", 5))
        for file in [str(parquet(tmp_path / f"{name}.parquet", 10, 1, [f"{name}{place}" for place in range(classes)]))]
    ]
    problem = load(str(checkpoints.mobilenet), "image-classification", plans)
    with in_eval_mode(problem.model):
        logits = problem.tasks[0].predict(problem.model, batch_of(problem, [(0, 0), (1, 0), (0, 1)]))
    assert logits.shape == (3, 5)
    chances = logits.softmax(1)
    assert bool((chances[[0, 2], 2:] == 0).all())
    assert bool((chances[1] > 0).all())
    assert bool(torch.isfinite(logits.log_softmax(1)).all())
    assert buffers_of(problem.model)
    assert all(name.startswith("trunk.") for name in buffers_of(problem.model))


def test_heads_that_change_the_trunk_s_output_in_place() -> None:
    """Each head gets a copy."""

    class Trunk(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
            return x + 1, "kept as it is"

    class Greedy(nn.Module):
        base_model_prefix = "body"

        def __init__(self) -> None:
            super().__init__()
            self.body = Trunk()

        def forward(self, x: torch.Tensor) -> transformers.utils.ModelOutput:
            return transformers.modeling_outputs.SequenceClassifierOutput(logits=self.body(x)[0].mul_(2))

    model = Heads({"a": Greedy(), "b": Greedy()}, [2, 2])
    x = torch.arange(4.0).reshape(2, 2)
    assert torch.equal(model(head=torch.tensor([0, 1]), x=x), 2 * (x + 1))
    assert model.once(x)[1] == "kept as it is"


def test_a_head_s_names_are_its_own_and_the_trunk_s(heads: Problem) -> None:
    assert isinstance(heads.model, Heads)
    names = {task.name: heads.model.names(task.name) for task in heads.tasks}
    assert names == {task.name: task.names for task in heads.tasks}
    assert frozenset.union(*names.values()) == set(parameters_of(heads.model))
    assert frozenset.intersection(*names.values()) == {
        name for name in parameters_of(heads.model) if name.startswith("trunk.")
    }


def test_every_head_is_saved_as_a_model_of_its_own(heads: Problem, tmp_path: Path) -> None:
    heads.save(heads.model, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c"]
    for place, name in enumerate("abc"):
        batch = batch_of(heads, [(place, 0), (place, 1)])
        with in_eval_mode(heads.model), torch.no_grad():
            expected = heads.tasks[place].predict(heads.model, batch)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / name)
        with torch.no_grad():
            found = model(**{key: tensor for key, tensor in batch.items() if key not in ("labels", "head")}).logits
        torch.testing.assert_close(found, expected[:, : found.shape[1]])
        assert set(model.config.id2label.values()) == set(heads.tasks[place].classes)
