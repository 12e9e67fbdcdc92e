"""LoRA adapters and their exact weighted sum.

An adapter changes a module's weight by ``s B A``, a product of two thin factors and its scaling. A sum of such
products is one product again, of the factors side by side; its rank is the sum of the ranks:

    sum_t alpha_t s_t B_t A_t = [alpha_1 s_1 B_1, alpha_2 s_2 B_2, ...] [A_1; A_2; ...]

Averaging the A and the B apart is another thing: ``(sum_t a_t B_t)(sum_t a_t A_t)`` has products of different tasks.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
    A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, Kalajdzievski, 2023, https://arxiv.org/abs/2312.03732
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from foretaste.errors import ParamsError, WeightsError
from foretaste.params import Params, average, first_nonfinite, shape_of, wide
from foretaste.weights import TaskWeights

__all__ = ["Adapter", "Combination", "Factors", "Layout", "Reduced", "combine", "delta", "misfits", "reduced"]

Layout = Literal["linear", "embedding", "convolution"]

_MODEL = ("base_model_name_or_path", "revision", "task_type")  # of the configuration: what it was trained on


@dataclass(frozen=True, eq=False)
class Factors:
    """A module's update ``s B A``, with ``s = alpha / r``, or ``alpha / sqrt(r)`` when rank-stabilised.

    Args:
        a: ``[r, in]``; of an embedding ``[r, rows]``; of a convolution ``[r, in, *kernel]``.
        b: ``[out, r]``; of a convolution ``[out, r, *ones]``.
        alpha: Numerator of the scaling.
        stabilised: Whether the scaling is rsLoRA's.
        layout: What kind of module it is.

    Raises:
        ParamsError: Shapes that do not go together.

    >>> Factors(torch.ones(4, 3), torch.ones(2, 4), alpha=8).scaling
    2.0
    >>> Factors(torch.ones(4, 3), torch.ones(2, 4), alpha=8, stabilised=True).scaling
    4.0
    """

    a: Tensor
    b: Tensor
    alpha: float
    stabilised: bool = False
    layout: Layout = "linear"

    def __post_init__(self) -> None:
        sides = 2 if self.layout != "convolution" else max(self.a.ndim, 3)
        if self.a.ndim != sides or self.b.ndim != sides or self.b.shape[1:] != (self.rank, *[1] * (sides - 2)) or not self.rank:
            raise ParamsError(f"factors of shapes {list(self.a.shape)} and {list(self.b.shape)} make no update ({self.layout})")

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.a.shape[0]

    @property
    def scaling(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.stabilised else self.rank)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the update: ``[out, in]``, an embedding's ``[rows, dim]``, a convolution's ``[out, in, *kernel]``."""
        out, rest = self.b.shape[0], tuple(self.a.shape[1:])
        return (*rest, out) if self.layout == "embedding" else (out, *rest)


@dataclass(frozen=True, eq=False)
class Adapter:
    """What finetuning by LoRA made of a model.

    Args:
        modules: Factors by the module's name in the model.
        full: Whole new tensors by name (PEFT's ``modules_to_save``, for example a classification head); may be file-backed.
        config: PEFT's configuration, as far as it is not said by the factors.
    """

    modules: Mapping[str, Factors]
    full: Params = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)

    def with_full(self, full: Params) -> "Adapter":
        """The same with other full tensors beside its own, for example one task's head for a sum of adapters.

        >>> sorted(Adapter({}, {"a": torch.ones(1)}).with_full({"b": torch.ones(1)}).full)
        ['a', 'b']
        """
        return replace(self, full={name: params[name] for params in (self.full, full) for name in params})

    @property
    def base(self) -> str | None:
        """The name of the model it was trained on."""
        found = self.config.get("base_model_name_or_path")
        return str(found) if found else None

    @property
    def fan_in_fan_out(self) -> bool:
        """Whether the configuration says that weights are ``[in, out]``, as in GPT-2; a note, as it is one for all modules."""
        return bool(self.config.get("fan_in_fan_out"))


@dataclass(frozen=True, eq=False)
class Combination:
    """A weighted sum of adapters.

    Args:
        weights: Over the adapters' tasks.
        adapter: The sum; with a single task of weight 1 that task's adapter itself.
        errors: Relative Frobenius error of the reduction ``||W - W_k|| / ||W||`` by module; 0 where nothing was reduced.
        error: The same of all modules together.
        left_out: Full tensors that were not averaged, since tasks lack them, have other shapes, or keep them private.
    """

    weights: TaskWeights
    adapter: Adapter
    errors: Mapping[str, float]
    error: float
    left_out: tuple[str, ...]


def delta(adapter: Adapter, module: str, *, transposed: bool = False) -> Tensor:
    """The dense update ``s B A`` of a module's weight, in float32 or wider.

    An adapter acts on its module alone. Where weights are tied (the output layer to the embeddings), untie them before adding this.

    Args:
        adapter: Has the module.
        module: Its name.
        transposed: For layers that keep ``[in, out]``, as transformers' Conv1D in GPT-2 does.

    Returns:
        ``[out, in]``, an embedding's ``[rows, dim]``, a convolution's ``[out, in, *kernel]``.

    Raises:
        ParamsError: The adapter does not change this module.

    >>> factors = Factors(torch.ones(1, 3), torch.tensor([[1.0], [2.0]]), alpha=2)
    >>> delta(Adapter({"q": factors}), "q")
    tensor([[2., 2., 2.],
            [4., 4., 4.]])
    """
    if module not in adapter.modules:
        raise ParamsError(f"the adapter does not change {module!r}; it has {', '.join(adapter.modules)}")
    own = adapter.modules[module]
    dtype = torch.promote_types(wide(own.a).dtype, own.b.dtype)
    found = own.b.flatten(1).to(dtype) @ own.a.flatten(1).to(dtype) * own.scaling
    if own.layout == "embedding":
        return found.T
    return found.T if transposed and own.layout == "linear" else found.reshape(own.shape)


def combine(
    adapters: Mapping[str, Adapter],
    weights: TaskWeights,
    *,
    rank: int | Mapping[str, int] | None = None,
    private: Collection[str] = (),
) -> Combination:
    """The weighted sum of adapters: exact, or reduced to a rank with its error.

    The result's scaling is 1, and its numbers are in float32 or wider. A task of weight 0 is left out, a module that an adapter
    does not change counts as zero there. Full tensors are averaged where every task that weighs has them in one shape.

    Args:
        adapters: By task.
        weights: Over these tasks.
        rank: None is exact. A number is the largest rank of every module, a mapping of the modules it names; the best
            approximation (Eckart and Young, 1936) is found without the dense matrix.
        private: Names of full tensors that travel with their tasks and are not averaged.

    Raises:
        WeightsError: Other tasks in the weights than in the adapters.
        ParamsError: Shapes that differ, NaN or infinity, a rank below 1 or of a module that no adapter has.

    >>> one = Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})
    >>> two = Adapter({"q": Factors(torch.ones(2, 3), torch.ones(2, 2), alpha=4)})
    >>> found = combine({"a": one, "b": two}, TaskWeights(["a", "b"], [0.5, 0.5]))
    >>> found.adapter.modules["q"].rank, found.adapter.modules["q"].scaling, delta(found.adapter, "q")[0]
    (3, 1.0, tensor([2.5000, 2.5000, 2.5000]))
    """
    if set(adapters) != set(weights):
        raise WeightsError(f"weights are for {', '.join(weights)}, adapters for {', '.join(adapters)}; give one weight per adapter")
    weighing = [task for task in adapters if weights[task] != 0] if weights.corner is None else [weights.corner]
    if faults := misfits({task: adapters[task] for task in weighing}):
        raise ParamsError("\n".join(faults))
    parts = [(weights[task], adapters[task]) for task in weighing]
    summed = parts[0][1] if weights.corner is not None else _sum(parts, private)
    left_out = tuple(sorted({name for _, adapter in parts for name in adapter.full} - set(summed.full)))
    if rank is None:
        return Combination(weights, summed, dict.fromkeys(summed.modules, 0.0), 0.0, left_out)
    ranks = dict.fromkeys(summed.modules, rank) if isinstance(rank, int) else rank
    if strange := sorted(set(ranks) - {name for adapter in adapters.values() for name in adapter.modules}):
        raise ParamsError(f"a rank is given for {', '.join(strange)}, which no adapter changes; it changes {', '.join(summed.modules)}")
    made = {name: reduced(own, ranks.get(name, own.rank)) for name, own in summed.modules.items()}
    lost, norm = math.hypot(*(each.lost for each in made.values())), math.hypot(*(each.norm for each in made.values()))
    smaller = Adapter({name: each.factors for name, each in made.items()}, summed.full, summed.config)
    errors = {name: _share(each.lost, each.norm) for name, each in made.items()}
    return Combination(weights, smaller, errors, _share(lost, norm), left_out)


def _share(lost: float, norm: float) -> float:
    return lost / norm if norm else 0.0


def _sum(parts: Sequence[tuple[float, Adapter]], private: Collection[str]) -> Adapter:
    names = dict.fromkeys(name for _, adapter in parts for name in adapter.modules)
    modules = {name: _beside([(weight, adapter.modules[name]) for weight, adapter in parts if name in adapter.modules]) for name in names}
    full = _averaged([(weight, adapter.full) for weight, adapter in parts], private)
    return Adapter(modules, full, _common([adapter.config for _, adapter in parts]))


def _common(configs: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What all say; of what the model is, what any says."""
    found = {key: said for key, said in configs[0].items() if all(key in other and other[key] == said for other in configs)}
    for key in ("fan_in_fan_out", "auto_mapping", *_MODEL):
        said = [config[key] for config in configs if config.get(key)]
        found |= {key: said[0]} if said else {}
    return found


def _beside(parts: Sequence[tuple[float, Factors]]) -> Factors:
    """The factors side by side, every weight and scaling within B, each entry rounded once."""
    dtype = reduce(torch.promote_types, [tensor.dtype for _, own in parts for tensor in (own.a, own.b)], torch.float32)
    a = torch.cat([own.a.to(dtype) for _, own in parts])
    b = torch.cat([(own.b.double() * (weight * own.scaling)).to(dtype) for weight, own in parts], dim=1)
    return Factors(a, b, alpha=a.shape[0], layout=parts[0][1].layout)


def _averaged(parts: Sequence[tuple[float, Params]], private: Collection[str]) -> dict[str, Tensor]:
    found = {}
    for name in parts[0][1]:
        everywhere = all(name in full and shape_of(full, name) == shape_of(parts[0][1], name) for _, full in parts)
        if everywhere and name not in private:
            tensors = [full[name] for _, full in parts]
            dtype = reduce(torch.promote_types, [tensor.dtype for tensor in tensors])
            pairs = [(weight, tensor.to(dtype)) for (weight, _), tensor in zip(parts, tensors, strict=True)]
            found[name] = pairs[0][1] if all(tensor.equal(pairs[0][1]) for _, tensor in pairs) else average(pairs)
    if (broken := first_nonfinite(found)) is not None:
        raise ParamsError(f"{broken} holds NaN or infinity; train that adapter again, or take one saved before")
    return found


@dataclass(frozen=True, eq=False)
class Reduced:
    """Factors of a lower rank, what was lost, and the norm of what there was (Frobenius, scaling included)."""

    factors: Factors
    lost: float
    norm: float


def reduced(own: Factors, rank: int) -> Reduced:
    """The best approximation of an update by one of a lower rank; with its rank or more, the factors themselves.

    ``B A = Q_B (R_B R_A') Q_A'`` by QR of the two factors; the singular values of the small matrix are the product's.

    Args:
        own: The factors.
        rank: At least 1.

    Raises:
        ParamsError: A rank below 1.

    >>> twice = Factors(torch.eye(2), torch.diag(torch.tensor([4.0, 3.0])), alpha=2)
    >>> found = reduced(twice, 1)
    >>> found.factors.rank, round(found.lost, 6), round(found.norm, 6)
    (1, 3.0, 5.0)
    """
    if rank < 1:
        raise ParamsError(f"a rank must be at least 1, not {rank}")
    a, b = own.a.flatten(1).double(), own.b.flatten(1).double()
    q_a, r_a = torch.linalg.qr(a.T)
    q_b, r_b = torch.linalg.qr(b)
    left, values, right = torch.linalg.svd(own.scaling * r_b @ r_a.T)
    norm = float(values.square().sum().sqrt())
    if rank >= own.rank:
        return Reduced(own, 0.0, norm)
    kept, lost = values[:rank].sqrt(), float(values[rank:].square().sum().sqrt())
    count, dtype = len(kept), torch.promote_types(wide(own.a).dtype, own.b.dtype)
    small_a = (kept[:, None] * (right[:count] @ q_a.T)).to(dtype).reshape(count, *own.a.shape[1:])
    small_b = (q_b @ left[:, :count] * kept).to(dtype).reshape(len(b), count, *own.b.shape[2:])
    return Reduced(Factors(small_a, small_b, alpha=count, layout=own.layout), lost, norm)


def misfits(adapters: Mapping[str, Adapter]) -> list[str]:
    """What is in the way of adding adapters up: another model, shapes that differ, NaN or infinity in the factors.

    >>> one = Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})
    >>> two = Adapter({"q": Factors(torch.ones(1, 4), torch.ones(2, 1), alpha=1)})
    >>> misfits({"a": one, "b": two})
    ["task 'b': q is [2, 4] (linear), in task 'a' [2, 3] (linear); use adapters of one model"]
    """
    faults: list[str] = []
    first: dict[str, tuple[str, Factors]] = {}
    models: dict[str, tuple[str, object]] = {}
    for task, adapter in adapters.items():
        for key in (key for key in _MODEL if adapter.config.get(key)):
            whose, said = models.setdefault(key, (task, adapter.config[key]))
            if adapter.config[key] != said:
                faults.append(f"task {task!r}: {key} is {adapter.config[key]}, in task {whose!r} {said}; {_ONE_MODEL}")
        for name, own in adapter.modules.items():
            whose, other = first.setdefault(name, (task, own))
            if (own.layout, own.shape) != (other.layout, other.shape):
                kinds = [f"{list(each.shape)} ({each.layout})" for each in (own, other)]
                faults.append(f"task {task!r}: {name} is {kinds[0]}, in task {whose!r} {kinds[1]}; use adapters of one model")
            if (factor := first_nonfinite({"A": own.a, "B": own.b})) is not None:
                faults.append(f"task {task!r}: factor {factor} of {name} holds NaN or infinity; train it again, or take one saved before")
    return faults


_ONE_MODEL = "use adapters of one model (if it is one under two names, say the same in both adapter_config.json)"
