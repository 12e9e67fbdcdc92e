"""The embedded problem: scikit-learn's digits, three groups of classes, one small network.

A 64-32-32-10 tanh network is pretrained on 60 digits, and finetuned on about 300 of each group. The groups share one
head, so they interfere strongly: a network that learns one group forgets the others.
"""

import torch
from torch import Tensor, nn

from foretaste.loss.cross_entropy import CrossEntropy
from foretaste.metrics import METRICS
from foretaste.params import parameters_of
from foretaste.sources.problem import Problem, examples_digest
from foretaste.task import Rows, Task
from foretaste.train.finetune import finetune
from foretaste.train.training import Training

__all__ = ["digits"]

_GROUPS = {"low": (0, 1, 2, 3), "mid": (4, 5, 6), "high": (7, 8, 9)}
_PRETRAINING = 60
_PER_TASK = 300


def digits(seed: int = 0) -> Problem:
    """Make three tasks on handwritten digits: 0 to 3, 4 to 6, and 7 to 9.

    Args:
        seed: Seed of the split, the initial params and pretraining.

    >>> digits().names
    ['low', 'mid', 'high']
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = torch.tensor(bunch.data / 16.0, dtype=torch.float32), torch.tensor(bunch.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    images, labels = images[order], labels[order]
    first = Rows(images[:_PRETRAINING], labels[:_PRETRAINING])
    model = _pretrained(Task("pretraining", first, first, [METRICS["accuracy"]]), seed)
    tasks = tuple(
        _task(name, classes, images[_PRETRAINING:], labels[_PRETRAINING:]) for name, classes in _GROUPS.items()
    )
    facts = (
        ("architecture", "64-32-32-10 tanh network, pretrained on 60 digits"),
        ("data", "scikit-learn digits, 8 x 8 pixels"),
    )
    return Problem(model, tasks, facts)


def _task(name: str, classes: tuple[int, ...], images: Tensor, labels: Tensor) -> Task:
    chosen = torch.isin(labels, torch.tensor(classes))
    mine, classes_of_images = images[chosen], labels[chosen]
    train, validation = (
        Rows(mine[:_PER_TASK], classes_of_images[:_PER_TASK]),
        Rows(mine[_PER_TASK:], classes_of_images[_PER_TASK:]),
    )
    names = tuple(str(digit) for digit in classes)
    fingerprint = examples_digest([train, validation])
    return Task(
        name, train, validation, [METRICS["accuracy"]], fingerprint=fingerprint, classes=names, loss=CrossEntropy()
    )


def _pretrained(task: Task, seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
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
