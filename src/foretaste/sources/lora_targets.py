"""The layers that get LoRA factors: those that can have some, and among them those that a recipe or PEFT chooses."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from torch import nn

from foretaste.errors import DataError, MissingExtra

try:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
    from transformers import PreTrainedModel
    from transformers.pytorch_utils import Conv1D
except ImportError as error:  # pragma: no cover - the tests install the extra
    raise MissingExtra("finetuning by LoRA needs peft; install it with: pip install 'foretaste[lora]'") from error

__all__ = ["Targets", "at_targets", "choose_targets", "layers_for_factors"]

Targets = Literal["all-linear"] | Sequence[str] | None

_LAYERS = (nn.Linear, Conv1D, nn.Embedding, nn.Conv1d, nn.Conv2d)
_BYPASSING = (nn.MultiheadAttention, nn.TransformerEncoderLayer)  # use their layers' weights without calling the layers
_ADVICE = "name layers under finetune.targets"


def layers_for_factors(model: nn.Module, shared: Collection[str]) -> dict[str, nn.Module]:
    """Find the layers that can have factors: those of a supported class that are called and that all tasks have.

    Args:
        model: The model.
        shared: Names of the parameters that all tasks have.

    >>> list(layers_for_factors(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), {"0.weight", "0.bias"}))
    ['0']
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    bypassed = {
        id(child) for module in model.modules() if isinstance(module, _BYPASSING) for child in module.children()
    }
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _LAYERS)
        and id(module) not in bypassed
        and all(names[id(parameter)] in shared for parameter in module.parameters(recurse=False))
    }


def choose_targets(model: nn.Module, layers: Mapping[str, nn.Module], chosen: Targets) -> list[str]:
    """Name the layers that get factors.

    Args:
        model: The model.
        layers: Those of its layers that can have factors, by name.
        chosen: What the recipe says.

    Raises:
        DataError: A layer is missing or cannot have factors, or PEFT has no default layers for the architecture.

    >>> model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    >>> choose_targets(model, {"0": model[0]}, "all-linear")
    ['0']
    """
    targets = chosen if chosen is not None else _usual(model, layers)
    if targets == "all-linear":
        last = {id(target.get_output_embeddings()) for target in model.modules() if isinstance(target, PreTrainedModel)}
        linear = [
            name for name, target in layers.items() if isinstance(target, nn.Linear | Conv1D) and id(target) not in last
        ]
        if not linear:
            raise at_targets(f"the model has no linear layer to put factors beside; {_ADVICE}{_such_as(layers)}")
        return linear
    if isinstance(targets, str):  # some of PEFT's defaults are patterns
        return [name for name in layers if re.fullmatch(targets, name)]
    for target in targets:
        if not any(_ends(name, target) for name in layers):
            there = any(_ends(name, target) for name, _ in model.named_modules())
            reason = (
                "cannot have factors: it is new, not every task's, or of another kind"
                if there
                else "is the name of no layer"
            )
            raise at_targets(f"{target!r} {reason}; {_ADVICE}{_such_as(layers)}")
    return [name for name in layers if any(_ends(name, target) for target in targets)]


def _usual(model: nn.Module, layers: Mapping[str, nn.Module]) -> str | Sequence[str]:
    configs = (module.config for module in model.modules() if isinstance(module, PreTrainedModel))
    kind = next((str(config.model_type) for config in configs), None)
    usual = USUAL.get(kind)
    if usual is None:
        models = f"models of type {kind!r}" if kind else "a model of your own"
        raise at_targets(f"PEFT has no usual layers for {models}; {_ADVICE}{_such_as(layers)}, or all-linear")
    targets: str | Sequence[str] = usual
    return targets


def _ends(name: str, end: str) -> bool:
    return f".{name}".endswith(f".{end}")


def _such_as(layers: Mapping[str, nn.Module]) -> str:
    """List the last parts of a few layers' names, which many layers share."""
    ends = list(
        dict.fromkeys(name.rpartition(".")[2] for name, layer in layers.items() if not isinstance(layer, nn.Embedding))
    )
    return f", for example [{', '.join(ends[:6])}]" if ends else ""


def at_targets(message: str) -> DataError:
    """Make an error about the recipe's targets.

    >>> at_targets("no such layer").field
    ('finetune', 'targets')
    """
    return DataError(message).at("finetune", "targets")
