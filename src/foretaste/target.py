"""The one rule for every path that a command writes: never replace what foretaste did not write, unless told to.

A file that foretaste did not write is replaced only with ``--overwrite``. Folders, devices, pipes and sockets are never
replaced by a file. Within a study's folder a command writes only to the study's own places.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from foretaste.errors import StorageError

__all__ = [
    "DATABASE",
    "EXPORTS",
    "REPORT",
    "PathKind",
    "check_file",
    "check_outside_studies",
    "check_text",
    "has_mark",
    "is_study",
    "path_kind",
    "resolved",
    "study_above",
]

DATABASE = "study.db"  # file in a study's folder that makes it one
EXPORTS = "exports"  # folder in a study for what its page exports
REPORT = "report.html"  # a study's own report

PathKind = Literal["missing", "file", "folder", "special"]

_HEAD = 1 << 16  # bytes of a file that are searched for a mark


def resolved(target: Path) -> Path:
    """An absolute path without symbolic links.

    Raises:
        StorageError: Symbolic links go round in circles, or the path is impossible.

    >>> resolved(Path("/a/../b")).as_posix()
    '/b'
    """
    try:
        return target.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise StorageError(f"{target} cannot be used as a path ({error}); choose another place") from error


def path_kind(path: Path) -> PathKind:
    """What is at a path, behind symbolic links; ``special`` for devices, pipes and sockets.

    Raises:
        StorageError: The file system refuses the path, for example because its name is too long.

    >>> path_kind(Path("/")), path_kind(Path("/dev/null"))
    ('folder', 'special')
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"{path} cannot be used as a path ({reason}); choose another place") from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "special"


def check_file(target: Path, *, overwrite: bool, is_ours: Callable[[Path], bool] = lambda path: False) -> Path:
    """Check that a command may write a file, before there is any work for it.

    Args:
        target: The file to be.
        overwrite: Whether a file that foretaste did not write may be replaced.
        is_ours: Whether foretaste wrote a file that exists.

    Returns:
        The path to write to: absolute, and where ``target`` is a symbolic link, the file behind it.

    Raises:
        StorageError: The file may not be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "thesis.html").write_text("years of work")
    ...     check_file(Path(folder, "thesis.html"), overwrite=False)
    Traceback (most recent call last):
    ...
    foretaste.errors.StorageError: ... exists and was not written by foretaste; name another file, or replace it with
    --overwrite
    """
    path = resolved(target)
    kind = path_kind(path)
    if kind == "folder":
        raise StorageError(f"{target} is a folder; name a file in it")
    if kind == "special":
        raise StorageError(f"{target} is a device, a pipe or a socket, which is never replaced; name a regular file")
    check_outside_studies(target, path)
    if path_kind(path.parent) != "folder":
        raise StorageError(f"could not write {target}: {path.parent} is not a folder; make it, or name another file")
    if not os.access(path.parent, os.W_OK):
        raise StorageError(f"could not write {target}: the folder {path.parent} is not writable; name another file")
    if kind == "file" and not overwrite and not is_ours(path):
        raise StorageError(
            f"{target} exists and was not written by foretaste; name another file, or replace it with --overwrite"
        )
    return path


def check_text(folder: Path) -> None:
    """Check that a folder of tensor files has a name in UTF-8, as safetensors needs.

    Raises:
        StorageError: It has not.

    >>> check_text(Path("späte Läufe"))
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise StorageError(
            f"the name of {folder} is not valid UTF-8, which safetensors files need; choose another name"
        ) from None


def check_outside_studies(target: Path, path: Path) -> None:
    """Check that a path is in no study's folder, or is one of that study's own places.

    Args:
        target: As the user wrote it, for the error.
        path: The same, absolute.

    Raises:
        StorageError: It lies within a study, or is one.
    """
    study = study_above(path)
    if study is None:
        return
    parts = path.relative_to(study).parts
    if parts == (REPORT,) or (len(parts) > 1 and parts[0] == EXPORTS):
        return
    where = "is a study" if not parts else f"is within the study {study}"
    raise StorageError(f"{target} {where}, which only the study itself writes to; choose a place outside of it")


def study_above(path: Path) -> Path | None:
    """The study that an absolute path is, or lies in.

    >>> study_above(Path("/")) is None
    True
    """
    for folder in (path, *path.parents):
        try:
            if is_study(folder) and (folder / "tensors").is_dir():
                return folder
        except OSError:
            continue
    return None


def is_study(folder: Path) -> bool:
    """Whether there is a study in a folder.

    Raises:
        StorageError: The file system refuses the path.

    >>> is_study(Path("no-such-folder"))
    False
    """
    return path_kind(folder / DATABASE) == "file"


def has_mark(path: Path, marks: Sequence[str]) -> bool:
    """Whether one of some texts stands near the beginning of a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a").write_text("made by foretaste")
    ...     has_mark(Path(folder, "a"), ["foretaste"])
    True
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return any(mark.encode() in head for mark in marks)
