"""Tensor files: safetensors that are written whole and named by their content."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretaste.digests import digest
from foretaste.errors import DataError
from foretaste.json_text import parse_json
from foretaste.params import Params
from foretaste.whole import write_whole

__all__ = ["load", "load_metadata", "save", "write"]


def save(folder: Path, params: Params) -> str:
    """Store params under their content hash; the same content is stored once.

    Args:
        folder: A folder that exists.
        params: Tensors on any device; tied ones must not share memory.

    Returns:
        The hash, which is the file's name.

    Raises:
        StorageError: The disk refuses.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = save(Path(folder), {"w": torch.ones(2)})
    ...     load(Path(folder) / f"{name}.safetensors")
    {'w': tensor([1., 1.])}
    """
    name = digest(params)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        write(path, params)
    return name


def write(path: Path, params: Params, metadata: Mapping[str, object] | None = None) -> None:
    """Write a safetensors file with JSON metadata to a temporary file, and then rename it.

    Raises:
        StorageError: The disk refuses the file; nothing is left under the final name.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(path := Path(folder) / "a.safetensors", {"w": torch.ones(2)}, {"step": 3})
    ...     load(path), load_metadata(path)
    ({'w': tensor([1., 1.])}, {'step': 3})
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in params.items()}
    header = {"foretaste": json.dumps(metadata)} if metadata is not None else None
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def load(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        DataError: The file is missing, truncated or not safetensors.

    >>> load(Path("no-such-folder/a.safetensors"))
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no-such-folder/a.safetensors is missing; it may have been deleted from the study
    """
    try:
        with safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path} is missing; it may have been deleted from the study") from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it is truncated or not a safetensors file: copy or make it again"
        ) from error


def load_metadata(path: Path) -> dict[str, Any]:
    """Read the JSON metadata of a file that `write` wrote.

    Raises:
        DataError: The file is missing, truncated or without such metadata.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(path := Path(folder) / "a.safetensors", {"w": torch.ones(2)}, {"step": 3})
    ...     load_metadata(path)
    {'step': 3}
    """
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = parse_json(handle.metadata()["foretaste"])
        if not isinstance(metadata, dict):
            raise ValueError("it is not a JSON object")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} has no readable metadata of foretaste ({error})") from error
    return metadata
