"""The store of a study: a folder with everything that was computed for one question.

Rows (recipes, finished work, evaluations) are behind `foretaste.store.rows`, in ``STUDY/study.db``. Tensors, snapshots
and claims are behind `foretaste.store.artefacts`, in ``STUDY/tensors`` and ``STUDY/running``. The jobs of the study's
page are behind `foretaste.store.queue`, in ``STUDY/queue.db``. Nothing outside this room opens these.

The key of a piece of work is the hash of everything it depends on. So finished work is found by its key and not done
again. If two processes open a study, one of them does a piece of work while the other waits.
"""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from foretaste.errors import DataError, StorageError, StudyError
from foretaste.evaluation import Evaluation
from foretaste.store import database
from foretaste.store.artefacts import Artefacts
from foretaste.store.folder_artefacts import FolderArtefacts
from foretaste.store.queue import Queue
from foretaste.store.rows import Done, Json, Record, Rows, key_of
from foretaste.store.sql_queue import SqlQueue
from foretaste.store.sql_rows import SqlRows
from foretaste.store.tables import SCHEMA
from foretaste.surface.table import Headline, Surface
from foretaste.target import DATABASE, check_text, is_study, path_kind, resolved, study_above

if TYPE_CHECKING:
    from torch import Tensor

    from foretaste.params import Params
    from foretaste.train.run import Snapshot

__all__ = ["Done", "Json", "StudyStore", "key_of", "require_space"]

_OURS = {"tensors", "running", "study.lock", f"{DATABASE}-wal", f"{DATABASE}-shm"}


class StudyStore:
    """The rows and artefacts of a study; use `open` or `create`.

    Args:
        path: The study's folder, for messages; its content is behind the ports.
        rows: Recipes, work and evaluations.
        artefacts: Tensors, snapshots and claims.
    """

    def __init__(self, path: Path, rows: Rows, artefacts: Artefacts) -> None:
        self.path = path
        self._rows, self._artefacts = rows, artefacts

    @classmethod
    def create(cls, path: Path) -> "StudyStore":
        """Open the study in this folder for work: create it if there is none, migrate it if its version is earlier.

        Raises:
            StorageError: The folder cannot be written.
            StudyError: The folder holds something else, or a newer study.
        """
        check_text(resolved(path))
        above = study_above(resolved(path).parent)
        if above is not None:
            raise StudyError(f"{path} is within the study {above}; name another folder with --study")
        if (
            path_kind(path) == "folder"
            and not (path / DATABASE).exists()
            and {child.name for child in path.iterdir()} - _OURS
        ):
            raise StudyError(f"{path} holds files that are not a study; name another folder with --study")
        database.check_schema(path / DATABASE, create=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with FileLock(path / "study.lock"):  # only one of several processes creates it
                rows = SqlRows.open(path / DATABASE, create=True)
                artefacts = FolderArtefacts.create(path)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"cannot make the study folder {path}: {error}; name another folder with --study"
            ) from error
        return cls(path, rows, artefacts)

    @classmethod
    def open(cls, path: Path) -> "StudyStore":
        """Open a study that exists; one of an earlier version can be read, and is left as it is.

        Raises:
            StudyError: There is no study, or it is newer than this version.
        """
        return cls(path, SqlRows.open(path / DATABASE, create=False), FolderArtefacts(path))

    @classmethod
    def upgrade(cls, path: Path) -> None:
        """Move a study of an earlier version to this one.

        A study of this version, or a folder without one, is left as it is.

        Raises:
            StudyError: The study is newer than this version.
            StorageError: The folder cannot be written.
        """
        if cls.is_earlier(path):
            cls.create(path).close()

    @staticmethod
    def is_earlier(path: Path) -> bool:
        """Tell whether a folder has a study of an earlier version, which `create` would move to this one.

        Raises:
            StudyError: The folder holds something else, or a newer study.
        """
        schema = database.check_schema(path / DATABASE, create=True)
        return schema is not None and schema < SCHEMA

    @staticmethod
    def exists(path: Path) -> bool:
        """Tell whether there is a study in a folder."""
        return is_study(path)

    @staticmethod
    def open_queue(path: Path) -> Queue:
        """Open the queue of the jobs that a study's page asks for.

        Raises:
            StudyError: There is no study.
        """
        return SqlQueue(path)

    def close(self) -> None:
        """Close the database."""
        self._rows.close()

    def __enter__(self) -> "StudyStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        """Return the latest recipe's text and plan; None if there is no recipe."""
        return self._rows.recipe()

    def add_recipe(self, text: str, plan: Json) -> None:
        """Add a recipe, unless it equals the latest."""
        self._rows.add_recipe(text, plan)

    def find(self, key: str) -> Done | None:
        """Return the finished work of a key, or None; work whose tensor file was deleted counts as not done."""
        return self.find_all([key]).get(key)

    def find_all(self, keys: Collection[str]) -> dict[str, Done]:
        """Return the finished work of some keys, by key, with one query; see `find`."""
        work = self._rows.work(keys)
        return {key: done for key, done in work.items() if done.artefact is None or self._artefacts.has(done.artefact)}

    def is_begun(self) -> bool:
        """Tell whether any work was done or begun in this study; imports of models do not count."""
        done = any(work.kind != "import" and "import" not in work.inputs for work in self.all_work())
        return done or self._artefacts.has_snapshots()

    def all_work(self, kind: str | None = None) -> list[Done]:
        """Return finished work in the order in which it was done, all or of one kind."""
        return self._rows.all_work(kind)

    def add(self, kind: str, key: str, inputs: Json, result: Json, params: "Params | None", seconds: float) -> Done:
        """Store finished work; its tensors come first, so that a row never lacks its file."""
        record = self._record(Done(key, kind, inputs, result, None, seconds), params)
        self._rows.add([record])
        self.drop_snapshot(key)
        return record.done

    def add_evaluation(self, key: str, inputs: Json, evaluation: Evaluation, results: "Params") -> None:
        """Store an evaluation with the results of every example."""
        self.add_evaluations([(key, inputs, evaluation, results)])

    def add_evaluations(self, rows: "Sequence[tuple[str, Json, Evaluation, Params]]") -> None:
        """Store evaluations, all or none, each with the results of every example in its own file."""
        self._rows.add(
            [
                self._record(Done(key, "evaluation", inputs, {}, None, evaluation.cost), results, evaluation)
                for key, inputs, evaluation, results in rows
            ]
        )

    def tell_evaluations(self, evaluations: Sequence[tuple[str, Json, Evaluation]]) -> None:
        """Store evaluations made elsewhere, all or none; one of an existing key takes the place of the former one."""
        self._rows.replace(
            [
                Record(Done(key, "evaluation", inputs, {}, None, evaluation.cost), 0, evaluation)
                for key, inputs, evaluation in evaluations
            ]
        )

    def evaluation(self, key: str) -> Evaluation | None:
        """Return the evaluation of a key, or None."""
        return self.evaluations([key]).get(key)

    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        """Return the evaluations among some keys, by key."""
        return self._rows.evaluations(keys)

    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        """Return the evaluations added after a number; see `Rows.evaluations_after`."""
        return self._rows.evaluations_after(number)

    def surface(self, headlines: Mapping[str, Headline], inside: bool = False) -> Surface:
        """Return every evaluation of the study as a surface."""
        return Surface(headlines, tuple(self.evaluations_after(0)[0]), inside)

    def revision(self) -> str:
        """Return a text that changes whenever an evaluation or a recipe is added."""
        return self._rows.revision()

    def tensors(self, artefact: str | None) -> "dict[str, Tensor]":
        """Read the tensors of an artefact.

        Raises:
            DataError: The file is missing, or its content does not match its name.
        """
        if artefact is None:
            raise DataError("this work has no tensor file")
        return self._artefacts.get(artefact)

    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Claim a piece of work, so that one process at a time does it; the claim of a killed process ends.

        Args:
            key: The work's key.
            waiting: Called about every second while another process does the work; may raise.
        """
        return self._artefacts.claim(key, waiting)

    def save_snapshot(self, key: str, state: "Snapshot", seconds: float) -> None:
        """Store a snapshot of unfinished training and the seconds that it took so far."""
        facts = {
            "seconds": seconds,
            "step": state.step,
            "history": state.history,
            "seen": state.data_counts,
            "scaler": state.scaler,
        }
        self._artefacts.put_snapshot(key, state.tensors, facts)

    def load_snapshot(self, key: str) -> "tuple[Snapshot | None, float]":
        """Read the snapshot of unfinished training, if there is one, and the seconds spent until then."""
        from foretaste.train.run import Snapshot  # needs torch, which rows do not

        snapshot = self._artefacts.get_snapshot(key)
        if snapshot is None:
            return None, 0.0
        tensors, facts = snapshot
        return Snapshot(facts["step"], tensors, facts["history"], facts["seen"], facts["scaler"]), facts["seconds"]

    def drop_snapshot(self, key: str) -> None:
        """Delete the snapshot of training that is finished."""
        self._artefacts.drop_snapshot(key)

    @property
    def tracking(self) -> Path:
        """Return the folder for the files of trackers, which need not exist yet."""
        return self.path / "tracking"

    @property
    def snapshots_at(self) -> str:
        """Return the place of snapshots, for messages."""
        return self._artefacts.snapshots_at

    def _record(self, done: Done, params: "Params | None", evaluation: Evaluation | None = None) -> Record:
        """Store the tensors of finished work, and return the record to add to the rows."""
        if params is None:
            return Record(done, 0, evaluation)
        digest = self._artefacts.put(params)
        return Record(replace(done, artefact=digest), self._artefacts.size(digest), evaluation)


def require_space(path: Path, needed: int) -> None:
    """Check that the disk has room for a study.

    Args:
        path: The study's folder, which need not exist yet.
        needed: Bytes that are needed.

    Raises:
        StorageError: Fewer bytes are free.

    >>> require_space(Path("no-such-study"), 1)
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    total, _, free = shutil.disk_usage(existing)
    if total and free < needed:  # a file system of size 0 is refused when the study is created
        sizes = f"needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise StorageError(f"{path} {sizes}; free some space or name another folder with --study")
