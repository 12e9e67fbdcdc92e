"""Checks by headers and configurations whether adapters fit a base, and the base's tensors that they change."""

from collections.abc import Mapping
from pathlib import Path

from foretaste.errors import DataError
from foretaste.lora import BASE_LAYER, WEIGHT, Adapter, Factors
from foretaste.names import first_faults
from foretaste.sources.checkpoint import Checkpoint, open_checkpoint
from foretaste.stored import Entry, Stored

__all__ = ["base_tensors", "preflight_adapters"]

_MOST_FAULTS = 6
_PROBED = 1 << 12  # entries of a tensor by which two models are compared
_OUTPUT = "lm_head.weight"
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "shared.weight", "word_embeddings.weight", "embed_in.weight")


def preflight_adapters(base: Checkpoint, adapters: Mapping[str, Adapter]) -> tuple[str, ...]:
    """Check that adapters change tensors that a base has, in its shapes.

    Names may differ in front of the layers, as a checkpoint may lack the model's head.

    Args:
        base: The model that they were trained on.
        adapters: The adapters, by task.

    Returns:
        Notes on adapters that name a folder with another model as their base, and on adapters that change one of two
        tied layers, for which a full checkpoint of the base has no room.

    Raises:
        DataError: Adapters do not fit; all reasons are listed.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> adapter = Adapter({"h.0.q": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text("{}")
    ...     save_file({"h.0.q.weight": torch.ones(4, 4)}, Path(folder, "model.safetensors"))
    ...     preflight_adapters(open_checkpoint(Path(folder)), {"code": adapter})
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: task 'code' does not fit the base: it changes h.0.q by [2, 3], and h.0.q.weight of the
    base is [4, 4] give the base that the adapter was trained on (--base), or import an adapter of this one
    """
    places: dict[str, list[str]] = {}
    for name in base.params.entries:
        places.setdefault(_in_layers(name), []).append(name)
    faults, notes = [], []
    for task, adapter in adapters.items():
        mismatches = [fault for name, own in adapter.modules.items() for fault in _apart(base, places, name, own)]
        origin = f" (it says that it was trained on {adapter.base})" if adapter.base and mismatches else ""
        faults += [
            f"task {task!r} does not fit the base{origin}: {fault}" for fault in first_faults(mismatches, _MOST_FAULTS)
        ]
        if not mismatches and adapter.base and _is_another(base, Path(adapter.base)):
            notes.append(
                f"task {task!r} says that it was trained on {adapter.base}, which holds another model than the base"
                f" {base.folder}; what is merged is then another model too"
            )
        if not mismatches and (changed := _one_of_two_tied(base, adapter)) is not None:
            notes.append(
                f"task {task!r} changes {changed}, which the base ties to another layer; the adapter merges with others"
                " as it is (foretaste export), and a recipe that starts from this base will refuse it, because one"
                " tied parameter cannot hold both"
            )
    if faults:
        raise DataError(
            "\n".join(
                [*faults, "give the base that the adapter was trained on (--base), or import an adapter of this one"]
            )
        )
    return tuple(notes)


def _one_of_two_tied(base: Checkpoint, adapter: Adapter) -> str | None:
    """Name the layer, embeddings or output, that an adapter changes alone although the base ties both, or None."""
    if any(name.endswith(_OUTPUT) for name in base.params.entries) or base.config.get("tie_word_embeddings") is False:
        return None
    changed = [name + WEIGHT for name in adapter.modules]
    changed += [name for name in adapter.full if not name.endswith(BASE_LAYER)]
    ends = [name for name in changed if name.endswith((*_EMBEDDINGS, _OUTPUT))]
    return ends[0] if ends and not adapter.config.get("ensure_weight_tying") and _is_language(base) else None


def _is_language(base: Checkpoint) -> bool:
    """Tell whether the model writes tokens, by the class that its configuration names."""
    classes = base.config.get("architectures") or []
    return any(str(name).endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in classes)


def base_tensors(base: Checkpoint, adapters: Mapping[str, Adapter]) -> Stored:
    """Find the base's tensors that adapters replace or change, by the adapters' names; they stay in their files.

    Args:
        base: The model that they were trained on. An output layer that it leaves out is its embeddings.
        adapters: The adapters, by task.

    Returns:
        The tensors that the base has; a new head is not among them.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> adapter = Adapter({}, {"model.embed_tokens.weight": torch.ones(2, 2), "score.weight": torch.ones(1, 2)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text("{}")
    ...     save_file({"embed_tokens.weight": torch.ones(2, 2)}, Path(folder, "model.safetensors"))
    ...     list(base_tensors(open_checkpoint(Path(folder)), {"code": adapter}))
    ['model.embed_tokens.weight']
    """
    names = {name.replace(BASE_LAYER, WEIGHT) for adapter in adapters.values() for name in adapter.full}
    names |= {module + WEIGHT for adapter in adapters.values() for module in adapter.modules}
    entries = {name: _entry_of(base, name) for name in sorted(names)}
    return Stored({name: entry for name, entry in entries.items() if entry is not None})


def _entry_of(base: Checkpoint, name: str) -> Entry | None:
    stored = base.params.entries
    if name in stored:
        return stored[name]
    alike = [other for other in stored if f".{other}".endswith(f".{name}") or f".{name}".endswith(f".{other}")]
    if not alike and name.endswith(_OUTPUT) and base.config.get("tie_word_embeddings", True):
        alike = [other for other in stored if other.endswith(_EMBEDDINGS)]
    return stored[alike[0]] if len(alike) == 1 else None


def _apart(base: Checkpoint, places: Mapping[str, list[str]], name: str, own: Factors) -> list[str]:
    """List the reasons why a module's update cannot be added to the base."""
    weight = f"{name}.weight"
    there = places.get(_in_layers(weight), [])
    if not any(part.isdigit() for part in name.split(".")):
        there = [
            path_name
            for path_name in there
            if f".{path_name}".endswith(f".{weight}") or f".{weight}".endswith(f".{path_name}")
        ]
        if not there:
            return []  # an output layer that is tied to the embeddings or missing in the base
    shapes = [base.params.entries[path_name].shape for path_name in there]
    if not there:
        return [f"it changes {name}, which the base does not have"]
    turned = own.layout == "linear"  # some layers keep their weight as [in, out]
    if any(tuple(shape) == own.shape or (turned and tuple(shape) == own.shape[::-1]) for shape in shapes):
        return []
    return [f"it changes {name} by {list(own.shape)}, and {there[0]} of the base is {list(shapes[0])}"]


def _in_layers(name: str) -> str:
    """Cut a name to its part from the layers' number on, with the word before it; without one, to its last part."""
    parts = name.split(".")
    first = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    last = parts[-2:] if parts[-1] in ("weight", "bias") else parts[-1:]
    return ".".join(last if first is None else parts[max(first - 1, 0) :])


def _is_another(base: Checkpoint, folder: Path) -> bool:
    """Tell whether a folder that an adapter names exists and has other numbers than the base."""
    try:
        if not (folder / "config.json").is_file() or folder.resolve() == base.folder.resolve():
            return False
        other = open_checkpoint(folder).params
    except (DataError, OSError):
        return False
    for name, entry in base.params.entries.items():
        if name not in other or other.entries[name].shape != entry.shape:
            return True
        cut = slice(0, min(_PROBED, entry.count))
        if not base.params.part(name, cut).equal(other.part(name, cut)):
            return True
    return False
