"""A folder that is there under its name when it is complete, and not before.

In place of another only if foretaste wrote that.

Exports are marked: models and adapters hold ``foretaste.json``, mixtures a manifest that names foretaste's version.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foretaste.errors import ForetasteError, StorageError
from foretaste.json_text import parse_json
from foretaste.names import first_few
from foretaste.target import check_outside_studies, check_text, path_kind, resolved
from foretaste.temporary import sweep, temporary_path
from foretaste.whole import sync_folder

__all__ = ["FACTS", "MANIFEST", "check_folder", "new_folder"]

FACTS = "foretaste.json"
MANIFEST = "manifest.json"

_NAMES_IN_MESSAGE = 4


def check_folder(target: Path, *, overwrite: bool = False, keep: Mapping[str, Path] | None = None) -> Path:
    """Look whether a folder may be written, before there is any work for it.

    Args:
        target: The folder to be.
        overwrite: Whether one that foretaste wrote may be replaced.
        keep: Files and folders that are never replaced, by what they are; nor is what lies within or around them.

    Returns:
        Its whole path.

    Raises:
        StorageError: It is a file, is not empty and may not be replaced, or there is no folder that it could be made
            in.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Path(place, "thesis.txt").touch()
    ...     check_folder(Path(place), overwrite=True)
    Traceback (most recent call last):
    ...
    foretaste.errors.StorageError: ... holds thesis.txt and was not written by foretaste; --overwrite replaces only ...
    """
    whole = resolved(target)
    check_text(whole)
    kind = path_kind(whole)
    if kind == "file":
        raise StorageError(f"{target} is a file; name a folder that does not exist yet")
    if kind == "special":
        raise StorageError(f"{target} is a device, a pipe or a socket; name a folder that does not exist yet")
    above = next((path for path in whole.parents if path.exists()), whole)
    if not above.is_dir() or not os.access(above, os.W_OK):
        lacking = "" if above == whole.parent else f"the folder {whole.parent} does not exist and cannot be made: "
        fault = "is not writable" if above.is_dir() else "is not a folder"
        raise StorageError(f"could not write {target}: {lacking}{above} {fault}; choose another place")
    if kind == "missing" or not any(whole.iterdir()):
        _refuse_if_inside(target, whole)
        check_outside_studies(target, whole)
        return whole
    if not overwrite:
        way = ", or replace it with --overwrite" if _is_ours(whole) else ""
        raise StorageError(
            f"{target} exists already{'' if way else f' and holds {_content_of(whole)}'}; choose another folder{way}"
        )
    _refuse_protected(target, whole, keep or {})
    check_outside_studies(target, whole)
    if not _is_ours(whole):
        raise StorageError(
            f"{target} holds {_content_of(whole)} and was not written by foretaste; --overwrite replaces only what"
            " foretaste wrote; choose another folder"
        )
    _refuse_if_inside(target, whole)
    return whole


def _refuse_if_inside(target: Path, whole: Path) -> None:
    if whole.exists() and Path.cwd().is_relative_to(whole):
        raise StorageError(
            f"{target} is the folder that you are in, or above it, and cannot be replaced; choose another folder"
        )


def _refuse_protected(target: Path, whole: Path, keep: Mapping[str, Path]) -> None:
    """Nothing that a study needs is replaced, whoever wrote it."""
    for name, path in keep.items():
        protected = path.resolve()
        relation = (
            "is"
            if whole == protected
            else (
                "holds" if protected.is_relative_to(whole) else "is within" if whole.is_relative_to(protected) else None
            )
        )
        if relation is not None:
            raise StorageError(
                f"{target} {relation} {name} ({protected}), which --overwrite does not replace; choose another folder"
            )


def _is_ours(folder: Path) -> bool:
    """Whether an export of ours wrote a folder.

    A mixture with something beside it, such as a trained model, counts as not.
    """
    if (folder / FACTS).is_file():
        return True
    try:
        manifest = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            return False
        files = {
            MANIFEST,
            manifest["file"],
            *(file for trainer in manifest["trainers"].values() for file in trainer["files"]),
        }
        return "foretaste" in manifest["versions"] and {path.name for path in folder.iterdir()} <= files
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _content_of(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return first_few(names, _NAMES_IN_MESSAGE)


@contextmanager
def new_folder(
    target: Path, needed: int = 0, *, overwrite: bool = False, keep: Mapping[str, Path] | None = None
) -> Iterator[Path]:
    """A hidden folder beside the final one, which is renamed at the end; what killed writers left there goes first.

    Args:
        target: The folder to be.
        needed: Bytes that will be written.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete.
        keep: What is never replaced, see `check_folder`.

    Raises:
        StorageError: See `check_folder`; or the disk has too little room, or refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with new_folder(Path(place, "out")) as folder:
    ...         _ = (folder / "a.txt").write_text("whole")
    ...     [path.name for path in Path(place).iterdir()], Path(place, "out", "a.txt").read_text()
    (['out'], 'whole')
    """
    target = check_folder(target, overwrite=overwrite, keep=keep)
    hidden = temporary_path(target)
    try:
        _make_above(target)
        sweep(target.parent, target.name)
        _require_room(target, needed)
        hidden.mkdir()
        yield hidden
        check_folder(target, overwrite=overwrite, keep=keep)  # much may have happened since
        _replace(target, hidden)
    except ForetasteError:
        raise
    except OSError as error:
        raise StorageError(
            f"could not write {target}: {error}; free some space or choose another place, then run again"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _make_above(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the folder {target.parent} does not exist and cannot be made ({error.strerror})"
        raise StorageError(f"could not write {target}: {reason}; make it, or choose another place") from error


def _require_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        sizes = f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise StorageError(f"{target} needs {sizes}; free some space or choose another place; nothing was written")


def _replace(target: Path, hidden: Path) -> None:
    """Rename; what was there before goes when the new folder is in its place."""
    old = temporary_path(target, old=True)
    if target.exists():
        target.rename(old)
    hidden.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
