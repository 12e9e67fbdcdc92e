"""Gradient checkpointing: activations that the backward pass computes again instead of keeping them.

References:
    Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost, 2016, https://arxiv.org/abs/1604.06174
"""

from collections.abc import Callable, Mapping

from torch import nn

from foretaste.errors import DataError

__all__ = ["recompute_activations"]


def recompute_activations(model: nn.Module) -> None:
    """Switch gradient checkpointing on, for training; evaluation and curvature are as before.

    Args:
        model: A transformers model, or a model that holds some.

    Raises:
        DataError: No part of the model can do it; the recipe's field is named.

    >>> recompute_activations(nn.Linear(1, 1))
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: the model (Linear) has no gradient checkpointing; leave gradient_checkpointing out
    """
    able = [
        module
        for module in model.modules()
        if getattr(module, "supports_gradient_checkpointing", False)
        and hasattr(module, "gradient_checkpointing_enable")
    ]
    if not able:
        raise DataError(
            f"the model ({type(model).__name__}) has no gradient checkpointing; leave gradient_checkpointing out"
        ).at("finetune", "gradient_checkpointing")
    for module in able:
        name = "activation" if hasattr(module, "activation_checkpointing_enable") else "gradient"
        switch: Callable[[Mapping[str, bool]], None] = getattr(module, f"{name}_checkpointing_enable")
        switch({"use_reentrant": False})
