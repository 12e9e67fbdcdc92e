"""A model and tasks that a program has in memory: any module, a transformers model, or a model of PEFT.

Parameters that need no gradient are left as they are, as ``finetune.freeze`` does; so a PEFT model trains its adapter
alone. A task's examples may be mappings of tensors, pairs of inputs and labels, or rows of numbers such as tokenised
rows of `datasets`. If they have no ``inputs``, the model is called with their columns by name, as transformers models
are.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from foretaste.errors import TaskError
from foretaste.loss.class_labels import shift_labels
from foretaste.loss.cross_entropy import ClassLoss
from foretaste.one_line import one_line
from foretaste.params import parameters_of
from foretaste.sources.loop_batches import below_adapter, labels_are_next, predictor_for
from foretaste.sources.problem import Problem, save_tensors
from foretaste.task import Batch, Example, Task, predict_inputs

__all__ = ["NamedTensors", "describe_architecture", "problem_in_memory"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_HASH = 12
_PASSING = {"_name_or_path", "transformers_version", "dtype", "base_model_name_or_path", "peft_version"}
_PROBED = 4  # examples on which the two readings of labels are compared
_KINDS = (int, float, bool, list, tuple)


def problem_in_memory(model: nn.Module, tasks: Sequence[Task]) -> Problem:
    """Make a problem of a model and tasks in memory.

    Args:
        model: The pretrained model. Its params are left as they are, and it may be moved to the accelerator.
        tasks: The tasks.

    Raises:
        TaskError: No parameter needs a gradient, or a task's examples or labels do not suit the model.

    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> layers = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    >>> sorted(problem_in_memory(layers, [Task(name, rows, rows) for name in "ab"]).trained)
    ['1.bias', '1.weight']
    """
    everything = frozenset(parameters_of(model))
    trained = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    if not trained:
        raise TaskError("no parameter of the model needs a gradient, so there is nothing to train; unfreeze some")
    own = [_suit_model(_with_tensors(task), model) for task in tasks]
    if trained != everything:
        own = [replace(task, names=(task.names or everything) & trained) for task in own]
    if empty := [task.name for task in own if task.names is not None and not task.names]:
        raise TaskError(f"task {empty[0]!r} has no parameters left to train; unfreeze some of its own")
    return Problem(model, tuple(own), _describe(model, trained), _save if _saves_itself(model) else save_tensors)


def describe_architecture(model: nn.Module) -> str:
    """Name a model's class, with a hash of its layers and its configuration.

    >>> (
    ...     describe_architecture(nn.Tanh()).split()[0],
    ...     describe_architecture(nn.Tanh()) == describe_architecture(nn.ReLU()),
    ... )
    ('Tanh', False)
    """
    base = below_adapter(model)
    settings = [_settings(getattr(base, "config", None))]
    settings += [_settings(config) for config in dict(getattr(model, "peft_config", {})).values()]
    text = _ADDRESS.sub("", f"{model!r}{settings!r}")
    return f"{type(base).__name__} {hashlib.sha256(text.encode()).hexdigest()[:_HASH]}"


def _settings(config: object) -> list[tuple[str, str]]:
    """List the settings of a model of transformers or an adapter of PEFT, without names of places and versions."""
    to_dict = getattr(config, "to_dict", None)
    values = to_dict() if callable(to_dict) else {}
    return [
        (str(key), repr(sorted(map(str, value)) if isinstance(value, set) else value))
        for key, value in sorted(values.items())
        if key not in _PASSING
    ]


def _describe(model: nn.Module, trained: frozenset[str]) -> tuple[tuple[str, str], ...]:
    tensors = parameters_of(model)
    count, of_them = (sum(tensors[name].numel() for name in names) for names in (tensors, trained))
    facts = [("architecture", f"{type(below_adapter(model)).__name__}, {count:,} parameters"), ("model", "in memory")]
    return (*facts, *([("trained", f"{of_them:,} parameters")] if of_them < count else []))


@dataclass(frozen=True)
class NamedTensors:
    """Examples of any common form, read as mappings of tensors with ``labels``.

    Args:
        data: Pairs of inputs and labels, or mappings of tensors, numbers and lists of numbers; whatever else a row has,
            such as texts, is left out.

    >>> NamedTensors([{"input_ids": [1, 2], "text": "a b", "label": 1}])[0]
    {'input_ids': tensor([1, 2]), 'labels': tensor(1)}
    """

    data: Any

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int, /) -> Example:
        row = self.data[index]
        if isinstance(row, tuple | list) and len(row) == 2:
            row = {"inputs": row[0], "labels": row[1]}
        if not isinstance(row, Mapping):
            raise TaskError(f"an example is a {type(row).__name__}; give a mapping with 'labels', or (inputs, labels)")
        tensors = {str(name): tensor for name, value in row.items() if (tensor := _tensor(value)) is not None}
        if "labels" not in tensors and "label" in tensors:
            tensors["labels"] = tensors.pop("label")
        return tensors


def _tensor(value: object) -> Tensor | None:
    """Return a value as a tensor, or None if it holds no numbers."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, _KINDS) or hasattr(value, "__array__"):
        try:
            return torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            return None
    return None


def _with_tensors(task: Task) -> Task:
    """Return the task with examples that are mappings of tensors; those that are already stay as they are."""
    first = task.train[0]
    if isinstance(first, Mapping) and "labels" in first and all(isinstance(value, Tensor) for value in first.values()):
        return task
    return replace(task, train=NamedTensors(task.train), validation=NamedTensors(task.validation))


def _suit_model(task: Task, model: nn.Module) -> Task:
    """Return the task with a function that calls the model by the names of the examples' columns, if it needs one."""
    if task.predict is not predict_inputs:
        return task
    collate = _collate_tensors if task.collate is default_collate else task.collate
    count = min(len(task.train), _PROBED)
    batch = {
        key: tensor.to(next(model.parameters()).device)
        for key, tensor in collate([task.train[place] for place in range(count)]).items()
    }
    if "labels" not in batch:
        raise TaskError(f"the examples of task {task.name!r} have {', '.join(batch)} and no labels; add them")
    if "inputs" in batch:
        return replace(task, collate=collate)
    shift = isinstance(task.loss, ClassLoss) and labels_are_next(model, batch)
    return replace(task, predict=predictor_for(model, batch), collate=partial(_shift, collate) if shift else collate)


def _collate_tensors(examples: list[Example]) -> Batch:
    """Make a batch of examples, and say what to do if their lengths differ."""
    try:
        batch: Batch = default_collate(examples)
    except RuntimeError as error:
        raise TaskError(
            f"examples cannot be put into one batch ({error}); pad them to one length, or give the task a collate=..."
            " that does, such as a data collator of transformers"
        ) from error
    return batch


def _shift(collate: Callable[[list[Example]], Batch], examples: list[Example]) -> Batch:
    """Make a batch whose labels belong to the place before, as causal language models compare them."""
    batch = collate(examples)
    return {**batch, "labels": shift_labels(batch["labels"])}


def _saves_itself(model: nn.Module) -> bool:
    return callable(getattr(model, "save_pretrained", None))


def _save(model: nn.Module, folder: Path) -> None:
    """Write a checkpoint of a transformers model, or the adapter of a PEFT model."""
    write: Any = model
    write.save_pretrained(folder)
