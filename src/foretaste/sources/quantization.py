"""Checkpoints whose linear layers are stored in 4 or 8 bits, by bitsandbytes through transformers."""

import importlib.util
import logging
from typing import Any

import torch
from torch import nn

from foretaste.errors import MissingExtra
from foretaste.quantized import quantized_layers
from foretaste.sources import bfloat16
from foretaste.sources.extra import transformers
from foretaste.sources.request import Quantization

__all__ = ["options_for", "quantized_as", "widen"]


def options_for(quantization: Quantization) -> dict[str, object]:
    """Return what ``from_pretrained`` needs to quantise the weights of linear layers as it loads them.

    Args:
        quantization: ``nf4`` or ``int8``. Weights of 4 bits are multiplied in bfloat16 where the device is fast in it.

    Raises:
        MissingExtra: bitsandbytes is not installed; the recipe's field is named.

    >>> options_for("int8")["quantization_config"].load_in_8bit
    True
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(
            f"quantization {quantization} needs bitsandbytes; install it with: pip install 'foretaste[quantization]'"
        ).at("model", "quantization")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a warning for every call of a layer
    config = (
        transformers.BitsAndBytesConfig(load_in_8bit=True)
        if quantization == "int8"
        else transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization,
            bnb_4bit_compute_dtype=torch.bfloat16 if bfloat16.is_fast() else torch.float32,
        )
    )
    return {"quantization_config": config}


def quantized_as(model: nn.Module) -> str | None:
    """Name the format of a model's quantised weights, ``int8``, ``nf4`` or ``fp4``; None where it has none.

    >>> quantized_as(nn.Linear(1, 1))
    """
    layer: Any = next(iter(quantized_layers(model).values()), None)
    if layer is None:
        return None
    return getattr(layer.weight, "quant_type", "int8")


def widen(model: nn.Module) -> nn.Module:
    """Make a model's params float32, except for quantised weights.

    >>> widen(nn.Linear(1, 1, dtype=torch.bfloat16)).weight.dtype
    torch.float32
    """
    if not quantized_layers(model):
        return model.float()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor.data = tensor.data.float()
    return model
