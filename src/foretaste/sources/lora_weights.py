"""The weights whose updates a study by LoRA merges: those of layers with factors, and those that could have some."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from foretaste.errors import MissingExtra
from foretaste.lora import Layout
from foretaste.params import Params
from foretaste.quantized import weight_shape
from foretaste.sources.weight_space import Layer, Weight

try:
    from peft.tuners.lora import LoraLayer
    from transformers.pytorch_utils import Conv1D
except ImportError as error:  # pragma: no cover - the tests install the extra
    raise MissingExtra("finetuning by LoRA needs peft; install it with: pip install 'foretaste[lora]'") from error

__all__ = ["factors_of", "other_weights", "weights_with_factors"]


def factors_of(module: LoraLayer) -> tuple[nn.Parameter, nn.Parameter, Layout]:
    """Return the factors A and B of a layer, and what kind of layer it is."""
    layout = _layout(module.get_base_layer())
    if layout == "embedding":
        return module.lora_embedding_A["default"], module.lora_embedding_B["default"], layout
    return module.lora_A["default"].weight, module.lora_B["default"].weight, layout


def weights_with_factors(model: nn.Module, layers: Sequence[str], alpha: float, stabilised: bool) -> dict[str, Layer]:
    """Describe the weights of layers with factors, by their names in the model.

    Args:
        model: A model with factors.
        layers: Names of the layers that have some.
        alpha: Numerator of the scaling.
        stabilised: Whether the scaling is rsLoRA's.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    weights = {}
    for path in layers:
        module = model.get_submodule(path)
        assert isinstance(module, LoraLayer)
        base, (a, b, layout) = module.get_base_layer(), factors_of(module)
        weight, turned = base.weight, isinstance(base, Conv1D)
        assert isinstance(weight, torch.Tensor)
        own = names[id(a)], names[id(b)], alpha, stabilised, a.shape[0]
        weights[names[id(weight)]] = Layer(layout, weight_shape(base), turned, *own)
    return weights


def other_weights(layers: Mapping[str, nn.Module], targets: Sequence[str], parameters: Params) -> dict[str, Weight]:
    """Describe the weights that could have factors and have none.

    Args:
        layers: The layers that could have factors, by name.
        targets: Those of them that have some.
        parameters: The model's; a tied weight counts under its first name alone.

    >>> layer = nn.Linear(2, 3)
    >>> other_weights({"q": layer}, [], {"q.weight": layer.weight})
    {'q.weight': Weight(...)}
    """
    weights = {}
    for name, module in layers.items():
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        if name not in targets and parameters.get(f"{name}.weight") is weight:
            weights[f"{name}.weight"] = Weight(_layout(module), weight_shape(module), isinstance(module, Conv1D))
    return weights


def _layout(module: nn.Module) -> Layout:
    if isinstance(module, nn.Embedding):
        return "embedding"
    return "convolution" if isinstance(module, nn.Conv1d | nn.Conv2d) else "linear"
