"""The embedded problems: scikit-learn's digits, and one small network for three tasks.

Groups of classes: a 64-32-32-10 tanh network is pretrained on 60 digits, and finetuned on about 300 of each group. The
groups share one head, so they interfere strongly: a network that learns one group forgets the others.

Views: a 64-16-16-10 tanh network is pretrained on 300 upright digits, and finetuned on 300 others that are upright,
turned by 90 degrees, or flipped from left to right. It can read upright digits already, so equal weights waste a third
of the training on them.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import get_args

import torch
from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.loss.cross_entropy import CrossEntropy
from foretaste.metrics import METRICS
from foretaste.params import parameters_of
from foretaste.sources.plans import DigitsTasks
from foretaste.sources.problem import Problem, examples_digest
from foretaste.task import Rows, Task
from foretaste.train.finetune import finetune
from foretaste.train.training import Training

__all__ = ["digits"]

_GROUPS = {"low": (0, 1, 2, 3), "mid": (4, 5, 6), "high": (7, 8, 9)}
_VIEWS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "upright": lambda images: images,
    "turned": lambda images: torch.rot90(images, 1, (1, 2)),
    "flipped": lambda images: torch.flip(images, (2,)),
}
_WIDTH = {"groups": 32, "views": 16}  # units of each hidden layer
_PRETRAINING = {"groups": 60, "views": 300}  # digits that the network learns first
_PER_TASK = 300


def digits(seed: int = 0, tasks: DigitsTasks = "groups") -> Problem:
    """Make three tasks on handwritten digits.

    Args:
        seed: Seed of the split, the initial params and pretraining.
        tasks: ``groups`` of classes: 0 to 3, 4 to 6, and 7 to 9. Or ``views``: digits that are upright, turned by 90
            degrees, or flipped from left to right.

    Raises:
        DataError: Other tasks.

    >>> digits().names, digits(tasks="views").names
    (['low', 'mid', 'high'], ['upright', 'turned', 'flipped'])
    """
    if tasks not in get_args(DigitsTasks):
        raise DataError(f"the digits have no tasks {tasks!r}; write one of {', '.join(get_args(DigitsTasks))}")
    model, three = _pretrained_with_tasks(seed, tasks)
    width, count = _WIDTH[tasks], _PRETRAINING[tasks]
    facts = (
        ("architecture", f"64-{width}-{width}-10 tanh network, pretrained on {count} digits"),
        ("data", "scikit-learn digits, 8 x 8 pixels"),
    )
    return Problem(copy.deepcopy(model), three, facts)


@lru_cache(maxsize=8)  # a process that opens several studies pretrains once
def _pretrained_with_tasks(seed: int, tasks: DigitsTasks) -> tuple[nn.Module, tuple[Task, ...]]:
    images, labels = _shuffled(seed)
    count = _PRETRAINING[tasks]
    first = Rows(images[:count], labels[:count])
    model = _pretrained(Task("pretraining", first, first, [METRICS["accuracy"]]), _WIDTH[tasks], seed)
    make = _group_tasks if tasks == "groups" else _view_tasks
    return model, make(images[count:], labels[count:])


def _shuffled(seed: int) -> tuple[Tensor, Tensor]:
    """Return all digits in an order given by a seed: pixels from 0 to 1 [1797, 64], and labels [1797]."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = torch.tensor(bunch.data / 16.0, dtype=torch.float32), torch.tensor(bunch.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return images[order], labels[order]


def _group_tasks(images: Tensor, labels: Tensor) -> tuple[Task, ...]:
    chosen = {name: torch.isin(labels, torch.tensor(classes)) for name, classes in _GROUPS.items()}
    return tuple(_task(name, images[chosen[name]], labels[chosen[name]], _GROUPS[name]) for name in _GROUPS)


def _view_tasks(images: Tensor, labels: Tensor) -> tuple[Task, ...]:
    squares = images.reshape(-1, 8, 8)
    return tuple(_task(name, view(squares).flatten(1), labels, range(10)) for name, view in _VIEWS.items())


def _task(name: str, images: Tensor, labels: Tensor, classes: Iterable[int]) -> Task:
    train, validation = Rows(images[:_PER_TASK], labels[:_PER_TASK]), Rows(images[_PER_TASK:], labels[_PER_TASK:])
    names = tuple(str(digit) for digit in classes)
    fingerprint = examples_digest([train, validation])
    return Task(
        name, train, validation, [METRICS["accuracy"]], fingerprint=fingerprint, classes=names, loss=CrossEntropy()
    )


def _pretrained(task: Task, width: int, seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)
        model = nn.Sequential(*layers)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the number of threads must not change the bits, because studies hash the model's content
    training = Training(steps=100, batch_size=60, learning_rate=1e-2, decay="constant", seed=seed)
    try:
        params = finetune(model, None, task, training).params
    finally:
        torch.set_num_threads(threads)
    with torch.no_grad():
        for name, tensor in parameters_of(model).items():
            tensor.copy_(params[name])
    return model
