"""PEFT's LoRA adapters on disk: reading them, and checking whether several can be added up.

An adapter folder has ``adapter_config.json`` and ``adapter_model.safetensors``. An adapter is refused, with the reason,
if it is not an update ``s B A`` of the weights, or if its base was changed.

References:
    PEFT checkpoint format, https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from foretaste.errors import DataError, ParamsError
from foretaste.lora import BASE_LAYER, Adapter, Factors, Layout, misfits
from foretaste.names import first_few
from foretaste.params import Params, first_nonfinite, shape_of
from foretaste.sources.checkpoint import read_json, refuse_pickles
from foretaste.sources.patterns import matches_module
from foretaste.stored import Stored

__all__ = ["CONFIG", "PREFIX", "TENSORS", "check_adapters", "entry_of_saved", "open_adapter"]

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."

_FLOATS = {"F64", "F32", "F16", "BF16"}
_PARTS = {".lora_A.weight": ".lora_B.weight", ".lora_embedding_A": ".lora_embedding_B"}

_MERGE_IT = (
    "merge it into its model (PeftModel.merge_and_unload, then save_pretrained) and merge the checkpoints instead"
)
_REFUSED = {
    "use_dora": "DoRA rescales the whole weight, which no product of two factors does",
    "lora_bias": "its layers have a bias beside their factors",
    "layer_replication": "it repeats layers of its model",
    "target_parameters": "it changes parameters of no layer of their own (mixtures of experts)",
    "trainable_token_indices": "it has rows of embeddings beside its factors",
    "alora_invocation_tokens": "it acts on some tokens alone (aLoRA)",
    "arrow_config": "it routes between adapters (Arrow)",
    "use_qalora": "its factors act on pooled inputs (QALoRA)",
    "use_bdlora": "its factors are block-diagonal (BD-LoRA)",
    "kasa_config": "its model was changed before training (KaSA)",
    "monteclora_config": "its factors are random (MonteCLoRA)",
    "velora_config": "how it acts (VeLoRA) is not known here",
    "megatron_config": "its layers are split over processes (Megatron)",
}
_LARGEST = 1_000_000  # bound of alpha and rank, beyond any in use
_HARMLESS_INITS = (True, False, "gaussian", "eva", "orthogonal", "mica")  # the model stays as it was
_CONVERT_IT = (
    "save it with save_pretrained(..., path_initial_model_for_weight_conversion=...), which makes it plain LoRA, or"
)


def open_adapter(folder: Path) -> Adapter:
    """Read a LoRA adapter that PEFT saved; tensors keep their types, and full ones stay in the file.

    Args:
        folder: Folder with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        DataError: The folder has a pickle (the error tells how to convert it), damaged files, another kind of adapter,
            or more than plain LoRA.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, CONFIG).write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 2}')
    ...     factors = {f"{PREFIX}q.lora_A.weight": torch.ones(1, 3), f"{PREFIX}q.lora_B.weight": torch.ones(2, 1)}
    ...     save_file(factors, Path(folder, TENSORS))
    ...     found = open_adapter(Path(folder))
    ...     found.modules["q"].shape, found.modules["q"].scaling
    ((2, 3), 2.0)
    """
    config = _config(folder)
    path = _tensors(folder)
    stored = Stored.open([path])
    for name, entry in stored.entries.items():
        if entry.dtype not in _FLOATS:
            raise DataError(
                f"{name} in {path} is {entry.dtype}, too coarse to be merged; use the adapter in bfloat16 or wider"
            )
        if not name.startswith(PREFIX):
            raise DataError(
                f"{name} in {path} is not a name that PEFT gives (they begin with {PREFIX}); save the adapter with PEFT"
            )
    own = Stored({name.removeprefix(PREFIX): entry for name, entry in stored.entries.items()})
    modules = _modules(own, config, path)
    if not modules:
        raise DataError(f"{path} has no LoRA factors; name a folder in which PEFT saved a LoRA adapter")
    factors = {name + part for name in modules for pair in _PARTS.items() for part in pair}
    full = Stored({name: entry for name, entry in own.entries.items() if name not in factors})
    for name in full:
        _check_full(name, modules, config, path)
    return Adapter(modules, full, config)


def entry_of_saved(name: str, entries: object) -> str | None:
    """Return the entry of ``modules_to_save`` that a full tensor belongs to, or None.

    PEFT saves every module whose name ends with an entry, even within a word: ``norm`` covers ``input_layernorm`` too.

    >>> entry_of_saved("bert.classifier.dense.weight", ["score", "classifier"])
    'classifier'
    """
    parts = name.split(".")
    paths = [".".join(parts[:end]) for end in range(1, len(parts))]
    names = [str(entry) for entry in entries] if isinstance(entries, list) else []
    return next((entry for entry in names if any(path.endswith(entry) for path in paths)), None)


def check_adapters(adapters: Mapping[str, Adapter]) -> tuple[str, ...]:
    """Check that adapters can be added up.

    Args:
        adapters: The adapters, by task.

    Returns:
        Notes on modules that only some adapters change, and on how full tensors are treated.

    Raises:
        DataError: The adapters cannot be added up; all reasons are listed.

    >>> import torch
    >>> one, two = (Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1) for _ in range(2))
    >>> check_adapters({"a": Adapter({"q": one, "v": one}), "b": Adapter({"q": two})})
    ("task 'b' does not change v; its update counts as zero there",)
    """
    faults = misfits(adapters)
    for task, adapter in adapters.items():
        if (name := first_nonfinite(adapter.full)) is not None:
            faults.append(f"task {task!r}: {name} holds NaN or infinity; train it again, or take one saved before")
    if faults:
        raise DataError("\n".join(faults))
    names = dict.fromkeys(name for adapter in adapters.values() for name in adapter.modules)
    notes = []
    for task, adapter in adapters.items():
        if absent := [name for name in names if name not in adapter.modules]:
            notes.append(f"task {task!r} does not change {first_few(absent, 3)}; its update counts as zero there")
        if not adapter.base and any(other.base for other in adapters.values()):
            notes.append(
                f"task {task!r} does not say what it was trained on; make sure that it is the model of the others"
            )
    return (*notes, *_notes_of_full({task: adapter.full for task, adapter in adapters.items()}))


def _notes_of_full(full: Mapping[str, Params]) -> list[str]:
    notes = []
    for name in dict.fromkeys(name for params in full.values() for name in params):
        owners = [task for task, params in full.items() if name in params]
        shapes = {shape_of(full[task], name) for task in owners}
        if name.endswith(BASE_LAYER):
            continue  # the base's own weight, repeated
        if len(shapes) > 1:
            notes.append(
                f"{name} has different shapes in different tasks; it is not averaged, and stays with each task"
            )
        elif len(owners) < len(full):
            notes.append(
                f"only {', '.join(owners)} saved {name} whole; for the other tasks the base's weight counts (--base)"
            )
        else:
            notes.append(
                f"every task saved {name} whole, so it is averaged; keep it private if it means different things there"
                " (labels)"
            )
    return notes


def _config(folder: Path) -> Mapping[str, object]:
    path = folder / CONFIG
    if not path.is_file():
        raise DataError(f"{folder} has no {CONFIG}; name a folder in which PEFT saved a LoRA adapter")
    config = read_json(path)
    try:
        json.dumps(config, allow_nan=False)
    except ValueError as error:
        raise DataError(
            f"{path} holds NaN or infinity; copy or download it again, or train the adapter with other numbers"
        ) from error
    _refuse(path, config)
    return config


def _refuse(path: Path, config: Mapping[str, object]) -> None:
    """Refuse an adapter that is not the sum of the model's own weights and updates ``s B A``."""
    if config.get("peft_type") != "LORA":
        kind = config.get("peft_type", "an unknown kind of")
        raise DataError(f"{path.parent} is a {kind} adapter; only LoRA adapters add up exactly; {_MERGE_IT}")
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise DataError(
                f"{path.parent} cannot be added to others exactly: {reason} ({key} in {CONFIG}); {_MERGE_IT}"
            )
    if (bias := config.get("bias", "none")) != "none":
        raise DataError(
            f"{path.parent} has biases of its model trained beside its factors (bias: {bias} in {CONFIG}); {_MERGE_IT}"
        )
    if (init := config.get("init_lora_weights", True)) not in _HARMLESS_INITS and init is not None:
        reason = f"its model was changed before training (init_lora_weights: {init} in {CONFIG})"
        raise DataError(f"{path.parent} does not belong to the model it names: {reason}; {_CONVERT_IT} {_MERGE_IT}")


def _tensors(folder: Path) -> Path:
    path = folder / TENSORS
    if path.is_file():
        return path
    refuse_pickles(
        folder, "convert it once with PEFT: PeftModel.from_pretrained(MODEL, FOLDER).save_pretrained(NEW_FOLDER)"
    )
    raise DataError(f"{folder} has no {TENSORS}; name a folder in which PEFT saved a LoRA adapter")


def _modules(stored: Stored, config: Mapping[str, object], path: Path) -> dict[str, Factors]:
    factors = {}
    for key in stored:
        first = next((part for part in _PARTS if key.endswith(part)), None)
        if first is None:
            continue
        name, second = key.removesuffix(first), key.removesuffix(first) + _PARTS[first]
        if second not in stored:
            raise DataError(f"{path} has {key} and no {second}; copy or download it again")
        if ".base_layer" in name:
            raise DataError(
                f"{name} in {path} is within another layer that has factors (nn.MultiheadAttention); {_MERGE_IT}"
            )
        a, b = stored[key], stored[second]
        layout: Layout = "embedding" if "embedding" in first else "linear" if a.ndim == 2 else "convolution"
        alpha, rank = (
            _number_for(name, config, "alpha_pattern", "lora_alpha"),
            _number_for(name, config, "rank_pattern", "r"),
        )
        try:
            factors[name] = Factors(a, b, alpha, stabilised=bool(config.get("use_rslora")), layout=layout)
        except ParamsError as error:
            reason = "is it a convolution in groups? " if a.ndim > 2 else ""
            raise DataError(f"{name} in {path}: {error}; {reason}{_MERGE_IT}") from error
        if rank != factors[name].rank:
            raise DataError(
                f"{name} in {path} has rank {factors[name].rank}, and {rank:g} by {CONFIG}; copy or download both again"
            )
    return factors


def _number_for(name: str, config: Mapping[str, object], patterns: str, default: str) -> float:
    """Return a module's number: that of the first pattern that matches its name or the end of it, or the default."""
    values = config.get(patterns) or {}
    try:
        pairs = values.items() if isinstance(values, dict) else ()
        value = next((value for pattern, value in pairs if matches_module(pattern, name)), config.get(default))
    except re.error:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"{CONFIG} is damaged: {default} or {patterns} give no number for {name}; copy or download it again"
        )
    if not 0 < abs(value) <= _LARGEST:
        raise DataError(
            f"{CONFIG} gives {value} for {name} ({default} or {patterns}), and a number between 0 and {_LARGEST:,} is"
            " expected; copy or download it again, or train the adapter with another"
        )
    return float(value)


def _check_full(name: str, modules: Collection[str], config: Mapping[str, object], path: Path) -> None:
    """Check that a full tensor is of ``modules_to_save``, or repeats the weight below an output layer's factors."""
    if "lora_" in name:
        raise DataError(f"{name} in {path} is not a factor of plain LoRA; {_MERGE_IT}")
    tied = bool(
        config.get("ensure_weight_tying")
    )  # PEFT then saves the output layer with the embeddings, and names the latter alone
    if (
        entry_of_saved(name, config.get("modules_to_save")) is None
        and name.removesuffix(BASE_LAYER) not in modules
        and not tied
    ):
        raise DataError(
            f"{name} in {path} is of no module that modules_to_save names (a larger vocabulary?); {_MERGE_IT}"
        )
