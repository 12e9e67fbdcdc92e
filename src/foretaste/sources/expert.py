"""Experts: models that were trained elsewhere, as folders on disk.

There are four kinds: a transformers checkpoint, an adapter that PEFT saved, a site file with its own params, and plain
safetensors with the model's names (the form for models that are not of transformers).
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from foretaste.errors import DataError
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.params import Params, buffers_of, parameters_of, shape_of, tied_names, wide
from foretaste.sources.adapter import CONFIG, TENSORS, open_adapter
from foretaste.sources.checkpoint import open_checkpoint, refuse_pickles
from foretaste.sources.site_file import NAME
from foretaste.stored import Stored
from foretaste.task import Task

__all__ = ["Expert", "Kind", "fit_to_model", "hash_files", "open_expert", "read_tensors", "stamp_files"]

Kind = Literal["checkpoint", "adapter", "site", "tensors"]

_BLOCK = 1 << 22
_MOST_NAMES = 4


@dataclass(frozen=True)
class Expert:
    """A folder with one task's model.

    Args:
        folder: The folder.
        kind: The kind of model in it.
        files: The files with the params.
        site: The site file with the task's curvature, if there is one.
    """

    folder: Path
    kind: Kind
    files: tuple[Path, ...]
    site: Path | None = None

    __repr__ = one_line


def open_expert(folder: Path) -> Expert:
    """Find the model in a folder by the names and headers of its files.

    Raises:
        DataError: The folder does not exist, holds no model, only pickles, or damaged files.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     open_expert(Path(folder)).kind
    'tensors'
    """
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist or is not a folder; name the folder that the expert was saved in")
    site = folder / NAME if (folder / NAME).is_file() else None
    if (folder / CONFIG).is_file():
        open_adapter(folder)
        return Expert(folder, "adapter", (folder / CONFIG, folder / TENSORS), site)
    if (folder / "config.json").is_file():
        return Expert(folder, "checkpoint", tuple(open_checkpoint(folder).files), site)
    files = sorted(path for path in folder.glob("*.safetensors") if path.name != NAME)
    if files:
        Stored.open(files)
        return Expert(folder, "tensors", tuple(files), site)
    if site is not None:
        return Expert(folder, "site", (site,), site)
    refuse_pickles(folder, "load it once with the program that made it and save it with save_pretrained")
    raise DataError(f"{folder} holds no model; name a checkpoint folder, an adapter folder, or one with {NAME}")


def hash_files(files: Iterable[Path], advance: Callable[[int], object] = lambda size: None) -> str:
    """Hash the content of some files, in this order.

    Args:
        files: The files, each read once.
        advance: Called with the number of bytes read since the last call.

    >>> hash_files([])[:8]
    'e3b0c442'
    """
    total, block = hashlib.sha256(), bytearray(_BLOCK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(block):
                total.update(memoryview(block)[:size])
                advance(size)
    return total.hexdigest()


def stamp_files(files: Iterable[Path]) -> list[list[int]]:
    """Return size and time of the last change of each file, which reveal a change without reading.

    >>> stamp_files([])
    []
    """
    return [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in files)]


def read_tensors(model: nn.Module, task: Task, expert: Expert) -> Params:
    """Read the params of an expert whose files have the model's names.

    Raises:
        DataError: The expert is an adapter or checkpoint, which have transformers' names. Or tensors are missing or
            have other shapes.

    >>> import tempfile, torch
    >>> from foretaste.metrics import METRICS
    >>> from foretaste.sources.problem import save_tensors
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tensors(nn.Linear(2, 2), Path(folder))
    ...     sorted(read_tensors(nn.Linear(2, 2), task, open_expert(Path(folder))))
    ['bias', 'weight']
    """
    if expert.kind == "adapter":
        raise DataError(
            f"{expert.folder} is an adapter, and this study's model is not of transformers; merge it into its model"
            " first"
        )
    return fit_to_model(
        model, task, Stored.open(path for path in expert.files if path.suffix == ".safetensors"), expert.folder
    )


def fit_to_model(model: nn.Module, task: Task, params: Params, folder: Path) -> Params:
    """Check that params fit a model and a task, and return all that the task has.

    Args:
        model: The model, with names, shapes, and buffers to use where params lack them.
        task: The task, which has some of the model's parameters.
        params: Params by the model's names; a tied parameter may have any of its names, or several.
        folder: The expert's folder, for errors.

    Returns:
        Params and buffers on the CPU, in float32 or wider.

    Raises:
        DataError: Params are missing or have other shapes; all are listed. Or the names of one tied parameter have
            different tensors, where the model has room for one.
    """
    own, buffers = parameters_of(model, task.names), buffers_of(model)
    params = _with_tied(model, params, folder)
    faults = [f"{name} is missing" for name in own if name not in params]
    faults += [
        f"shape of {name} is {list(shape_of(params, name))}, not {list(tensor.shape)}"
        for name, tensor in (own | buffers).items()
        if name in params and shape_of(params, name) != tensor.shape
    ]
    if faults:
        raise DataError(
            f"{folder} does not fit the model of the study for task {task.name!r}:"
            f" {first_few(faults, _MOST_NAMES, separator='; ')}; import a model that was finetuned from the recipe's,"
            " with this task's labels"
        )
    return {name: wide(params.get(name, tensor)).detach().cpu().clone() for name, tensor in (own | buffers).items()}


def _with_tied(model: nn.Module, params: Params, folder: Path) -> Params:
    """Return the params with each tied parameter under its first name.

    Raises:
        DataError: The names of one tied parameter have different tensors.
    """
    first: dict[str, Tensor] = {}
    for name, aliases in tied_names(model).items():
        present = [alias for alias in aliases if alias in params]
        if not present:
            continue
        different = next((alias for alias in present[1:] if not _is_same(params[present[0]], params[alias])), None)
        if different is not None:
            raise DataError(
                f"{folder} changes {present[0]} and {different} differently, and the study's model holds both as one"
                " tied parameter (tie_word_embeddings); start the study from a checkpoint that was saved with"
                " tie_word_embeddings=false and its own output layer, or train the expert without changing either of"
                " the two"
            )
        first[name] = params[present[0]]
    return {name: params[name] if name not in first else first[name] for name in {**dict.fromkeys(params), **first}}


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are equal up to rounding."""
    if one.shape != other.shape:
        return False
    a, b = wide(one), wide(other)
    return bool(torch.allclose(a, b, rtol=1e-5, atol=1e-6 * float(a.abs().max()) if a.numel() else 0.0))
