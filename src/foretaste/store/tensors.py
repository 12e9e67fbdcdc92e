"""Tensor files: safetensors, written whole, named by what they hold."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import DataError, StorageError
from foretaste.params import Params, digest

__all__ = ["load", "load_metadata", "save", "sweep", "synced", "write", "written_whole"]


def save(folder: Path, params: Params) -> str:
    """Keep params under their content hash; the same content is kept once.

    Args:
        folder: Exists.
        params: Tensors on any device; tied ones must not share memory.

    Returns:
        The hash, which `load` takes.

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
    """Write one safetensors file with JSON metadata: to a temporary file, then renamed.

    Raises:
        StorageError: The disk refuses; nothing is left under the final name.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(path := Path(folder) / "a.safetensors", {"w": torch.ones(2)}, {"step": 3})
    ...     load(path), load_metadata(path)
    ({'w': tensor([1., 1.])}, {'step': 3})
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in params.items()}
    header = {"foretaste": json.dumps(metadata)} if metadata is not None else None
    written_whole(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def written_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a temporary file beside ``path``, then rename it.

    Raises:
        StorageError: The disk refuses; the temporary file is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written_whole(Path(folder) / "a.txt", lambda path: path.write_text("whole"))
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fill(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        synced(path.parent)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"could not write {path}: {error}; free some space or choose another place, then run again; nothing is lost"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def synced(folder: Path) -> None:
    """Make a rename in this folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what writers that were killed left behind.

    Args:
        folder: Where they wrote.
        name: Of what they wrote; of anything if left out, where the folder is ours alone.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / ".a.safetensors.999999999.tmp").touch()
    ...     sweep(Path(folder))
    ...     list(Path(folder).iterdir())
    []
    """
    for path in folder.glob(f".{name}.*.tmp"):
        writer = path.name.split(".")[-2]
        if not writer.isdigit():
            continue  # not ours
        try:
            os.kill(int(writer), 0)
        except ProcessLookupError:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except (PermissionError, OverflowError):
            continue


def load(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        DataError: Missing, truncated or not safetensors.

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
        raise DataError(f"{path} cannot be read ({error}); it is truncated or not a safetensors file: copy or make it again") from error


def load_metadata(path: Path) -> dict[str, Any]:
    """The JSON metadata that `write` put in.

    Raises:
        DataError: Missing, truncated or without our metadata.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(path := Path(folder) / "a.safetensors", {"w": torch.ones(2)}, {"step": 3})
    ...     load_metadata(path)
    {'step': 3}
    """
    try:
        with safe_open(path, framework="pt") as handle:
            found = json.loads(handle.metadata()["foretaste"])
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise DataError(f"{path} has no readable metadata of foretaste ({error})") from error
    assert isinstance(found, dict)
    return found
