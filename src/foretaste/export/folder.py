"""A folder that is there under its name when it is complete, and not before."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretaste.errors import ForetasteError, StorageError
from foretaste.whole import sweep, synced

__all__ = ["new_folder"]


@contextmanager
def new_folder(target: Path, needed: int = 0, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder beside the final one, which is renamed at the end; what killed writers left there goes first.

    Args:
        target: The folder to be.
        needed: Bytes that will be written.
        overwrite: Whether a folder that exists is replaced, when the new one is complete.

    Raises:
        StorageError: The folder exists and is not empty, the disk has too little room, or refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with new_folder(Path(place, "out")) as folder:
    ...         _ = (folder / "a.txt").write_text("whole")
    ...     [path.name for path in Path(place).iterdir()], Path(place, "out", "a.txt").read_text()
    (['out'], 'whole')
    """
    if target.is_file():
        raise StorageError(f"{target} is a file; name a folder that does not exist yet")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise StorageError(f"{target} exists already; choose another folder, or replace it with --overwrite")
    hidden = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, target.name)
        _require_room(target, needed)
        hidden.mkdir()
        yield hidden
        _replace(target, hidden)
    except ForetasteError:
        raise
    except OSError as error:
        raise StorageError(f"could not write {target}: {error}; free some space or choose another place, then run again") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _require_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        sizes = f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise StorageError(f"{target} needs {sizes}; free some space or choose another place; nothing was written")


def _replace(target: Path, hidden: Path) -> None:
    """Rename; what was there before goes when the new folder is in its place."""
    old = target.with_name(f".{target.name}.old.{os.getpid()}.tmp")
    if target.exists():
        target.rename(old)
    hidden.rename(target)
    synced(target.parent)
    shutil.rmtree(old, ignore_errors=True)
