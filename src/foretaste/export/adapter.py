"""Writing an adapter folder that PEFT loads.

References:
    PEFT checkpoint format, https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.export.folder import FACTS, new_folder
from foretaste.lora import BASE_LAYER, Adapter, Factors
from foretaste.sources.adapter import CONFIG, PREFIX, TENSORS, entry_of_saved
from foretaste.whole import write_whole

__all__ = ["write_adapter"]

_WITH_HEAD = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")


def write_adapter(
    target: Path,
    adapter: Adapter,
    facts: Mapping[str, object],
    *,
    overwrite: bool = False,
    keep: Mapping[str, Path] | None = None,
) -> None:
    """Write an adapter in PEFT's form, there under its name when it is complete and not before.

    Args:
        target: The folder to be.
        adapter: Its tensors are written as they are; its configuration is carried over, but for ranks, scalings and
            modules.
        facts: How it came about; kept in ``foretaste.json`` and in the tensor file's metadata.
        overwrite: Whether a folder that foretaste wrote is replaced.
        keep: What is never replaced, see `new_folder`.

    Raises:
        ParamsError: PEFT expects the head of a classifier, and the adapter has none.
        StorageError: See `new_folder`.

    >>> import tempfile, torch
    >>> from foretaste.sources.adapter import open_adapter
    >>> with tempfile.TemporaryDirectory() as place:
    ...     adapter = Adapter({"q": Factors(torch.ones(2, 3), torch.ones(2, 2), alpha=1)})
    ...     write_adapter(Path(place, "new"), adapter, {"weights": "a=1"})
    ...     open_adapter(Path(place, "new")).modules["q"].scaling
    0.5
    """
    if (task := adapter.config.get("task_type")) in _WITH_HEAD and not _modules_to_save(adapter):
        raise ParamsError(
            f"the adapter's task_type is {task}, for which PEFT expects a head, and none was averaged; lend it a task's"
            " own: adapter.with_full(adapters[TASK].full)"
        )
    tensors = _tensors(adapter)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with new_folder(target, needed, overwrite=overwrite, keep=keep) as folder:
        metadata = {"format": "pt", "foretaste": json.dumps(facts)}
        write_whole(folder / TENSORS, lambda path: save_file(tensors, path, metadata=metadata))
        for name, content in ((CONFIG, _config(adapter)), (FACTS, facts)):
            (folder / name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def _tensors(adapter: Adapter) -> dict[str, Tensor]:
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


def _config(adapter: Adapter) -> dict[str, object]:
    """What the adapter's configuration says, with every module named and its own rank and scaling."""
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
        "modules_to_save": _modules_to_save(adapter) or None,
        "fan_in_fan_out": adapter.fan_in_fan_out,
    }


def _modules_to_save(adapter: Adapter) -> list[str]:
    """Entries of ``modules_to_save`` for all full tensors: the configuration's own, else the module's name."""
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
