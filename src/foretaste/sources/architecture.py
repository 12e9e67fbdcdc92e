"""What facts and fingerprints say of a model's architecture: its class, its size, its format, and its settings."""

import torch
from torch import nn

from foretaste.quantized import count_parameters
from foretaste.sources.extra import transformers
from foretaste.sources.quantization import quantized_as

__all__ = ["architecture_of", "configuration", "stored_as"]


def configuration(model: nn.Module) -> list[tuple[str, object]]:
    """List the settings of an architecture besides its params: activations, dropout, window sizes.

    Args:
        model: A transformers model.

    >>> model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=2, n_embd=2, n_layer=1, n_head=1))
    >>> dict(configuration(model))["n_head"]
    1
    """
    assert isinstance(model, transformers.PreTrainedModel)
    config = model.config.to_dict()
    passing = ("_name_or_path", "transformers_version", "id2label", "label2id", "dtype")
    return sorted((key, value) for key, value in config.items() if key not in passing)


def architecture_of(model: nn.Module, owner: nn.Module) -> str:
    """Describe a model, for facts: its class, the number of its parameters, and their format.

    Args:
        model: The model, perhaps with several heads.
        owner: The transformers model that it is, or that a head of it is.

    >>> architecture_of(nn.Linear(1, 1), nn.Linear(1, 1))
    'Linear, 2 parameters'
    """
    return f"{type(owner).__name__}, {count_parameters(model):,} parameters{stored_as(owner)}"


def stored_as(model: nn.Module) -> str:
    """Name the number format of a model's params, for facts; empty if they were stored as float32, and are.

    >>> stored_as(nn.Linear(1, 1, dtype=torch.bfloat16))
    ' in bfloat16'
    """
    dtype, stored = next(model.parameters()).dtype, getattr(getattr(model, "config", None), "dtype", None)
    bits = quantized_as(model)
    if bits is not None:
        return f" in {bits}, the others in {str(dtype).removeprefix('torch.')}"
    if dtype == torch.float32:
        widened = stored == torch.bfloat16
        return " in float32, since this processor is slow in the checkpoint's bfloat16" if widened else ""
    return f" in {str(dtype).removeprefix('torch.')}"
