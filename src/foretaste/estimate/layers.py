"""Per-example gradients of a layer's parameters, from its input and its output's gradient.

For a call of a layer ``y = f(x; w)`` on a batch, the gradient of example b by w needs only x_b and dL/dy_b. One
ordinary backward pass gives these for the whole batch.

References:
    Goodfellow: Efficient Per-Example Gradient Computations, 2015, https://arxiv.org/abs/1510.01799
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.estimate.operands import as_rows, is_transposed, windows_and_gradients
from foretaste.one_line import one_line

__all__ = ["OUTER", "ByRows", "Contribution", "Rule", "rules_for", "squares_by_rows"]

_BLOCK = 1 << 17  # entries of one example's gradient, squared at once on a CPU

_PerExample = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ByRows:
    """Per-example gradients of a matrix, computed some rows at a time.

    Args:
        height: The number of the matrix's rows.
        width: The number of its columns.
        part: Computes rows of an example's gradient, from the example's number, the first row and the row after the
            last.
    """

    height: int
    width: int
    part: Callable[[int, int, int], Tensor]

    __repr__ = one_line


@dataclass(frozen=True)
class Rule:
    """The functions that compute one parameter's per-example gradients.

    Args:
        per_example: From layer, input `[B, ...]` and output gradient `[B, ...]` to `[B, *shape]`.
        squares: The sum over examples of the squared gradients, `[*shape]`, where there is a faster way.
        rows: The gradients some rows at a time, where that is possible.
    """

    per_example: _PerExample
    squares: _PerExample | None = None
    rows: Callable[[nn.Module, Tensor, Tensor], ByRows] | None = None

    __repr__ = one_line


Contribution = tuple[Rule, nn.Module, Tensor, Tensor]


def rules_for(module: nn.Module) -> Mapping[str, Rule]:
    """Look up the rules for a layer's own parameters; empty for an unknown layer.

    >>> sorted(rules_for(nn.Linear(2, 2)))
    ['bias', 'weight']
    >>> rules_for(nn.ReLU())
    {}
    """
    kind = type(module)
    if is_transposed(module):
        return {"weight": Rule(_transposed_weight, rows=_transposed_rows), "bias": Rule(_sum_positions)}
    if kind.__name__.endswith(("RMSNorm", "T5LayerNorm")):
        return {"weight": Rule(_rms_weight)}
    for layer_type, rules in _RULES:
        if isinstance(module, layer_type):
            return rules
    return {}


def _linear_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return torch.bmm(as_rows(grad).transpose(1, 2), as_rows(inputs))


def _linear_weight_squares(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    if grad.dim() == 2:  # one row per example: the square of an outer product is the product of squares
        return grad.square().T @ inputs.square()
    return squares_by_rows([(OUTER, module, inputs, grad)])


def squares_by_rows(parts: Sequence[Contribution]) -> Tensor:
    """Compute ``sum_b (sum_calls gradient_b)^2``, in blocks of rows that stay in the cache.

    Args:
        parts: Rule, layer, input `[B, ...]` and output gradient `[B, ...]` of each call of one parameter. The rules
            must have ``rows``.

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
            gradient = sum(others, first)
            total[start:stop].addcmul_(gradient, gradient)
    return total


def _outer_rows(rows: Tensor, columns: Tensor) -> ByRows:
    """Return rows of ``sum_s rows_s columns_s'``, from `[B, S, R]` and `[B, S, C]`."""
    return ByRows(
        rows.shape[2], columns.shape[2], lambda example, start, stop: rows[example, :, start:stop].T @ columns[example]
    )


def _linear_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    return _outer_rows(as_rows(grad), as_rows(inputs))


def _transposed_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    return _outer_rows(as_rows(inputs), as_rows(grad))


def _transposed_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return torch.bmm(as_rows(inputs).transpose(1, 2), as_rows(grad))


def _sum_positions(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return as_rows(grad).sum(1)


def _embedding_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    assert isinstance(module, nn.Embedding)
    ids, grads = inputs.reshape(len(inputs), -1), as_rows(_without_padding(module, inputs, grad))
    total = torch.zeros(len(ids), *module.weight.shape, dtype=grad.dtype, device=grad.device)
    return total.scatter_add_(1, ids.unsqueeze(-1).expand_as(grads), grads)


def _embedding_weight_squares(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    """Sum repeated tokens in an example before squaring, without a `[B, V, D]` tensor."""
    assert isinstance(module, nn.Embedding)
    grads = as_rows(_without_padding(module, inputs, grad))
    offset = torch.arange(len(inputs), device=inputs.device).unsqueeze(1) * module.num_embeddings
    keys, place = torch.unique(inputs.reshape(len(inputs), -1) + offset, return_inverse=True)
    sums = torch.zeros(len(keys), grads.shape[-1], dtype=grad.dtype, device=grad.device)
    sums.index_add_(0, place.flatten(), grads.flatten(0, 1))
    total = torch.zeros(module.weight.shape, dtype=grad.dtype, device=grad.device)
    return total.index_add_(0, keys % module.num_embeddings, sums.square())


def _embedding_rows(module: nn.Module, inputs: Tensor, grad: Tensor) -> ByRows:
    assert isinstance(module, nn.Embedding)
    ids, grads = inputs.reshape(len(inputs), -1), as_rows(_without_padding(module, inputs, grad))

    def part(example: int, start: int, stop: int) -> Tensor:
        here = (ids[example] >= start) & (ids[example] < stop)
        rows = grads.new_zeros(stop - start, grads.shape[-1])
        return rows.index_add_(0, ids[example][here] - start, grads[example][here])

    return ByRows(module.num_embeddings, module.embedding_dim, part)


def _without_padding(module: nn.Embedding, inputs: Tensor, grad: Tensor) -> Tensor:
    return grad if module.padding_idx is None else grad * (inputs != module.padding_idx).unsqueeze(-1)


def _conv_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    columns, grads = windows_and_gradients(module, inputs, grad)
    return torch.einsum("bgol,bgil->bgoi", grads, columns).reshape(len(grad), *_weight_shape(module))


def _weight_shape(module: nn.Module) -> torch.Size:
    assert isinstance(module.weight, Tensor)
    return module.weight.shape


def _sum_channels(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return grad.flatten(2).sum(2) if grad.dim() > 2 else grad


def _layer_norm_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    normal = nn.functional.layer_norm(inputs, list(module.normalized_shape), eps=module.eps)
    return _sum_to(module, grad * normal)


def _layer_norm_bias(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    return _sum_to(module, grad)


def _sum_to(module: nn.Module, gradients: Tensor) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return gradients.reshape(len(gradients), -1, *module.weight.shape).sum(1)


def _rms_weight(module: nn.Module, inputs: Tensor, grad: Tensor) -> Tensor:
    configured = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    eps = torch.finfo(inputs.dtype).eps if configured is None else float(configured)
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

OUTER = Rule(_linear_weight, _linear_weight_squares, _linear_rows)  # takes columns and rows from `operands`
