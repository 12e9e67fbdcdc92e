"""Per-example gradients of a layer's parameters, from its input and its output's gradient.

For a layer ``y = f(x; w)`` called on a batch, the gradient of example b with respect to w needs
only x_b and dL/dy_b, which one ordinary backward pass gives for the whole batch (Goodfellow:
Efficient Per-Example Gradient Computations, 2015, https://arxiv.org/abs/1510.01799).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["OUTER", "Rule", "bias_joins", "is_outer", "operands", "rules_for"]

_PerExample = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """How one parameter of a layer gets its per-example gradients.

    Args:
        per_example: From layer, input `[B, ...]` and output gradient `[B, ...]` to `[B, *shape]`.
        squares: The sum over examples of their squares, `[*shape]`, where there is a faster way.
    """

    per_example: _PerExample
    squares: _PerExample | None = None


def rules_for(module: nn.Module) -> Mapping[str, Rule]:
    """The rules for a layer's own parameters; empty for a layer that is not known.

    >>> sorted(rules_for(nn.Linear(2, 2)))
    ['bias', 'weight']
    >>> rules_for(nn.ReLU())
    {}
    """
    kind = type(module)
    if _is_transposed(module):
        return {"weight": Rule(_transposed_weight), "bias": Rule(_sum_positions)}
    if kind.__name__.endswith(("RMSNorm", "T5LayerNorm")):
        return {"weight": Rule(_rms_weight)}
    for known, rules in _RULES:
        if isinstance(module, known):
            return rules
    return {}


def _rows(tensor: Tensor) -> Tensor:
    """`[B, ..., D]` to `[B, S, D]`."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def _linear_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return torch.bmm(_rows(grad).transpose(1, 2), _rows(inputs))


def _linear_weight_squares(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    if grad.dim() == 2:  # one row per example: the square of an outer product is the product of squares
        return grad.square().T @ inputs.square()
    total = torch.zeros(grad.shape[-1], inputs.shape[-1], dtype=grad.dtype, device=grad.device)
    for rows, grads in zip(_rows(inputs), _rows(grad), strict=True):  # one at a time stays in the cache
        each = grads.T @ rows
        total.addcmul_(each, each)
    return total


def _transposed_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return torch.bmm(_rows(inputs).transpose(1, 2), _rows(grad))


def _sum_positions(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return _rows(grad).sum(1)


def _embedding_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    assert isinstance(module, nn.Embedding)
    ids, grads = inputs.reshape(len(inputs), -1), _rows(_without_padding(module, inputs, grad))
    total = torch.zeros(len(ids), *module.weight.shape, dtype=grad.dtype, device=grad.device)
    return total.scatter_add_(1, ids.unsqueeze(-1).expand_as(grads), grads)


def _embedding_weight_squares(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    """Sums repeated tokens within an example before squaring, without a `[B, V, D]` tensor."""
    assert isinstance(module, nn.Embedding)
    grads = _rows(_without_padding(module, inputs, grad))
    offset = torch.arange(len(inputs), device=inputs.device).unsqueeze(1) * module.num_embeddings
    keys, place = torch.unique(inputs.reshape(len(inputs), -1) + offset, return_inverse=True)
    summed = torch.zeros(len(keys), grads.shape[-1], dtype=grad.dtype, device=grad.device)
    summed.index_add_(0, place.flatten(), grads.flatten(0, 1))
    total = torch.zeros(module.weight.shape, dtype=grad.dtype, device=grad.device)
    return total.index_add_(0, keys % module.num_embeddings, summed.square())


def _without_padding(module: nn.Embedding, inputs: Tensor, grad: Tensor) -> Tensor:
    return grad if module.padding_idx is None else grad * (inputs != module.padding_idx).unsqueeze(-1)


def _conv_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    columns, grads = _conv_operands(module, inputs, grad)
    return torch.einsum("bgol,bgil->bgoi", grads, columns).reshape(len(grad), *_weight_shape(module))


def _conv_operands(module: nn.Module, inputs: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Windows `[B, groups, in * kernel, L]` and output gradients `[B, groups, out, L]` of a convolution."""
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if isinstance(module, nn.Conv1d):
        inputs, grad = inputs.unsqueeze(2), grad.unsqueeze(2)
    kernel, stride, dilation, padding = _in_2d(module)
    padded = nn.functional.pad(inputs, padding)
    columns = nn.functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    columns = columns.reshape(len(inputs), module.groups, -1, columns.shape[-1])
    return columns, grad.reshape(len(grad), module.groups, -1, columns.shape[-1])


def _weight_shape(module: nn.Module) -> torch.Size:
    assert isinstance(module.weight, Tensor)
    return module.weight.shape


def is_outer(module: nn.Module) -> bool:
    """Whether the gradient of the layer's weight is a sum of outer products of outputs' gradients and inputs.

    >>> is_outer(nn.Linear(2, 2)), is_outer(nn.Conv2d(4, 4, 3, groups=4)), is_outer(nn.LayerNorm(2))
    (True, False, False)
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return module.groups == 1
    return isinstance(module, nn.Linear) or _is_transposed(module)


def operands(module: nn.Module, inputs: Tensor, grad: Tensor, *, bias: bool) -> tuple[Tensor, Tensor]:
    """What the outer products are of: per example, ``sum_s rows_s columns_s'`` is the gradient of the weight as a matrix.

    Args:
        module: A layer that `is_outer`.
        inputs: `[B, ...]`.
        grad: Of the output, `[B, ...]`.
        bias: Whether the matrix has the bias as its last column: then every column vector ends with a 1.

    Returns:
        Rows `[B, S, R]` and columns `[B, S, C]`, for a weight of shape `[R, ...]` with C other entries (and 1 for the bias).

    >>> rows, columns = operands(nn.Linear(2, 3), torch.ones(4, 2), torch.ones(4, 3), bias=True)
    >>> rows.shape, columns.shape
    (torch.Size([4, 1, 3]), torch.Size([4, 1, 3]))
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        windows, grads = _conv_operands(module, inputs, grad)
        rows, columns = grads.squeeze(1).transpose(1, 2), windows.squeeze(1).transpose(1, 2)
    elif _is_transposed(module):
        return _rows(inputs), _rows(grad)
    else:
        rows, columns = _rows(grad), _rows(inputs)
    return rows, torch.cat([columns, torch.ones_like(columns[..., :1])], dim=-1) if bias else columns


def _is_transposed(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def bias_joins(module: nn.Module) -> bool:
    """Whether the layer's bias can be a last column of its weight's matrix.

    >>> bias_joins(nn.Linear(2, 2)), bias_joins(nn.Linear(2, 2, bias=False))
    (True, False)
    """
    return getattr(module, "bias", None) is not None and not _is_transposed(module)


def _in_2d(module: nn.Conv1d | nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, stride, dilation and padding (left, right, top, bottom) of the layer seen as 2-D."""
    kernel, stride, dilation = (_pair(sizes, 1) for sizes in (module.kernel_size, module.stride, module.dilation))
    if module.padding == "same":
        total = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        top, left = total[0] // 2, total[1] // 2
        return kernel, stride, dilation, (left, total[1] - left, top, total[0] - top)
    if isinstance(module.padding, str):
        return kernel, stride, dilation, (0, 0, 0, 0)
    rows, columns = _pair(module.padding, 0)
    return kernel, stride, dilation, (columns, columns, rows, rows)


def _pair(sizes: tuple[int, ...], first: int) -> tuple[int, int]:
    """A size per dimension, of the two that a 1-D layer is seen in."""
    return (first, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _sum_channels(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return grad.flatten(2).sum(2) if grad.dim() > 2 else grad


def _layer_norm_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    normal = nn.functional.layer_norm(inputs, list(module.normalized_shape), eps=module.eps)
    return _sum_to(module, grad * normal)


def _layer_norm_bias(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return _sum_to(module, grad)


def _sum_to(module: nn.Module, each: Tensor) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return each.reshape(len(each), -1, *module.weight.shape).sum(1)


def _rms_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    eps = torch.finfo(inputs.dtype).eps if found is None else float(found)
    return _sum_to(module, grad * inputs * torch.rsqrt(inputs.square().mean(-1, keepdim=True) + eps))


def _batch_norm_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    normal = nn.functional.batch_norm(inputs, module.running_mean, module.running_var, eps=module.eps)
    return _sum_channels(module, inputs, grad * normal)


_RULES: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], Mapping[str, Rule]], ...] = (
    (nn.Linear, {"weight": Rule(_linear_weight, _linear_weight_squares), "bias": Rule(_sum_positions)}),
    (nn.Embedding, {"weight": Rule(_embedding_weight, _embedding_weight_squares)}),
    ((nn.Conv1d, nn.Conv2d), {"weight": Rule(_conv_weight), "bias": Rule(_sum_channels)}),
    (nn.LayerNorm, {"weight": Rule(_layer_norm_weight), "bias": Rule(_layer_norm_bias)}),
    (nn.RMSNorm, {"weight": Rule(_rms_weight)}),
    (
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        {"weight": Rule(_batch_norm_weight), "bias": Rule(_sum_channels)},
    ),
)

OUTER = Rule(_linear_weight, _linear_weight_squares)  # takes columns and rows, as `operands` gives them
