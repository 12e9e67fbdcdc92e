from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from checkpoints import Checkpoints
from foretaste.errors import DataError, TaskError
from foretaste.estimate.fisher import fisher
from foretaste.params import parameters_of, snapshot, tensors_of
from foretaste.sources.digits import digits
from foretaste.sources.expert import open_expert
from foretaste.sources.frozen import freeze_modules
from foretaste.sources.heads import Heads
from foretaste.sources.request import TaskRequest
from foretaste.sources.transformers import load
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.train.training import Training
from foretaste.weights import uniform

TRAINING = Training(steps=3, batch_size=4, learning_rate=0.05)


def test_runs_and_sites_leave_them_as_they_are() -> None:
    problem = freeze_modules(digits(), ["0"])
    before, trained = snapshot(parameters_of(problem.model)), {"2.weight", "2.bias", "4.weight", "4.bias"}
    assert problem.trained == trained
    runs = [
        finetune(problem.model, None, problem.tasks[0], TRAINING),
        joint(problem.model, None, problem.tasks, uniform(problem.names), TRAINING),
    ]
    for run in runs:
        assert set(run.params) == trained
        assert all(not torch.equal(run.params[name], before[name]) for name in trained)
    site = fisher(problem.model, runs[0].params, problem.tasks[0], generator=torch.Generator(), max_examples=8)
    assert set(site.center) == set(site.precision.to_tensors()) == trained
    assert torch.equal(problem.model.get_parameter("0.weight"), before["0.weight"])
    assert dict(problem.facts)["frozen"] == "0: 2,080 parameters"
    assert problem.base() == digits().base()


def test_names_are_ends_of_modules_names(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    def left(*names: str) -> set[str]:
        return set(
            freeze_modules(load(str(checkpoints.bert), "text-classification", plans[:2], max_length=16), names).trained
        )

    every = left("classifier") | {"classifier.weight", "classifier.bias"}
    assert every - left("embeddings") == {name for name in every if ".embeddings." in name}
    assert every - left("layer.[0-3]") == {name for name in every if ".layer.0." in name}
    assert every - left("encoder.layer.0.attention", "word_embeddings") == {
        name for name in every if ".layer.0.attention." in name or ".word_embeddings." in name
    }


def test_heads_of_their_own_stay_their_tasks(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    problem = freeze_modules(load(str(checkpoints.bert), "text-classification", plans, max_length=16), ["embeddings"])
    assert isinstance(problem.model, Heads)
    assert len({problem.names_of(task) for task in problem.tasks}) == 2
    assert not any(".embeddings." in name for name in problem.trained)
    assert problem.fresh <= problem.trained


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["layer.9"], "'layer.9' is the name of no module with parameters; there are 0, 2, 4"),
        (["1"], "'1' is the name of no module"),
    ],
)
def test_unknown_names_are_refused_with_those_that_there_are(names: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told) as found:
        freeze_modules(digits(), names)
    assert found.value.field == ("finetune", "freeze")


def test_something_must_be_left_to_train() -> None:
    with pytest.raises(TaskError, match="task 'low' has no parameters left to train"):
        freeze_modules(digits(), ["*"])


def test_experts_that_left_them_alone_are_welcome(tmp_path: Path) -> None:
    problem = freeze_modules(digits(), ["0"])
    tensors = snapshot(tensors_of(problem.model))
    save_file(tensors | {"4.bias": tensors["4.bias"] + 1}, tmp_path / "model.safetensors")
    found = problem.read(problem.model, problem.tasks[0], open_expert(tmp_path))
    assert set(found) == set(problem.trained)
    assert torch.equal(found["4.bias"], tensors["4.bias"] + 1)

    save_file(tensors | {"0.bias": tensors["0.bias"] + 1}, tmp_path / "model.safetensors")
    with pytest.raises(
        DataError, match=r"trained in parts that finetune\.freeze leaves as they are: 0\.bias; freeze less"
    ):
        problem.read(problem.model, problem.tasks[0], open_expert(tmp_path))


def test_tied_params_are_frozen_wherever_they_are() -> None:
    problem = digits()
    problem.model[4] = torch.nn.Linear(32, 32)  # type: ignore[operator]
    problem.model.get_submodule("4").weight = problem.model.get_parameter("2.weight")
    found = freeze_modules(replace(problem), ["4"])
    assert found.trained == {"0.weight", "0.bias", "2.bias"}
