"""The most memory that a training run will take, from what one pass keeps for its gradients.

A run holds the model, a copy, a gradient and the optimiser's moments of what it trains, and what the backward pass
needs: autograd's saved tensors, the outputs, and the gradients by them. The saved tensors of the longest examples are
counted in one forward pass, and grow with the examples of a batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foretaste.loss.unit import unit_factors
from foretaste.params import in_eval_mode, tensors_of
from foretaste.quantized import scales_of
from foretaste.sources.problem import Problem
from foretaste.task import Task

__all__ = ["training_memory"]

_ROWS = 2  # whose saved tensors are counted
_GRADIENTS = 2  # of the outputs' size: by the log-probabilities, and by the outputs
_MOMENTS = {"adamw": 2, "sgd": 1}


def training_memory(problem: Problem, batch_size: int, optimizer: str, *, recompute: bool = False) -> int:
    """Estimate the largest memory of a training run, in bytes; that of the program itself comes on top.

    Args:
        problem: Its model holds the params.
        batch_size: Examples in a backward pass.
        optimizer: Name of the optimiser: ``adamw`` or ``sgd``.
        recompute: Whether activations are computed again in the backward pass.

    >>> from foretaste.sources.digits import digits
    >>> training_memory(digits(), 32, "adamw") < training_memory(digits(), 320, "adamw")
    True
    """
    model = problem.model
    tensors = {**tensors_of(model), **scales_of(model)}
    trained = sum(tensor.nbytes for name, tensor in tensors.items() if name in problem.trained)
    largest = max(
        _bytes_of_an_example(model, task, problem.view.longest(task, _ROWS), recompute) for task in problem.tasks
    )
    numbers = 2 + _MOMENTS.get(optimizer, 2)  # a copy, its gradient, and moments
    return round(sum(tensor.nbytes for tensor in tensors.values()) + numbers * trained + batch_size * largest)


def _bytes_of_an_example(model: nn.Module, task: Task, longest: Sequence[int], recompute: bool) -> float:
    """Return what the longest examples of a task keep for the backward pass, a mean over them."""
    batch = task.batch(task.train, longest, next(model.parameters()).device)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with in_eval_mode(model), torch.random.fork_rng([]), torch.enable_grad():
        model.train(recompute)  # models compute again in training mode alone
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            outputs = task.predict(model, batch)
            count(outputs)  # a run holds them until its backward pass ends
            losses = task.loss.per_unit(outputs, batch).sum(1) * unit_factors(task.loss.counts(batch), task.unit)
    del losses
    return (sum(storages.values()) + _GRADIENTS * outputs.nbytes) / len(longest)
