"""The exact weighted sum of LoRA adapters, and its best approximation of a lower rank.

A sum of updates ``s B A`` is one update again, of the factors side by side; its rank is the sum of the ranks:

    sum_t alpha_t s_t B_t A_t = [alpha_1 s_1 B_1, alpha_2 s_2 B_2, ...] [A_1; A_2; ...]

Averaging the A and the B apart is another thing: ``(sum_t a_t B_t)(sum_t a_t A_t)`` has products of different tasks.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from foretaste.errors import ParamsError, WeightsError
from foretaste.lora import BASE_LAYER, MODEL, WEIGHT, Adapter, Factors, delta, misfits
from foretaste.one_line import one_line
from foretaste.params import Params, average, first_nonfinite, shape_of, wide
from foretaste.weights import TaskWeights

__all__ = ["REDUCTION_ERROR", "Combination", "Reduction", "add_factors", "combine", "reduce_rank"]

REDUCTION_ERROR = "relative error of the reduction"  # how files and reports name it

_GIVE_BASE = "give the model that they were trained on, whose weight counts there, or name the tensor as private"


@dataclass(frozen=True, eq=False)
class Combination:
    """A weighted sum of adapters.

    Args:
        weights: Over the adapters' tasks.
        adapter: The sum; with a single task of weight 1 that task's adapter itself.
        errors: Relative Frobenius error of the reduction ``||W - W_k|| / ||W||`` by module; 0 where nothing was
            reduced.
        error: The share that is lost over all modules together.
        left_out: Full tensors that were not averaged, since tasks lack them, have other shapes, or keep them private.
    """

    weights: TaskWeights
    adapter: Adapter
    errors: Mapping[str, float]
    error: float
    left_out: tuple[str, ...]

    __repr__ = one_line


def combine(
    adapters: Mapping[str, Adapter],
    weights: TaskWeights,
    *,
    rank: int | Mapping[str, int] | None = None,
    private: Collection[str] = (),
    base: Params | None = None,
) -> Combination:
    """The weighted sum of adapters: exact, or reduced to a rank with its error.

    The result's scaling is 1, and its numbers are in float32 or wider. A task of weight 0 is left out, a module that an
    adapter does not change counts as zero there. Full tensors are averaged as the weights that each task's model has:
    its own, else the base's, else the base's with the task's factors added.

    Args:
        adapters: By task.
        weights: Over these tasks.
        rank: None is exact. A number is the largest rank of every module, a mapping of the modules it names; the best
            approximation (Eckart and Young, 1936) is found without the dense matrix.
        private: Names of full tensors that travel with their tasks and are not averaged.
        base: Tensors of the model that all adapters were trained on, by the adapters' names; needed for full tensors
            that only some tasks have. One that the base lacks is a task's own head, and is not averaged.

    Raises:
        WeightsError: Other tasks in the weights than in the adapters.
        ParamsError: Shapes that differ, NaN or infinity, a rank below 1 or of a module that no adapter has; or a full
            tensor that only some tasks have, and no base.

    >>> first = Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})
    >>> second = Adapter({"q": Factors(torch.ones(2, 3), torch.ones(2, 2), alpha=4)})
    >>> combined = combine({"a": first, "b": second}, TaskWeights(["a", "b"], [0.5, 0.5]))
    >>> combined.adapter.modules["q"].rank, combined.adapter.modules["q"].scaling, delta(combined.adapter, "q")[0]
    (3, 1.0, tensor([2.5000, 2.5000, 2.5000]))
    """
    if set(adapters) != set(weights):
        raise WeightsError(
            f"weights are for {', '.join(weights)}, adapters for {', '.join(adapters)}; give one weight per adapter"
        )
    weighing = [task for task in adapters if weights[task] != 0] if weights.corner is None else [weights.corner]
    if faults := misfits({task: adapters[task] for task in weighing}):
        raise ParamsError("\n".join(faults))
    parts = [(weights[task], adapters[task]) for task in weighing]
    summed = (
        parts[0][1]
        if weights.corner is not None
        else _sum(weights, {task: adapters[task] for task in weighing}, private, base)
    )
    left_out = tuple(sorted({name for _, adapter in parts for name in adapter.full} - set(summed.full)))
    if rank is None:
        return Combination(weights, summed, dict.fromkeys(summed.modules, 0.0), 0.0, left_out)
    ranks = dict.fromkeys(summed.modules, rank) if isinstance(rank, int) else rank
    if strange := sorted(set(ranks) - {name for adapter in adapters.values() for name in adapter.modules}):
        raise ParamsError(
            f"a rank is given for {', '.join(strange)}, which no adapter changes; it changes"
            f" {', '.join(summed.modules)}"
        )
    reductions = {name: reduce_rank(factors, ranks.get(name, factors.rank)) for name, factors in summed.modules.items()}
    lost, norm = (
        math.hypot(*(reduction.lost for reduction in reductions.values())),
        math.hypot(*(reduction.norm for reduction in reductions.values())),
    )
    smaller = Adapter({name: reduction.factors for name, reduction in reductions.items()}, summed.full, summed.config)
    errors = {name: _share(reduction.lost, reduction.norm) for name, reduction in reductions.items()}
    return Combination(weights, smaller, errors, _share(lost, norm), left_out)


def _share(lost: float, norm: float) -> float:
    return lost / norm if norm else 0.0


def _sum(
    weights: TaskWeights, adapters: Mapping[str, Adapter], private: Collection[str], base: Params | None
) -> Adapter:
    whole = {name.removesuffix(WEIGHT) for adapter in adapters.values() for name in adapter.full} - set(private)
    factors = {task: _with_dense_modules(task, adapter, whole, base) for task, adapter in adapters.items()}
    parts = [(weights[task], adapter) for task, adapter in factors.items()]
    names = dict.fromkeys(name for _, adapter in parts for name in adapter.modules)
    modules = {
        name: add_factors([(weight, adapter.modules[name]) for weight, adapter in parts if name in adapter.modules])
        for name in names
    }
    full = _average_full(weights, {task: adapter.full for task, adapter in factors.items()}, private, base)
    return Adapter(modules, full, _common([adapter.config for _, adapter in parts]))


def _with_dense_modules(task: str, adapter: Adapter, whole: Collection[str], base: Params | None) -> Adapter:
    """The adapter, with factors turned into a full weight ``W + s B A`` where another adapter has the module whole."""
    dense = [name for name in adapter.modules if name in whole]
    if not dense:
        return adapter
    full = {name: adapter.full[name] for name in adapter.full if name.removesuffix(BASE_LAYER) not in dense}
    for module in dense:
        name = module + WEIGHT
        if f"{module}{BASE_LAYER}" in adapter.full:
            weight = wide(adapter.full[f"{module}{BASE_LAYER}"])
        elif base is not None and name in base:
            weight = wide(base[name])
        else:
            raise ParamsError(f"task {task!r} has factors of {module}, which another task has whole; {_GIVE_BASE}")
        square = weight.shape == weight.shape[::-1]
        turned = adapter.fan_in_fan_out if square else delta(adapter, module).shape != weight.shape
        full[name] = weight + delta(adapter, module, transposed=turned)
    return replace(
        adapter, modules={name: factors for name, factors in adapter.modules.items() if name not in dense}, full=full
    )


def _common(configs: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What all say; of what the model is, what any says."""
    common = {
        key: value
        for key, value in configs[0].items()
        if all(key in other and other[key] == value for other in configs)
    }
    for key in ("fan_in_fan_out", "auto_mapping", *MODEL):
        value = [config[key] for config in configs if config.get(key)]
        common |= {key: value[0]} if value else {}
    return common


def add_factors(parts: Sequence[tuple[float, Factors]]) -> Factors:
    """The weighted sum of updates: factors side by side, every weight and scaling within B, each entry rounded once.

    Args:
        parts: Pairs of a weight and a module's factors, at least one.

    >>> one = Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)
    >>> add_factors([(0.5, one), (0.5, one)]).b
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    dtype = reduce(
        torch.promote_types, [tensor.dtype for _, factors in parts for tensor in (factors.a, factors.b)], torch.float32
    )
    a = torch.cat([factors.a.to(dtype) for _, factors in parts])
    b = torch.cat([(factors.b.double() * (weight * factors.scaling)).to(dtype) for weight, factors in parts], dim=1)
    return Factors(a, b, alpha=a.shape[0], layout=parts[0][1].layout)


def _average_full(
    weights: TaskWeights, full: Mapping[str, Params], private: Collection[str], base: Params | None
) -> dict[str, Tensor]:
    averages: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for params in full.values() for name in params):
        tensors = None if name in private else _tensors_by_task(name, full, base)
        if tensors is None:
            continue
        dtype = reduce(torch.promote_types, [tensor.dtype for tensor in tensors.values()])
        pairs = [(weights[task], tensor.to(dtype)) for task, tensor in tensors.items()]
        averages[name] = pairs[0][1] if all(tensor.equal(pairs[0][1]) for _, tensor in pairs) else average(pairs)
    if (broken := first_nonfinite(averages)) is not None:
        raise ParamsError(f"{broken} holds NaN or infinity; train that adapter again, or take one saved before")
    return averages


def _tensors_by_task(name: str, full: Mapping[str, Params], base: Params | None) -> dict[str, Tensor] | None:
    """A full tensor as each task's model has it; None where it is not averaged, because it is some task's own head.

    Raises:
        ParamsError: A task does not have it, and the base is not known; or it has the base's name and another shape.
    """
    lacking = [task for task, params in full.items() if name not in params]
    plain = name.replace(BASE_LAYER, WEIGHT)
    shapes = {shape_of(params, name) for params in full.values() if name in params}
    if base is None or plain not in base:
        if len(shapes) == 1 and not lacking:
            return {task: params[name] for task, params in full.items()}
        if base is None and lacking and plain == name:
            raise ParamsError(f"task {lacking[0]!r} does not have {name}, which other tasks have whole; {_GIVE_BASE}")
        return None
    if len(shapes | {shape_of(base, plain)}) > 1:
        listing = " and ".join(str(list(shape)) for shape in sorted(shapes))
        raise ParamsError(
            f"{name} is {listing} in the adapters and {list(shape_of(base, plain))} in the base; use adapters of one"
            " vocabulary"
        )
    return {task: params[name] if name in params else base[plain] for task, params in full.items()}


@dataclass(frozen=True, eq=False)
class Reduction:
    """Factors of a lower rank, what was lost, and the norm of what there was (Frobenius, scaling included)."""

    factors: Factors
    lost: float
    norm: float

    __repr__ = one_line


def reduce_rank(factors: Factors, rank: int) -> Reduction:
    """The best approximation of an update by one of a lower rank; with its rank or more, the factors themselves.

    ``B A = Q_B (R_B R_A') Q_A'`` by QR of the two factors; the singular values of the small matrix are the product's.

    Args:
        factors: The factors.
        rank: At least 1.

    Raises:
        ParamsError: A rank below 1.

    >>> twice = Factors(torch.eye(2), torch.diag(torch.tensor([4.0, 3.0])), alpha=2)
    >>> reduction = reduce_rank(twice, 1)
    >>> reduction.factors.rank, round(reduction.lost, 6), round(reduction.norm, 6)
    (1, 3.0, 5.0)
    """
    if rank < 1:
        raise ParamsError(f"a rank must be at least 1, not {rank}")
    a, b = factors.a.flatten(1).double(), factors.b.flatten(1).double()
    q_a, r_a = torch.linalg.qr(a.T)
    q_b, r_b = torch.linalg.qr(b)
    left, values, right = torch.linalg.svd(factors.scaling * r_b @ r_a.T)
    norm = float(values.square().sum().sqrt())
    if rank >= factors.rank:
        return Reduction(factors, 0.0, norm)
    roots, lost = values[:rank].sqrt(), float(values[rank:].square().sum().sqrt())
    count, dtype = len(roots), torch.promote_types(wide(factors.a).dtype, factors.b.dtype)
    small_a = (roots[:, None] * (right[:count] @ q_a.T)).to(dtype).reshape(count, *factors.a.shape[1:])
    small_b = (q_b @ left[:, :count] * roots).to(dtype).reshape(len(b), count, *factors.b.shape[2:])
    return Reduction(Factors(small_a, small_b, alpha=count, layout=factors.layout), lost, norm)
