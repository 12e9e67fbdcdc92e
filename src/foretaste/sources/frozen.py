"""Freezing: modules that keep their pretrained params, in training on one task and jointly."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import nn

from foretaste.errors import DataError, TaskError
from foretaste.params import Params, parameters_of, wide
from foretaste.sources.expert import Expert
from foretaste.sources.problem import Problem
from foretaste.task import Task

__all__ = ["freeze_modules"]

_MOST_NAMES = 12
_DEPTH = 3  # depth of the modules that an error lists


def freeze_modules(problem: Problem, names: Sequence[str]) -> Problem:
    """Freeze some modules of a problem's model, and return the problem whose tasks leave them as they are.

    Frozen parameters have no site, and all previews share them.

    Args:
        problem: The problem; the frozen parameters of its model no longer need a gradient.
        names: Names of modules or ends of names; ``*``, ``?`` and ``[0-3]`` mean what they do in file names.

    Raises:
        DataError: No module with parameters has such a name; the error has the field.
        TaskError: A task has nothing left to train.

    >>> from foretaste.sources.digits import digits
    >>> sorted(freeze_modules(digits(), ["0", "2"]).trained)
    ['4.bias', '4.weight']
    """
    model = problem.model
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    stay: set[str] = set()
    for ending in names:
        matching = [module for name, module in _modules(model).items() if fnmatchcase(f".{name}", f"*.{ending}")]
        if not matching:
            there = _list_names(list(_modules(model)))
            raise DataError(f"{ending!r} is the name of no module with parameters; there are {there}").at(
                "finetune", "freeze"
            )
        stay |= {own[id(parameter)] for module in matching for parameter in module.parameters()}
    left = {task.name: problem.names_of(task) - stay for task in problem.tasks}
    if empty := [task for task, trained in left.items() if not trained]:
        raise TaskError(f"task {empty[0]!r} has no parameters left to train; freeze less").at("finetune", "freeze")
    for name, parameter in model.named_parameters():
        if name in stay:
            parameter.requires_grad_(False)
    count = sum(parameter.numel() for name, parameter in model.named_parameters() if name in stay)
    return replace(
        problem,
        tasks=tuple(replace(task, names=left[task.name]) for task in problem.tasks),
        facts=(*problem.facts, ("frozen", f"{', '.join(names)}: {count:,} parameters")),
        read=partial(_read, problem.read, {task.name: task for task in problem.tasks}, frozenset(stay)),
        fresh=problem.fresh - stay,
    )


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module for name, module in model.named_modules() if name and next(module.parameters(), None) is not None
    }


def _list_names(names: Sequence[str]) -> str:
    """List a few names, those near the top of the model."""
    near = [name for name in names if name.count(".") < _DEPTH]
    return ", ".join(near[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _read(
    read: Callable[[nn.Module, Task, Expert], Params],
    tasks: Mapping[str, Task],
    stay: Collection[str],
    model: nn.Module,
    task: Task,
    expert: Expert,
) -> Params:
    """Read an expert's params, and check that the frozen ones are the pretrained model's."""
    params = read(model, tasks[task.name], expert)
    own = parameters_of(model, stay)
    moved = [
        name for name, tensor in own.items() if name in params and not torch.equal(params[name], wide(tensor).cpu())
    ]
    if moved:
        raise DataError(
            f"{expert.folder} was trained in parts that finetune.freeze leaves as they are: {_list_names(moved)}; "
            "freeze less, or let this study train the task"
        )
    return {name: tensor for name, tensor in params.items() if name not in stay}
