"""The estimate of a training run's memory, against counts by hand."""

from pathlib import Path

import pytest
import torch
from torch import nn

from checkpoints import Checkpoints, table, translations
from foretaste.metrics import METRICS
from foretaste.sources.adapted import LoraPlan, add_lora
from foretaste.sources.language import load
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.problem import Problem
from foretaste.sources.recompute import recompute_activations
from foretaste.sources.request import FLOAT32, Format, TaskRequest
from foretaste.task import Rows, Task
from foretaste.workflow.peak_memory import training_memory

WIDTH, HIDDEN, CLASSES = 5, 7, 3


def network() -> Problem:
    rows = Rows(torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(0)), torch.arange(9) % CLASSES)
    tasks = tuple(Task(name, rows, rows, [METRICS["accuracy"]]) for name in "ab")
    return Problem(nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES)), tasks)


@pytest.mark.parametrize(("optimizer", "numbers"), [("adamw", 5), ("sgd", 4)])
def test_params_gradients_and_moments_are_counted(optimizer: str, numbers: int) -> None:
    """The model, and of every trained param a copy, a gradient and the moments."""
    params = (WIDTH + 1) * HIDDEN + (HIDDEN + 1) * CLASSES
    assert training_memory(network(), 0, optimizer) == 4 * numbers * params


def test_an_example_keeps_its_inputs_its_activations_and_what_its_loss_needs() -> None:
    problem = network()
    one = training_memory(problem, 1, "adamw") - training_memory(problem, 0, "adamw")
    assert training_memory(problem, 9, "adamw") - training_memory(problem, 8, "adamw") == pytest.approx(one, abs=1)
    least = 4 * (WIDTH + HIDDEN + 4 * CLASSES)  # inputs, activations, log-probabilities, outputs, and two gradients
    assert least <= one <= least + 4 * (2 * CLASSES + 8)  # labels and their masks


def language(folder: Path, checkpoint: Path, form: Format = FLOAT32) -> Problem:
    files = {task: str(table(folder / f"{task}.jsonl", translations(9, seed, 1))) for seed, task in enumerate("ab")}
    columns = {"prompt": "source", "completion": "target"}
    plans = [TaskRequest(task, file, file, metrics_named(["perplexity"]), columns) for task, file in files.items()]
    problem = load(str(checkpoint), "causal-lm", plans, max_length=32, form=form)
    return add_lora(problem, LoraPlan(r=2, targets=["q_proj"]))


def test_activations_that_are_computed_again_are_not_counted(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = language(tmp_path, checkpoints.llama)
    before = training_memory(problem, 8, "adamw")
    recompute_activations(problem.model)
    assert training_memory(problem, 8, "adamw", recompute=True) < before


def test_weights_of_few_bits_take_less(checkpoints: Checkpoints, tmp_path: Path) -> None:
    sizes = [
        training_memory(language(tmp_path, checkpoints.llama, form), 0, "adamw")
        for form in (FLOAT32, Format("float32", None, "int8"))
    ]
    assert sizes[1] < sizes[0]


def test_the_model_is_left_as_it_was(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = language(tmp_path, checkpoints.llama)
    recompute_activations(problem.model)
    modes = [module.training for module in problem.model.modules()]
    state = torch.get_rng_state()
    training_memory(problem, 8, "adamw", recompute=True)
    assert [module.training for module in problem.model.modules()] == modes
    assert all(parameter.grad is None for parameter in problem.model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_longest_rows_are_counted(checkpoints: Checkpoints, tmp_path: Path) -> None:
    short = [{"source": "good", "target": "good"}] * 4
    long = [
        *short,
        {"source": "good bad " * 5, "target": "bad good " * 5},
        {"source": "good bad " * 5, "target": "bad " * 9},
    ]
    sizes = []
    for name, rows in (("short", short), ("long", long)):
        file = str(table(tmp_path / f"{name}.jsonl", rows))
        columns = {"prompt": "source", "completion": "target"}
        plans = [TaskRequest(task, file, file, metrics_named(["perplexity"]), columns) for task in "ab"]
        problem = load(str(checkpoints.llama), "causal-lm", plans, max_length=32)
        sizes.append(training_memory(problem, 1, "adamw") - training_memory(problem, 0, "adamw"))
    assert sizes[1] > 3 * sizes[0]
