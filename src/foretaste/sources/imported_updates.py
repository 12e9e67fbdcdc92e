"""Adapters that were trained elsewhere, as the params of a task in a study by LoRA.

A study keeps them as ``update/a/WEIGHT``, ``update/b/WEIGHT`` and ``update/scaling/WEIGHT``, by the names of the
weights in its model. So their ranks, scalings and layers need not be the study's own.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from foretaste.errors import DataError
from foretaste.lora import BASE_LAYER, WEIGHT, Adapter, Factors, Layout, delta
from foretaste.names import first_few
from foretaste.params import Params, wide

__all__ = ["fitting_factors", "is_imported", "keep_factors", "read_whole", "stored_factors"]

_A, _B, _SCALING = "update/a/", "update/b/", "update/scaling/"


def is_imported(params: Params) -> bool:
    """Tell whether params are those of an imported adapter.

    >>> is_imported({"update/a/q.weight": torch.ones(1, 1)}), is_imported({"q.weight": torch.ones(1, 1)})
    (True, False)
    """
    return any(name.startswith(_A) for name in params)


def stored_factors(params: Params, layouts: Mapping[str, Layout]) -> dict[str, Factors]:
    """Read the factors of an imported adapter.

    Args:
        params: As `keep_factors` returned them.
        layouts: What kind of layer each weight is of, by the weight's name.

    >>> stored_factors(
    ...     keep_factors({"q.weight": Factors(torch.ones(2, 3), torch.ones(2, 2), 4)}), {"q.weight": "linear"}
    ... )
    {'q.weight': Factors(...)}
    """
    names = [name.removeprefix(_A) for name in params if name.startswith(_A)]
    return {
        name: Factors(
            params[_A + name],
            params[_B + name],
            float(params[_SCALING + name]) * len(params[_A + name]),
            layout=layouts[name],
        )
        for name in names
    }


def keep_factors(factors: Mapping[str, Factors]) -> dict[str, Tensor]:
    """Return factors as a study keeps them.

    Args:
        factors: By the name of the weight in the study's model.

    >>> sorted(keep_factors({"q.weight": Factors(torch.ones(2, 3), torch.ones(2, 2), 4)}))
    ['update/a/q.weight', 'update/b/q.weight', 'update/scaling/q.weight']
    """
    tensors: dict[str, Tensor] = {}
    for name, own in factors.items():
        tensors |= {_A + name: wide(own.a).clone(), _B + name: wide(own.b).clone()}
        tensors[_SCALING + name] = torch.tensor(own.scaling, dtype=torch.float64)
    return tensors


def read_whole(adapter: Adapter, names: Mapping[str, str], base: Params, folder: Path) -> dict[str, Tensor]:
    """Read the tensors that a task trains whole here; what the adapter does not change is the base's.

    Args:
        adapter: The adapter.
        names: Names of these tensors in the study's model, by their names in the task's own model.
        base: The study's model.
        folder: The adapter's folder, for errors.

    Raises:
        DataError: The adapter has no head, another shape, or tensors that are not trained whole here.
    """
    full = {name: tensor for name, tensor in adapter.full.items() if not name.endswith(BASE_LAYER)}
    changed = {own: _changed(adapter, own, full, base[name]) for own, name in names.items()}
    faults = ["it keeps no tensor whole, and this task has a head of its own"] if names and not full else []
    faults += [f"{own} is trained whole there, and not here" for own in full if own not in names]
    faults += [
        f"shape of {own} is {list(tensor.shape)}, not {list(base[names[own]].shape)}"
        for own, tensor in changed.items()
        if tensor.shape != base[names[own]].shape
    ]
    if faults:
        raise DataError(
            f"{folder} does not fit the model of the study: {first_few(faults, separator='; ')}; import an adapter of"
            " the recipe's model, with this task's labels"
        )
    return {name: wide(changed[own]).detach().cpu().clone() for own, name in names.items()}


def _changed(adapter: Adapter, own: str, full: Params, base: Tensor) -> Tensor:
    """Return a tensor as the adapter has it: whole, by factors, or as the base has it."""
    module = own.removesuffix(WEIGHT)
    if own in full:
        return full[own]
    if own.endswith(WEIGHT) and module in adapter.modules:
        return wide(base) + delta(adapter, module, transposed=delta(adapter, module).shape != base.shape)
    return base


def fitting_factors(
    adapter: Adapter, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> dict[str, Factors]:
    """Return an adapter's factors by the names of the weights in the study's model.

    Args:
        adapter: The adapter.
        names: Names of the weights that can have factors in the study's model, by their names in the task's own model.
        shapes: Shapes of the updates, by the names in the study's model.
        folder: The adapter's folder, for errors.

    Raises:
        DataError: The study's model has no such layers, or they have other shapes.
    """
    faults = [f"there is no layer {module}" for module in adapter.modules if module + WEIGHT not in names]
    faults += [
        f"{module} is changed by {list(own.shape)}, and it is {list(shapes[names[module + WEIGHT]])} here"
        for module, own in adapter.modules.items()
        if module + WEIGHT in names and own.shape != shapes[names[module + WEIGHT]]
    ]
    if faults:
        raise DataError(
            f"{folder} does not fit the model of the study: {first_few(faults, separator='; ')}; import an adapter of"
            " the recipe's model"
        )
    return {names[module + WEIGHT]: own for module, own in adapter.modules.items()}
