"""Artefacts in a local folder.

::

    FOLDER/tensors/DIGEST.safetensors   params, sites, per-example results
    FOLDER/running/KEY.safetensors      snapshots of work that is not finished
    FOLDER/running/KEY.lock             claims on work
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from foretaste.errors import DataError, StorageError
from foretaste.store.artefacts import Artefacts
from foretaste.temporary import sweep

if TYPE_CHECKING:
    from torch import Tensor

    from foretaste.params import Params

__all__ = ["FolderArtefacts"]


class FolderArtefacts(Artefacts):
    """The artefacts of a study in its folder.

    Args:
        folder: The study's folder.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artefacts = FolderArtefacts.create(Path(folder))
    ...     digest = artefacts.put({"w": torch.arange(4.0)})
    ...     artefacts.get(digest), artefacts.slice(digest, "w", slice(1, 3))
    ({'w': tensor([0., 1., 2., 3.])}, tensor([1., 2.]))
    """

    def __init__(self, folder: Path) -> None:
        self._tensors, self._running = folder / "tensors", folder / "running"

    @classmethod
    def create(cls, folder: Path) -> "FolderArtefacts":
        """Open the artefacts of a study for work: create their folders, and remove temporary files of killed writers.

        Raises:
            OSError: The folder cannot be written.
        """
        artefacts = cls(folder)
        for part in (artefacts._tensors, artefacts._running):
            part.mkdir(exist_ok=True)
            sweep(part)
        return artefacts

    # What reads and writes tensors needs torch, which rows do not: it is imported when it is used.

    def put(self, params: "Params") -> str:
        from foretaste.store.tensors import save

        return save(self._tensors, params)

    def get(self, digest: str) -> "dict[str, Tensor]":
        from foretaste.digests import digest as digest_of
        from foretaste.store.tensors import load

        path = self._file(digest)
        loaded = load(path)
        if digest_of(loaded) != digest:
            raise DataError(f"{path} is damaged: its content is not what its name says; delete it and run again")
        return loaded

    def slice(self, digest: str, name: str, entries: slice) -> "Tensor":
        from foretaste.stored import Stored

        path = self._file(digest)
        self._check_present(path)
        params = Stored.open([path])
        if name not in params:
            raise DataError(f"{path} has no tensor {name!r}; it has {', '.join(params)}")
        return params.part(name, entries)

    def has(self, digest: str) -> bool:
        return self._file(digest).exists()

    def drop(self, digest: str) -> None:
        path = self._file(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"could not delete {path}: {error}; make its folder writable, then run again") from error

    def size(self, digest: str) -> int:
        path = self._file(digest)
        self._check_present(path)
        return path.stat().st_size

    def put_snapshot(self, key: str, state: "Params", facts: Mapping[str, object]) -> None:
        from foretaste.store.tensors import write

        write(self._snapshot(key), state, facts)

    def get_snapshot(self, key: str) -> "tuple[dict[str, Tensor], dict[str, Any]] | None":
        from foretaste.store.tensors import load, load_metadata

        path = self._snapshot(key)
        return (load(path), load_metadata(path)) if path.exists() else None

    def drop_snapshot(self, key: str) -> None:
        self._snapshot(key).unlink(missing_ok=True)

    def has_snapshots(self) -> bool:
        return any(self._running.glob("*.safetensors"))

    @property
    def snapshots_at(self) -> str:
        return str(self._running)

    @contextmanager
    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        lock = FileLock(self._running / f"{key}.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                waiting()
        try:
            yield
        finally:
            lock.release()

    def _check_present(self, path: Path) -> None:
        if not path.exists():
            raise DataError(f"{path} is missing; it may have been deleted from the study")

    def _file(self, digest: str) -> Path:
        return self._tensors / f"{digest}.safetensors"

    def _snapshot(self, key: str) -> Path:
        return self._running / f"{key}.safetensors"
