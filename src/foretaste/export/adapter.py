"""Writing an adapter folder that PEFT loads.

References:
    PEFT checkpoint format, https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from foretaste.errors import ParamsError
from foretaste.export.card import CARD
from foretaste.export.folder import FACTS, new_folder
from foretaste.lora import Adapter
from foretaste.sources.adapter import CONFIG, TENSORS
from foretaste.sources.adapter_form import config_of_adapter, modules_to_save, tensors_of_adapter
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
    card: str = "",
) -> None:
    """Write an adapter in PEFT's form, there under its name when it is complete and not before.

    Args:
        target: The folder to be.
        adapter: Its tensors are written as they are; its configuration is carried over, but for ranks, scalings and
            modules.
        facts: How it came about; kept in ``foretaste.json`` and in the tensor file's metadata.
        overwrite: Whether a folder that foretaste wrote is replaced.
        keep: What is never replaced, see `new_folder`.
        card: Text of the model card; none is written if left out.

    Raises:
        ParamsError: PEFT expects the head of a classifier, and the adapter has none.
        StorageError: See `new_folder`.

    >>> import tempfile, torch
    >>> from foretaste.lora import Factors
    >>> from foretaste.sources.adapter import open_adapter
    >>> with tempfile.TemporaryDirectory() as place:
    ...     adapter = Adapter({"q": Factors(torch.ones(2, 3), torch.ones(2, 2), alpha=1)})
    ...     write_adapter(Path(place, "new"), adapter, {"weights": "a=1"})
    ...     open_adapter(Path(place, "new")).modules["q"].scaling
    0.5
    """
    if (task := adapter.config.get("task_type")) in _WITH_HEAD and not modules_to_save(adapter):
        raise ParamsError(
            f"the adapter's task_type is {task}, for which PEFT expects a head, and none was averaged; lend it a task's"
            " own: adapter.with_full(adapters[TASK].full)"
        )
    tensors = tensors_of_adapter(adapter)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with new_folder(target, needed, overwrite=overwrite, keep=keep) as folder:
        metadata = {"format": "pt", "foretaste": json.dumps(facts)}
        write_whole(folder / TENSORS, lambda path: save_file(tensors, path, metadata=metadata))
        for name, content in ((CONFIG, config_of_adapter(adapter)), (FACTS, facts)):
            (folder / name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        if card:
            (folder / CARD).write_text(card, encoding="utf-8")
