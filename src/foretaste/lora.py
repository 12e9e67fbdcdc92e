"""LoRA adapters: factors beside a model's weights.

An adapter changes a module's weight by ``s B A``, a product of two thin factors and its scaling. `foretaste.combine`
adds adapters up.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
    A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, Kalajdzievski, 2023, https://arxiv.org/abs/2312.03732
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.one_line import one_line
from foretaste.params import Params, first_nonfinite, wide

__all__ = ["BASE_LAYER", "MODEL", "WEIGHT", "Adapter", "Factors", "Layout", "delta", "misfits"]

Layout = Literal["linear", "embedding", "convolution"]

WEIGHT = ".weight"
BASE_LAYER = ".base_layer.weight"  # how PEFT calls the model's own weight below a layer's factors

MODEL = ("base_model_name_or_path", "revision", "task_type")  # of the configuration: what it was trained on


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
        ParamsError: Shapes that do not go together, or an alpha that is 0, NaN or infinite.

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

    __repr__ = one_line

    def __post_init__(self) -> None:
        sides = 2 if self.layout != "convolution" else max(self.a.ndim, 3)
        if (
            self.a.ndim != sides
            or self.b.ndim != sides
            or self.b.shape[1:] != (self.rank, *[1] * (sides - 2))
            or not self.rank
        ):
            raise ParamsError(
                f"factors of shapes {list(self.a.shape)} and {list(self.b.shape)} make no update ({self.layout})"
            )
        if not 0 < abs(self.alpha) < math.inf:
            raise ParamsError(
                f"factors with alpha {self.alpha} make no update; alpha must be a finite number other than 0"
            )

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
        """Shape of the update: ``[out, in]``, or ``[rows, dim]`` of embeddings, ``[out, in, *kernel]`` of filters."""
        out, rest = self.b.shape[0], tuple(self.a.shape[1:])
        return (*rest, out) if self.layout == "embedding" else (out, *rest)


@dataclass(frozen=True, eq=False)
class Adapter:
    """What finetuning by LoRA made of a model.

    Args:
        modules: Factors by the module's name in the model.
        full: Whole new tensors by name (PEFT's ``modules_to_save``, for example a classification head); may be
            file-backed.
        config: PEFT's configuration, as far as it is not said by the factors.
    """

    modules: Mapping[str, Factors]
    full: Params = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)

    __repr__ = one_line

    def with_full(self, full: Params) -> "Adapter":
        """Add full tensors to an adapter's own, for example one task's head for a sum of adapters.

        >>> sorted(Adapter({}, {"a": torch.ones(1)}).with_full({"b": torch.ones(1)}).full)
        ['a', 'b']
        """
        return replace(self, full={name: params[name] for params in (self.full, full) for name in params})

    @property
    def base(self) -> str | None:
        """The name of the model it was trained on."""
        path = self.config.get("base_model_name_or_path")
        return str(path) if path else None

    @property
    def fan_in_fan_out(self) -> bool:
        """Whether the configuration says that weights are ``[in, out]``, as in GPT-2.

        A note, as it is one for all modules.
        """
        return bool(self.config.get("fan_in_fan_out"))


def delta(adapter: Adapter, module: str, *, transposed: bool = False) -> Tensor:
    """The dense update ``s B A`` of a module's weight, in float32 or wider.

    An adapter acts on its module alone. Where weights are tied (the output layer to the embeddings), untie them before
    adding this.

    Args:
        adapter: Has the module.
        module: Name of the module.
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
    factors = adapter.modules[module]
    dtype = torch.promote_types(wide(factors.a).dtype, factors.b.dtype)
    update = factors.b.flatten(1).to(dtype) @ factors.a.flatten(1).to(dtype) * factors.scaling
    if factors.layout == "embedding":
        return update.T
    return update.T if transposed and factors.layout == "linear" else update.reshape(factors.shape)


def misfits(adapters: Mapping[str, Adapter]) -> list[str]:
    """What is in the way of adding adapters up: another model, shapes that differ, NaN or infinity in the factors.

    >>> first = Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})
    >>> second = Adapter({"q": Factors(torch.ones(1, 4), torch.ones(2, 1), alpha=1)})
    >>> misfits({"a": first, "b": second})
    ["task 'b': q is [2, 4] (linear), in task 'a' [2, 3] (linear); use adapters of one model"]
    """
    faults: list[str] = []
    first: dict[str, tuple[str, Factors]] = {}
    models: dict[str, tuple[str, object]] = {}
    for task, adapter in adapters.items():
        for key in (key for key in MODEL if adapter.config.get(key)):
            first_task, value = models.setdefault(key, (task, adapter.config[key]))
            if adapter.config[key] != value:
                faults.append(
                    f"task {task!r}: {key} is {adapter.config[key]}, in task {first_task!r} {value}; {_ONE_MODEL}"
                )
        for name, factors in adapter.modules.items():
            first_task, first_factors = first.setdefault(name, (task, factors))
            if (factors.layout, factors.shape) != (first_factors.layout, first_factors.shape):
                kinds = [f"{list(entry.shape)} ({entry.layout})" for entry in (factors, first_factors)]
                faults.append(
                    f"task {task!r}: {name} is {kinds[0]}, in task {first_task!r} {kinds[1]}; use adapters of one model"
                )
            if (factor := first_nonfinite({"A": factors.a, "B": factors.b})) is not None:
                faults.append(
                    f"task {task!r}: factor {factor} of {name} holds NaN or infinity; train it again, or take one saved"
                    " before"
                )
    return faults


_ONE_MODEL = "use adapters of one model (if it is one under two names, say the same in both adapter_config.json)"
