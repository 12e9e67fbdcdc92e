"""The factors of a layer's per-example gradients: its inputs and its output's gradients, as rows and columns."""

import torch
from torch import Tensor, nn

__all__ = ["as_rows", "bias_joins", "is_outer", "is_transposed", "operands", "windows_and_gradients"]


def as_rows(tensor: Tensor) -> Tensor:
    """Reshape `[B, ..., D]` to `[B, S, D]`."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def windows_and_gradients(module: nn.Module, inputs: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a convolution's input into windows, and reshape its output's gradients to match.

    Args:
        module: The convolution.
        inputs: `[B, in channels, ...]`.
        grad: The output's gradient, `[B, out channels, ...]`.

    Returns:
        Windows `[B, groups, in * kernel, L]` and output gradients `[B, groups, out, L]`.
    """
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if isinstance(module, nn.Conv1d):
        inputs, grad = inputs.unsqueeze(2), grad.unsqueeze(2)
    kernel, stride, dilation, padding = _in_2d(module)
    padded = nn.functional.pad(inputs, padding)
    columns = nn.functional.unfold(padded, kernel, dilation=dilation, stride=stride)
    columns = columns.reshape(len(inputs), module.groups, -1, columns.shape[-1])
    return columns, grad.reshape(len(grad), module.groups, -1, columns.shape[-1])


def is_outer(module: nn.Module) -> bool:
    """Return whether the weight's gradient is a sum of outer products of outputs' gradients and inputs.

    >>> is_outer(nn.Linear(2, 2)), is_outer(nn.Conv2d(4, 4, 3, groups=4)), is_outer(nn.LayerNorm(2))
    (True, False, False)
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return module.groups == 1
    return isinstance(module, nn.Linear) or is_transposed(module)


def operands(module: nn.Module, inputs: Tensor, grad: Tensor, *, bias: bool) -> tuple[Tensor, Tensor]:
    """Return two factors of the weight's gradient: it is ``sum_s rows_s columns_s'`` for each example, as a matrix.

    Args:
        module: A layer for which `is_outer` is true.
        inputs: `[B, ...]`.
        grad: The output's gradient, `[B, ...]`.
        bias: Whether the matrix has the bias as its last column; every column vector then ends with a 1.

    Returns:
        Rows `[B, S, R]` and columns `[B, S, C]`, for a weight of shape `[R, ...]` with C other entries (and 1 for the
        bias).

    >>> rows, columns = operands(nn.Linear(2, 3), torch.ones(4, 2), torch.ones(4, 3), bias=True)
    >>> rows.shape, columns.shape
    (torch.Size([4, 1, 3]), torch.Size([4, 1, 3]))
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        windows, grads = windows_and_gradients(module, inputs, grad)
        rows, columns = grads.squeeze(1).transpose(1, 2), windows.squeeze(1).transpose(1, 2)
    elif is_transposed(module):
        return as_rows(inputs), as_rows(grad)
    else:
        rows, columns = as_rows(grad), as_rows(inputs)
    return rows, torch.cat([columns, torch.ones_like(columns[..., :1])], dim=-1) if bias else columns


def is_transposed(module: nn.Module) -> bool:
    """Return whether a layer is transformers' ``Conv1D``, whose weight is a linear layer's transposed."""
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def bias_joins(module: nn.Module) -> bool:
    """Return whether the layer's bias can be the last column of its weight's matrix.

    >>> bias_joins(nn.Linear(2, 2)), bias_joins(nn.Linear(2, 2, bias=False))
    (True, False)
    """
    return getattr(module, "bias", None) is not None and not is_transposed(module)


def _in_2d(
    module: nn.Conv1d | nn.Conv2d,
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Return kernel, stride, dilation and padding (left, right, top, bottom) of the layer as a 2-D layer."""
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
    """Return two sizes, also for a 1-D layer, which has ``first`` in front."""
    return (first, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
