"""A study: a folder that keeps everything made for one question.

Its rows (recipes, work done, evaluations) are behind `foretaste.store.rows`, in ``STUDY/study.db``; its tensors,
snapshots and claims are behind `foretaste.store.artefacts`, in ``STUDY/tensors`` and ``STUDY/running``. Nothing outside
this room opens these.

Work is named by the hash of everything it depends on; what is done is found, not redone. Two
processes may open a study: each piece of work is done by one of them, the other waits for it.
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
from foretaste.lazy import lazy
from foretaste.store import database
from foretaste.store.artefacts import Artefacts
from foretaste.store.folder_artefacts import FolderArtefacts
from foretaste.store.rows import Done, Json, Record, Rows, key_of
from foretaste.store.sql_rows import SqlRows
from foretaste.store.tables import SCHEMA
from foretaste.surface.table import Headline, Surface
from foretaste.target import DATABASE, check_text, is_study, path_kind, resolved, study_above

if TYPE_CHECKING:
    from torch import Tensor

    from foretaste.params import Params
    from foretaste.train import run
    from foretaste.train.run import Snapshot
else:
    run = lazy("foretaste.train.run")  # rows need no torch

__all__ = ["Done", "Json", "Study", "key_of", "require_space"]

_OURS = {"tensors", "running", "study.lock", f"{DATABASE}-wal", f"{DATABASE}-shm"}


class Study:
    """An open study; use `open` or `create`.

    Args:
        path: Its folder, as people are told; what is in it is behind the two ports.
        rows: Its recipes, work and evaluations.
        artefacts: Its tensors.
    """

    def __init__(self, path: Path, rows: Rows, artefacts: Artefacts) -> None:
        self.path = path
        self._rows, self._artefacts = rows, artefacts

    @classmethod
    def create(cls, path: Path) -> "Study":
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
            with FileLock(path / "study.lock"):  # of several processes, one makes it
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
    def open(cls, path: Path) -> "Study":
        """Open a study that exists; one of an earlier version can be read, and is left as it is.

        Raises:
            StudyError: There is none, or it is newer than this version.
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
        """Whether there is a study of an earlier version in a folder, which `create` would move to this one.

        Raises:
            StudyError: The folder holds something else, or a newer study.
        """
        schema = database.check_schema(path / DATABASE, create=True)
        return schema is not None and schema < SCHEMA

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether there is a study in a folder."""
        return is_study(path)

    def close(self) -> None:
        """Let go of the database file."""
        self._rows.close()

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        """The latest recipe's text and plan."""
        return self._rows.recipe()

    def add_recipe(self, text: str, plan: Json) -> None:
        """Remember a recipe, if it is not the latest already."""
        self._rows.add_recipe(text, plan)

    def find(self, key: str) -> Done | None:
        """Finished work of this name; work whose tensor file was deleted counts as not done."""
        return self.find_all([key]).get(key)

    def find_all(self, keys: Collection[str]) -> dict[str, Done]:
        """Finished work of these names, by name; one query, however many there are. See `find`."""
        work = self._rows.work(keys)
        return {key: done for key, done in work.items() if done.artefact is None or self._artefacts.has(done.artefact)}

    def is_begun(self) -> bool:
        """Whether any work was done or begun here.

        Bringing models in is none, since they say nothing of how others are trained.
        """
        done = any(work.kind != "import" and "import" not in work.inputs for work in self.all_work())
        return done or self._artefacts.has_snapshots()

    def all_work(self, kind: str | None = None) -> list[Done]:
        """Finished work, in the order it was done; of one kind where given."""
        return self._rows.all_work(kind)

    def add(self, kind: str, key: str, inputs: Json, result: Json, params: "Params | None", seconds: float) -> Done:
        """Keep finished work; its tensors first, so that a row never lacks its file."""
        record = self._record(Done(key, kind, inputs, result, None, seconds), params)
        self._rows.add([record])
        self.drop_snapshot(key)
        return record.done

    def add_evaluation(self, key: str, inputs: Json, evaluation: Evaluation, results: "Params") -> None:
        """Keep an evaluation with its per-example results."""
        self.add_evaluations([(key, inputs, evaluation, results)])

    def add_evaluations(self, rows: "Sequence[tuple[str, Json, Evaluation, Params]]") -> None:
        """Keep evaluations, each with its per-example results in a file of its own: all of them, or none."""
        self._rows.add(
            [
                self._record(Done(key, "evaluation", inputs, {}, None, evaluation.cost), results, evaluation)
                for key, inputs, evaluation, results in rows
            ]
        )

    def evaluation(self, key: str) -> Evaluation | None:
        """The evaluation of this name, if it was made."""
        return self.evaluations([key]).get(key)

    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        """The evaluations of these names that were made, by name."""
        return self._rows.evaluations(keys)

    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        """The evaluations after one, in the order they were made; see `Rows.evaluations_after`."""
        return self._rows.evaluations_after(number)

    def surface(self, headlines: Mapping[str, Headline], inside: bool = False) -> Surface:
        """Every evaluation of the study."""
        return Surface(headlines, tuple(self.evaluations_after(0)[0]), inside)

    def revision(self) -> str:
        """Return a text that changes whenever an evaluation or a recipe is added."""
        return self._rows.revision()

    def tensors(self, artefact: str | None) -> "dict[str, Tensor]":
        """The tensors of an artefact.

        Raises:
            DataError: Its file is missing, or does not hold what its name says.
        """
        if artefact is None:
            raise DataError("this work has no tensor file")
        return self._artefacts.get(artefact)

    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Claim a piece of work, so that one process at a time does it; the claim of a killed process ends.

        Args:
            key: The work.
            waiting: Called about every second while another process is at it; may raise.
        """
        return self._artefacts.claim(key, waiting)

    def save_snapshot(self, key: str, state: "Snapshot", seconds: float) -> None:
        """Keep the state of unfinished training and the time it took so far."""
        facts = {
            "seconds": seconds,
            "step": state.step,
            "history": state.history,
            "seen": state.data_counts,
            "scaler": state.scaler,
        }
        self._artefacts.put_snapshot(key, state.tensors, facts)

    def load_snapshot(self, key: str) -> "tuple[Snapshot | None, float]":
        """The last kept state of unfinished training, and the seconds spent until then."""
        snapshot = self._artefacts.get_snapshot(key)
        if snapshot is None:
            return None, 0.0
        tensors, facts = snapshot
        return run.Snapshot(facts["step"], tensors, facts["history"], facts["seen"], facts["scaler"]), facts["seconds"]

    def drop_snapshot(self, key: str) -> None:
        """Delete the snapshot of training that is finished."""
        self._artefacts.drop_snapshot(key)

    @property
    def snapshots_at(self) -> str:
        """Where states of unfinished training are kept, as people are told."""
        return self._artefacts.snapshots_at

    def _record(self, done: Done, params: "Params | None", evaluation: Evaluation | None = None) -> Record:
        """Keep the tensors of finished work; what is to be added to the rows."""
        if params is None:
            return Record(done, 0, evaluation)
        digest = self._artefacts.put(params)
        return Record(replace(done, artefact=digest), self._artefacts.size(digest), evaluation)


def require_space(path: Path, needed: int) -> None:
    """Check the disk before a study is made or goes on.

    Args:
        path: The study's folder, which need not be there yet.
        needed: Bytes.

    Raises:
        StorageError: Fewer bytes are free than needed.

    >>> require_space(Path("no-such-study"), 1)
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    total, _, free = shutil.disk_usage(existing)
    if total and free < needed:  # a place that holds no files at all is refused when the study is made
        sizes = f"needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise StorageError(f"{path} {sizes}; free some space or name another folder with --study")
