"""Per-example gradients of a layer's parameters, from its input and its output's gradient.

For a layer ``y = f(x; w)`` called on a batch, the gradient of example b with respect to w needs
only x_b and dL/dy_b, which one ordinary backward pass gives for the whole batch (Goodfellow:
Efficient Per-Example Gradient Computations, 2015, https://arxiv.org/abs/1510.01799).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.one_line import one_line

__all__ = ["OUTER", "ByRows", "Contribution", "Rule", "bias_joins", "is_outer", "operands", "rules_for", "squares_by_rows"]

_BLOCK = 1 << 17  # entries of one example's gradient, squared at once on a CPU

_PerExample = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ByRows:
    """Per-example gradients of a matrix, to be had some rows at a time.

    Args:
        height: Rows of the matrix.
        width: Its columns.
        part: From the example's number, the first row and the one after the last, to these rows of its gradient.
    """

    height: int
    width: int
    part: Callable[[int, int, int], Tensor]

    __repr__ = one_line


@dataclass(frozen=True)
class Rule:
    """How one parameter of a layer gets its per-example gradients.

    Args:
        per_example: From layer, input `[B, ...]` and output gradient `[B, ...]` to `[B, *shape]`.
        squares: The sum over examples of their squares, `[*shape]`, where there is a faster way.
        rows: The same gradients by rows, where these can be had apart.
    """

    per_example: _PerExample
    squares: _PerExample | None = None
    rows: Callable[[nn.Module, Tensor, Tensor], ByRows] | None = None

    __repr__ = one_line


Contribution = tuple[Rule, nn.Module, Tensor, Tensor]


def rules_for(module: nn.Module) -> Mapping[str, Rule]:
    """The rules for a layer's own parameters; empty for a layer that is not known.

    >>> sorted(rules_for(nn.Linear(2, 2)))
    ['bias', 'weight']
    >>> rules_for(nn.ReLU())
    {}
    """
    kind = type(module)
    if _is_transposed(module):
        return {"weight": Rule(_transposed_weight, rows=_transposed_rows), "bias": Rule(_sum_positions)}
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
    return squares_by_rows([(OUTER, module, inputs, grad)])


def squares_by_rows(parts: Sequence[Contribution]) -> Tensor:
    """``sum_b (sum_calls gradient_b)^2``, so few rows of one example at a time that they stay in the cache.

    Args:
        parts: Rule, layer, input `[B, ...]` and output gradient `[B, ...]` of the calls of one parameter, which must have a rule by rows.

    >>> layer, inputs, grad = nn.Linear(1, 1), torch.tensor([[[1.0], [1.0]], [[0.0], [3.0]]]), torch.ones(2, 2, 1)
    >>> squares_by_rows([(rules_for(layer)["weight"], layer, inputs, grad)])
    tensor([[13.]])
    """
    calls = [rule.rows(module, inputs, grad) for rule, module, inputs, grad in parts if rule.rows is not None]
    grad, height, width = parts[0][3], calls[0].height, calls[0].width
    total = torch.zeros(height, width, dtype=grad.dtype, device=grad.device)
    step = max(1, _BLOCK // max(width, 1)) if grad.device.type == "cpu" else height
    for start in range(0, height, step):
        stop = min(start + step, height)
        for example in range(len(grad)):
            first, *others = (call.part(example, start, stop) for call in calls)
            each = sum(others, first)
            total[start:stop].addcmul_(each, each)
    return total


def _outer_rows(rows: Tensor, columns: Tensor) -> ByRows:
    """Of ``sum_s rows_s columns_s'``, from `[B, S, R]` and `[B, S, C]`."""
    return ByRows(rows.shape[2], columns.shape[2], lambda example, start, stop: rows[example, :, start:stop].T @ columns[example])


def _linear_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    return _outer_rows(_rows(grad), _rows(inputs))


def _transposed_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    return _outer_rows(_rows(inputs), _rows(grad))


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


def _embedding_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    assert isinstance(module, nn.Embedding)
    ids, grads = inputs.reshape(len(inputs), -1), _rows(_without_padding(module, inputs, grad))

    def part(example: int, start: int, stop: int) -> Tensor:
        here = (ids[example] >= start) & (ids[example] < stop)
        rows = grads.new_zeros(stop - start, grads.shape[-1])
        return rows.index_add_(0, ids[example][here] - start, grads[example][here])

    return ByRows(module.num_embeddings, module.embedding_dim, part)


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
    (nn.Linear, {"weight": Rule(_linear_weight, _linear_weight_squares, _linear_rows), "bias": Rule(_sum_positions)}),
    (nn.Embedding, {"weight": Rule(_embedding_weight, _embedding_weight_squares, _embedding_rows)}),
    ((nn.Conv1d, nn.Conv2d), {"weight": Rule(_conv_weight), "bias": Rule(_sum_channels)}),
    (nn.LayerNorm, {"weight": Rule(_layer_norm_weight), "bias": Rule(_layer_norm_bias)}),
    (nn.RMSNorm, {"weight": Rule(_rms_weight)}),
    (
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        {"weight": Rule(_batch_norm_weight), "bias": Rule(_sum_channels)},
    ),
)

OUTER = Rule(_linear_weight, _linear_weight_squares, _linear_rows)  # takes columns and rows, as `operands` gives them
