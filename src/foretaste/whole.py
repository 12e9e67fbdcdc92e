"""Files that are there under their name when they are complete, and not before."""

import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from foretaste.errors import StorageError
from foretaste.target import path_kind
from foretaste.temporary import temporary_path

__all__ = ["sync_folder", "write_whole"]


def write_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a temporary file beside ``path``, then rename it.

    Args:
        path: Of the file, in a folder that exists or that ``fill`` makes.
        fill: Writes the file that it is given.

    Raises:
        StorageError: There is a folder, device, pipe or socket under this name, which is never replaced; or the disk
            refuses, and the temporary file is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "a.txt", lambda path: path.write_text("whole"))
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    if path_kind(path) not in ("missing", "file"):
        raise StorageError(
            f"could not write {path}: it is not a regular file and is never replaced; choose another place"
        )
    temporary = temporary_path(path)
    try:
        try:
            fill(temporary)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        room = (
            "" if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError) else "free some space or "
        )
        raise StorageError(
            f"could not write {path}: {error}; {room}choose another place, then run again; nothing is lost"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
