"""Params: a model's tensors by name, and the arithmetic and checks on them.

A model has two kinds of tensors. *Parameters* are trained and merged by their posterior.
*Buffers* (batch-norm statistics, position ids) are not random variables: floating ones are
averaged by alpha, the others stay the pretrained model's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError
from foretaste.lendable import Lendable
from foretaste.names import first_few
from foretaste.stored import Stored

__all__ = [
    "Params",
    "average",
    "buffers_of",
    "check_fit",
    "dtype_of",
    "first_nonfinite",
    "in_eval_mode",
    "parameters_of",
    "shape_of",
    "snapshot",
    "swapped",
    "tensors_of",
    "tied_names",
    "under_all_names",
    "wide",
]

Params = Mapping[str, Tensor]

_NAMES_IN_MESSAGE = 6


def parameters_of(model: nn.Module, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """The model's parameters (not copied), each tied one once; only ``names`` when given.

    >>> sorted(parameters_of(nn.Linear(2, 3)))
    ['bias', 'weight']
    """
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return parameters if names is None else {name: tensor for name, tensor in parameters.items() if name in names}


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """The model's floating-point buffers (not copied).

    >>> sorted(buffers_of(nn.BatchNorm1d(2)))
    ['running_mean', 'running_var']
    """
    return {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers (not copied): everything that a task can change.

    >>> sorted(tensors_of(nn.BatchNorm1d(2)))
    ['bias', 'running_mean', 'running_var', 'weight']
    """
    return parameters_of(model) | buffers_of(model)


def tied_names(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The parameters that a model has under several names, such as an output layer that is its embeddings.

    Returns:
        All names of each tied parameter, by the name that `parameters_of` gives it (the first).

    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    >>> model[1].weight = model[0].weight
    >>> tied_names(model)
    {'0.weight': ('0.weight', '1.weight')}
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {tied[0]: tuple(tied) for tied in names.values() if len(tied) > 1}


def under_all_names(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and floating-point buffers (not copied), tied parameters under each of their names.

    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    >>> model[1].weight = model[0].weight
    >>> sorted(under_all_names(model))
    ['0.weight', '1.weight']
    """
    return {
        name: parameter.detach() for name, parameter in model.named_parameters(remove_duplicate=False)
    } | buffers_of(model)


def snapshot(params: Params) -> dict[str, Tensor]:
    """A copy on the CPU that later training cannot change.

    >>> model = nn.Linear(1, 1)
    >>> copies = snapshot(parameters_of(model))
    >>> copies["weight"] is model.weight
    False
    """
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in params.items()}


@contextmanager
def swapped(model: nn.Module, params: Params) -> Iterator[nn.Module]:
    """Lend the model other params; its own come back on leaving, whatever happens.

    Tensors are copied in place, so tied tensors stay tied and a compiled model stays compiled. `Lendable` params do it
    their own way.

    Args:
        model: Any module.
        params: New values for some or all of its parameters and buffers.

    Raises:
        ParamsError: A name that the model lacks, or another shape.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> with swapped(model, {"weight": torch.zeros(1, 1)}):
    ...     model(torch.ones(1, 1)).item()
    0.0
    """
    if isinstance(params, Lendable):
        with params.lent_to(model):
            yield model
        return
    own = parameters_of(model) | dict(model.named_buffers())
    unknown = sorted(set(params) - set(own))
    if unknown:
        raise ParamsError(f"the model has no tensor {first_few(unknown)}; its params come from another architecture")
    check_fit({name: own[name] for name in params}, params, "the params to swap in")
    originals = {name: own[name].clone() for name in params}
    try:
        _copy_into(own, params)
        yield model
    finally:
        _copy_into(own, originals)


def _copy_into(own: Params, params: Params) -> None:
    with torch.no_grad():
        for name, tensor in params.items():
            own[name].copy_(tensor)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for every module of the model, undone on leaving, module by module.

    >>> model = nn.Dropout()
    >>> with in_eval_mode(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def shape_of(params: Params, name: str) -> tuple[int, ...]:
    """A tensor's shape, of params in files without reading it.

    >>> shape_of({"w": torch.zeros(2, 3)}, "w")
    (2, 3)
    """
    if isinstance(params, Lendable):
        return params.shape_of(name)
    return params.entries[name].shape if isinstance(params, Stored) else tuple(params[name].shape)


def dtype_of(params: Params, name: str) -> torch.dtype:
    """A tensor's type, of params in files without reading it.

    >>> dtype_of({"w": torch.zeros(2, 3)}, "w")
    torch.float32
    """
    return params.entries[name].type if isinstance(params, Stored) else params[name].dtype


def check_fit(reference: Params, params: Params, source: str, *, among: Collection[str] | None = None) -> None:
    """Check that two params have the same names and shapes.

    Args:
        reference: What is expected.
        params: What was found.
        source: Named in the error, for example ``"expert 'code'"``.
        among: Look at these names of the reference alone.

    Raises:
        ParamsError: Missing or additional names, or other shapes; all kinds are listed.

    >>> check_fit({"w": torch.zeros(2)}, {"w": torch.zeros(3)}, "expert 'b'")
    Traceback (most recent call last):
    ...
    foretaste.errors.ParamsError: expert 'b' does not fit the pretrained model: shape of w is [3], not [2]
    """
    faults = []
    expected = [name for name in reference if among is None or name in among]
    missing, extra = sorted(set(expected) - set(params)), sorted(set(params) - set(expected))
    if missing:
        faults.append(f"missing {first_few(missing)}")
    if extra:
        faults.append(f"additional {first_few(extra)}")
    pairs = {name: (shape_of(params, name), shape_of(reference, name)) for name in expected if name in params}
    shapes = [
        f"shape of {name} is {list(own)}, not {list(other)}" for name, (own, other) in pairs.items() if own != other
    ]
    faults += shapes[:_NAMES_IN_MESSAGE]
    if len(shapes) > _NAMES_IN_MESSAGE:
        faults.append(f"and {len(shapes) - _NAMES_IN_MESSAGE} more shapes")
    if faults:
        raise ParamsError(f"{source} does not fit the pretrained model: {'; '.join(faults)}")


def first_nonfinite(params: Params) -> str | None:
    """Name of the first tensor that holds NaN or infinity, or None.

    >>> first_nonfinite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])})
    'b'
    """
    return next((name for name, tensor in params.items() if not bool(torch.isfinite(tensor).all())), None)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in its own type where that is wider.

    >>> wide(torch.ones(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return tensor.to(torch.promote_types(torch.float32, tensor.dtype))


def average(parts: Iterable[tuple[float, Tensor]]) -> Tensor:
    """Weighted sum ``sum_t alpha_t x_t``, computed in float32 or wider and rounded once.

    Args:
        parts: Pairs of a weight and a tensor; zero weights are skipped, so that a corner is exact.

    >>> average([(0.5, torch.tensor([2.0])), (0.5, torch.tensor([4.0]))])
    tensor([3.])
    """
    total: Tensor | None = None
    dtype = torch.float32
    for weight, tensor in parts:
        dtype = tensor.dtype
        if weight == 1.0:
            return tensor.clone()
        if weight != 0.0:
            term = wide(tensor) * weight
            total = term if total is None else total.add_(term)
    if total is None:
        raise ParamsError("nothing to average: every weight is 0")
    return total.to(dtype)
