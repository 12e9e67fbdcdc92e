"""Files that are there under their name when they are complete, and not before."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from foretaste.errors import StorageError

__all__ = ["sweep", "synced", "written_whole"]


def written_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a temporary file beside ``path``, then rename it.

    Args:
        path: Of the file, in a folder that exists or that ``fill`` makes.
        fill: Writes the file that it is given.

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
        try:
            fill(temporary)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        synced(path.parent)
    except (OSError, SafetensorError) as error:
        room = "" if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError) else "free some space or "
        raise StorageError(f"could not write {path}: {error}; {room}choose another place, then run again; nothing is lost") from error


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
