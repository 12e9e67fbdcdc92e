"""Several params of one model evaluated together: one reading of the data for all, small models in one stacked pass.

A stacked pass (`torch.func.vmap` over stacked params) pays where calling a model costs more than computing does, and it
is not taken on trust: on two examples it must say what the model says when it is lent each of two params. Where it does
not (an operation that cannot be stacked, a module that keeps its params elsewhere), the model is lent one params after
the other, batch by batch.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from foretaste.evaluate import Columns, Result, batches, evaluate, join_batches, predict_examples, result_of
from foretaste.metric_kinds import Predictions
from foretaste.params import Params, in_eval_mode, parameters_of, swapped, tensors_of
from foretaste.task import Batch, Examples, Task

__all__ = ["at_once", "evaluate_each", "predict_examples_of_each"]

_MOST = 64
_LARGEST = 4 << 20  # bytes of params: lending larger ones anew for every batch costs more than reading it
_HELD = 64 << 20  # bytes of params at once
_WORK = 1e11  # entries times examples: a few seconds
_STACKED = 1 << 19  # entries of params and activations in a pass: above, computing costs more than calling does
_AGREES = 1e-4  # float32; types with fewer digits get some units of their last place

_Pass = Callable[[Batch], tuple[Tensor, Tensor]]
_Tensors = MutableMapping[str, Any]  # a module's parameters or buffers


def at_once(model: nn.Module, tasks: Sequence[Task]) -> int:
    """How many params of this model are best evaluated together: 1 where they are not small.

    Args:
        model: With its params.
        tasks: Their validation examples count: together it is a few seconds' work.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> [at_once(nn.Linear(2, width), [Task("a", rows, rows, [METRICS["accuracy"]])]) for width in (2, 1 << 20)]
    [64, 1]
    """
    tensors = tensors_of(model).values()
    size, entries = sum(tensor.nbytes for tensor in tensors), sum(tensor.numel() for tensor in tensors)
    work = max(entries, 1) * sum(len(task.validation) for task in tasks)
    return 1 if size > _LARGEST else max(1, int(min(_MOST, _HELD / max(size, 1), _WORK / max(work, 1))))


def evaluate_each(
    model: nn.Module,
    many: Sequence[Params],
    tasks: Sequence[Task],
    *,
    batch_size: int = 128,
    on_batch: Callable[[], None] = lambda: None,
) -> list[dict[str, Result]]:
    """What `evaluate` says of each params, up to rounding; the model is left as it was.

    Args:
        model: The module the tasks predict with, on its own device.
        many: At least one.
        tasks: What to evaluate on; where one has a judge of models, params are evaluated one by one.
        batch_size: Examples per forward pass.
        on_batch: Called before each batch; may raise, to stop.

    Raises:
        ParamsError: Params of another model.
        TaskError: A metric that fails or is no number.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> straight, crossed = ({"weight": weight} for weight in (torch.eye(2), torch.eye(2).flip(0)))
    >>> results = evaluate_each(
    ...     nn.Linear(2, 2, bias=False), [straight, crossed], [Task("a", rows, rows, [METRICS["accuracy"]])]
    ... )
    >>> [results["a"].metrics["accuracy"] for results in results]
    [1.0, 0.0]
    """
    if len(many) == 1 or any(task.judged for task in tasks):
        return [evaluate(model, params, tasks, batch_size=batch_size) for params in many]
    with in_eval_mode(model):
        predictions = [
            predict_examples_of_each(model, many, task, task.validation, batch_size, on_batch=on_batch)
            for task in tasks
        ]
    return [
        {task.name: result_of(task, observed, task.metrics) for task, observed in zip(tasks, task_data, strict=True)}
        for task_data in zip(*predictions, strict=True)
    ]


def predict_examples_of_each(
    model: nn.Module,
    many: Sequence[Params],
    task: Task,
    examples: Examples,
    batch_size: int,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> list[Predictions]:
    """What the model says of these examples under each params: see `foretaste.evaluate.predict_examples`.

    Args:
        model: In evaluation mode, on its own device; it is left as it was.
        many: At least one.
        task: Predicts with the model; where it writes texts, it does so under one params after the other.
        examples: N of them, at least one.
        batch_size: Examples per forward pass.
        on_batch: Called before each batch; may raise, to stop.

    Raises:
        ParamsError: Params of another model.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> straight, crossed = ({"weight": weight} for weight in (torch.eye(2), torch.eye(2).flip(0)))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> layer = nn.Linear(2, 2, bias=False)
    >>> [
    ...     seen.predicted.flatten().tolist()
    ...     for seen in predict_examples_of_each(layer, [straight, crossed], task, rows, 2)
    ... ]
    [[0, 1], [1, 0]]
    """
    if len(many) == 1 or task.writes:
        return [_predict_under(model, params, task, examples, batch_size) for params in many]
    through = _choose_pass(model, many, task, examples, batch_size)
    device = next(model.parameters()).device
    order: list[int] = []
    parts: list[list[Columns]] = []
    for indices, batch_examples in batches(examples, batch_size):
        on_batch()
        batch = {key: tensor.to(device) for key, tensor in task.collate_all(batch_examples).items()}
        with torch.no_grad():
            unit_losses, guess = through(batch)
        shape = (len(indices), -1)
        labels, counts = (column.reshape(shape).cpu() for column in (batch["labels"], task.loss.counts(batch)))
        pairs = zip(unit_losses.cpu().double(), guess.cpu(), strict=True)
        parts.append([(losses.reshape(shape), predicted.reshape(shape), labels, counts) for losses, predicted in pairs])
        order += indices
    back = torch.tensor(order).argsort()
    return [join_batches(part, task.loss.padding, back, ()) for part in zip(*parts, strict=True)]


def _predict_under(model: nn.Module, params: Params, task: Task, examples: Examples, batch_size: int) -> Predictions:
    with swapped(model, params):
        return predict_examples(model, task, examples, batch_size)


def _choose_pass(model: nn.Module, many: Sequence[Params], task: Task, examples: Examples, batch_size: int) -> _Pass:
    """How a batch goes through the model under every params: stacked where that is quicker and says the same."""
    device = next(model.parameters()).device
    pair = task.batch(examples, [0, min(1, len(examples) - 1)], device)
    few = [many[0], many[-1]]
    one_by_one = _lend_modules(model, few, task)
    with torch.no_grad():
        truth, entries = _counted(model, lambda: one_by_one(pair), len(pair["labels"]))
        small = sum(tensor.numel() for tensor in many[0].values()) + entries / len(few) * batch_size <= _STACKED
        if small and _agrees(_stack_modules, model, few, task, pair, truth):
            return _stack_modules(model, many, task)
    return _lend_modules(model, many, task)


def _counted(
    model: nn.Module, work: Callable[[], tuple[Tensor, Tensor]], examples: int
) -> tuple[tuple[Tensor, Tensor], float]:
    """What the work gives, and how many entries the model's innermost modules put out for each example."""
    total = 0

    def count(module: nn.Module, args: object, output: object) -> None:
        nonlocal total
        total += output.numel() if isinstance(output, Tensor) else 0

    handles = [
        module.register_forward_hook(count) for module in model.modules() if next(module.children(), None) is None
    ]
    try:
        return work(), total / examples
    finally:
        for handle in handles:
            handle.remove()


def _agrees(
    way: Callable[[nn.Module, Sequence[Params], Task], _Pass],
    model: nn.Module,
    few: Sequence[Params],
    task: Task,
    batch: Batch,
    truth: tuple[Tensor, Tensor],
) -> bool:
    """Whether a way works for these params on this batch, and gives the same losses."""
    try:
        losses, _ = way(model, few, task)(batch)
    except Exception:  # whatever an operation that cannot be stacked raises
        return False
    expected, _ = truth
    tolerance = max(_AGREES, 4 * max(torch.finfo(tensor.dtype).eps for tensor in parameters_of(model).values()))
    return losses.shape == expected.shape and bool(torch.allclose(losses, expected, rtol=tolerance, atol=tolerance))


def _lend_modules(model: nn.Module, many: Sequence[Params], task: Task) -> _Pass:
    def through(batch: Batch) -> tuple[Tensor, Tensor]:
        results = []
        for params in many:
            with swapped(model, params):
                outputs = task.predict(model, batch)
            results.append((task.loss.per_unit(outputs, batch), task.loss.predict(outputs)))
        losses, guess = zip(*results, strict=True)
        return torch.stack(losses), torch.stack(guess)

    return through


def _stack_modules(model: nn.Module, many: Sequence[Params], task: Task) -> _Pass:
    parameters = dict(model.named_parameters()) | dict(model.named_buffers())
    stack = {name: torch.stack([params[name] for params in many]).to(parameters[name]) for name in many[0]}
    slots = list(_slots(model, {id(parameters[name]): name for name in stack}))

    def through(batch: Batch) -> tuple[Tensor, Tensor]:
        def one(params: dict[str, Tensor]) -> Tensor:
            with _in_place_of_its_own(slots, params):
                return task.predict(model, batch)

        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="There is a performance drop"
            )  # some operations are looped over inside
            outputs = vmap(one)(stack)
        flat, shape = outputs.flatten(0, 1), (*outputs.shape[:2], -1)
        unit_losses = task.loss.per_unit(flat, _Repeated(batch, len(many)))
        return unit_losses.reshape(shape), task.loss.predict(flat).reshape(shape)

    return through


@dataclass(frozen=True)
class _Repeated(Mapping[str, Tensor]):
    """A batch several times over; what the loss does not read is not copied."""

    batch: Batch
    times: int

    def __getitem__(self, key: str) -> Tensor:
        tensor = self.batch[key]
        return tensor.expand(self.times, *tensor.shape).flatten(0, 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch)

    def __len__(self) -> int:
        return len(self.batch)


def _slots(model: nn.Module, names: Mapping[int, str]) -> Iterator[tuple[_Tensors, str, str]]:
    """Where a module, visited once even if shared, holds one of these tensors: its own name, and the model's."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            yield from ((held, local, names[id(tensor)]) for local, tensor in held.items() if id(tensor) in names)


@contextmanager
def _in_place_of_its_own(slots: Sequence[tuple[_Tensors, str, str]], params: Params) -> Iterator[None]:
    """Make the model compute with these; `torch.func.functional_call` would leave some behind in shared modules."""
    before = [held[local] for held, local, _ in slots]
    try:
        for held, local, name in slots:
            held[local] = params[name]
        yield
    finally:
        for (held, local, _), tensor in zip(slots, before, strict=True):
            held[local] = tensor
