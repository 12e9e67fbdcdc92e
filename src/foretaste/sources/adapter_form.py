"""The form in which PEFT keeps an adapter: tensors by name, and a configuration.

References:
    PEFT checkpoint format, https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import math
import re
from collections import Counter

from torch import Tensor

from foretaste.lora import BASE_LAYER, Adapter, Factors
from foretaste.sources.adapter import PREFIX, entry_of_saved

__all__ = ["config_of_adapter", "modules_to_save", "tensors_of_adapter"]


def tensors_of_adapter(adapter: Adapter) -> dict[str, Tensor]:
    """Return an adapter's tensors by the names that PEFT gives them.

    >>> import torch
    >>> sorted(tensors_of_adapter(Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})))
    ['base_model.model.q.lora_A.weight', 'base_model.model.q.lora_B.weight']
    """
    tensors: dict[str, Tensor] = {}
    for name, factors in adapter.modules.items():
        parts = (
            ("lora_embedding_A", "lora_embedding_B")
            if factors.layout == "embedding"
            else ("lora_A.weight", "lora_B.weight")
        )
        tensors |= {
            f"{PREFIX}{name}.{part}": tensor for part, tensor in zip(parts, (factors.a, factors.b), strict=True)
        }
    tensors |= {f"{PREFIX}{name}": tensor for name, tensor in adapter.full.items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def config_of_adapter(adapter: Adapter) -> dict[str, object]:
    """Return what the adapter's configuration says, with every module named and its own rank and scaling.

    >>> import torch
    >>> config_of_adapter(Adapter({"q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=4)}))["lora_alpha"]
    4
    """
    modules = adapter.modules
    stabilised = all(factors.stabilised for factors in modules.values())
    ranks = {name: factors.rank for name, factors in modules.items()}
    alphas = {name: factors.alpha if stabilised else _plain_alpha(factors) for name, factors in modules.items()}
    rank, alpha = (Counter(factors.values()).most_common(1)[0][0] for factors in (ranks, alphas))
    return dict(adapter.config) | {
        "peft_type": "LORA",
        "inference_mode": True,
        "init_lora_weights": True,
        "bias": "none",
        "r": rank,
        "lora_alpha": _short(alpha),
        "use_rslora": stabilised,
        "rank_pattern": {_exact_pattern(name): factors for name, factors in ranks.items() if factors != rank},
        "alpha_pattern": {
            _exact_pattern(name): _short(factors) for name, factors in alphas.items() if factors != alpha
        },
        "target_modules": list(modules),
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "modules_to_save": modules_to_save(adapter) or None,
        "fan_in_fan_out": adapter.fan_in_fan_out,
    }


def modules_to_save(adapter: Adapter) -> list[str]:
    """Return entries of ``modules_to_save`` for all full tensors: the configuration's own, else the module's name.

    >>> import torch
    >>> modules_to_save(Adapter({}, {"score.weight": torch.ones(1, 1)}))
    ['score']
    """
    names = [name for name in adapter.full if not name.endswith(BASE_LAYER)]
    entries = (entry_of_saved(name, adapter.config.get("modules_to_save")) or name.rpartition(".")[0] for name in names)
    return list(dict.fromkeys(entries))


def _plain_alpha(factors: Factors) -> float:
    """The numerator over the rank, also of a scaling over its root."""
    return factors.alpha * math.sqrt(factors.rank) if factors.stabilised else factors.alpha


def _short(alpha: float) -> int | float:
    return int(alpha) if float(alpha).is_integer() else alpha


def _exact_pattern(name: str) -> str:
    """A pattern for this module and no other whose name ends like it."""
    return f"^{re.escape(name)}"
