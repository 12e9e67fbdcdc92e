"""A study: a folder that keeps everything made for one question.

::

    STUDY/study.db          rows: recipes, work done, evaluations, artefacts (append-only)
    STUDY/tensors/HASH.safetensors   params, sites, per-example results, named by content
    STUDY/running/KEY.*     snapshots and locks of work that is not finished

Work is named by the hash of everything it depends on; what is done is found, not redone. Two
processes may open a study: each piece of work is done by one of them, the other waits for it.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.dialects.sqlite import insert

from foretaste import __version__
from foretaste.errors import DataError, StorageError, StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.lazy import lazy
from foretaste.store import database
from foretaste.surface.table import Headline, Surface
from foretaste.target import check_text, path_kind, resolved, study_above
from foretaste.temporary import sweep
from foretaste.weights import TaskWeights

if TYPE_CHECKING:
    from torch import Tensor

    from foretaste import params as hashing
    from foretaste.params import Params
    from foretaste.store import tensors
    from foretaste.train import run
    from foretaste.train.run import Snapshot
else:
    hashing, tensors, run = (lazy(f"foretaste.{name}") for name in ("params", "store.tensors", "train.run"))  # rows need no torch

__all__ = ["Done", "Json", "Study", "key_of", "require_space"]

Json = Mapping[str, Any]
_Row = tuple[sa.Table, Mapping[str, object]]

_OURS = {"tensors", "running", "study.lock", "study.db-wal", "study.db-shm"}


def key_of(kind: str, inputs: Json) -> str:
    """The name of a piece of work: a hash of all it depends on.

    >>> key_of("site", {"a": 1, "b": 2}) == key_of("site", {"b": 2, "a": 1})
    True
    """
    text = json.dumps([kind, inputs], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Done:
    """A piece of work that is finished.

    Args:
        key: Its name.
        kind: ``finetune``, ``site``, ``joint`` or ``evaluation``.
        inputs: What it depended on.
        result: Small facts about it.
        artefact: Hash of its tensor file, where it has one.
        seconds: How long it took.
    """

    key: str
    kind: str
    inputs: Json
    result: Json
    artefact: str | None
    seconds: float


class Study:
    """An open study; use `open` or `create`.

    Args:
        path: The folder.
        engine: Its database.
    """

    def __init__(self, path: Path, engine: sa.Engine) -> None:
        self.path = path
        self._engine = engine

    @classmethod
    def create(cls, path: Path) -> "Study":
        """Open the study in this folder, making it where there is none.

        Raises:
            StorageError: The folder cannot be written.
            StudyError: The folder holds something else, or a newer study.
        """
        check_text(resolved(path))
        above = study_above(resolved(path).parent)
        if above is not None:
            raise StudyError(f"{path} is within the study {above}; name another folder with --study")
        if path_kind(path) == "folder" and not (path / "study.db").exists() and {each.name for each in path.iterdir()} - _OURS:
            raise StudyError(f"{path} holds files that are not a study; name another folder with --study")
        database.check_schema(path / "study.db", create=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with FileLock(path / "study.lock"):  # of several processes, one makes it
                engine = database.connect(path / "study.db", create=True)
                for part in (path / "tensors", path / "running"):
                    part.mkdir(exist_ok=True)
                    sweep(part)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"cannot make the study folder {path}: {error}; name another folder with --study") from error
        study = cls(path, engine)
        row = {"id": 1, "schema": database.SCHEMA, "version": __version__, "created": _now()}
        study._insert((database.study, row))
        return study

    @classmethod
    def open(cls, path: Path) -> "Study":
        """Open a study that exists.

        Raises:
            StudyError: There is none, or it is newer than this version.
        """
        return cls(path, database.connect(path / "study.db", create=False))

    def close(self) -> None:
        """Let go of the database file."""
        self._engine.dispose()

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        """The latest recipe's text and plan."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(database.recipes).order_by(database.recipes.c.id.desc())).first()
        return None if row is None else (row.text, row.plan)

    def add_recipe(self, text: str, plan: Json) -> None:
        """Remember a recipe, if it is not the latest already."""
        with self._transaction() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # of several processes, one adds it
            latest = connection.execute(sa.select(database.recipes).order_by(database.recipes.c.id.desc())).first()
            if latest is None or (latest.text, latest.plan) != (text, dict(plan)):
                connection.execute(sa.insert(database.recipes).values(text=text, plan=dict(plan), created=_now()))

    def find(self, key: str) -> Done | None:
        """Finished work of this name; work whose tensor file was deleted counts as not done."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(database.work).where(database.work.c.key == key)).first()
        if row is None or (row.artefact is not None and not self._file(row.artefact).exists()):
            return None
        return _done(row)

    def is_begun(self) -> bool:
        """Whether any work was done or begun here; bringing models in is none, since they say nothing of how others are trained."""
        done = any(work.kind != "import" and "import" not in work.inputs for work in self.all_work())
        return done or any((self.path / "running").glob("*.safetensors"))

    def all_work(self, kind: str | None = None) -> list[Done]:
        """Finished work, in the order it was done; of one kind where given."""
        query = sa.select(database.work).order_by(database.work.c.created, database.work.c.key)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [_done(row) for row in rows if kind in (None, row.kind)]

    def add(self, kind: str, key: str, inputs: Json, result: Json, params: "Params | None", seconds: float) -> Done:
        """Keep finished work; its tensors first, so that a row never lacks its file."""
        done, rows = self._kept(kind, key, inputs, result, params, seconds)
        self._insert(*rows)
        self.drop_snapshot(key)
        return done

    def add_evaluation(self, key: str, inputs: Json, evaluation: Evaluation, results: "Params") -> None:
        """Keep an evaluation with its per-example results."""
        self.add_evaluations([(key, inputs, evaluation, results)])

    def add_evaluations(self, found: "Sequence[tuple[str, Json, Evaluation, Params]]") -> None:
        """Keep evaluations, each with its per-example results in a file of its own: all of them, or none."""
        rows: list[_Row] = []
        for key, inputs, evaluation, results in found:
            rows += self._kept("evaluation", key, inputs, {}, results, evaluation.cost)[1]
            rows.append((database.evaluations, _columns(key, evaluation)))
        self._insert(*rows)

    def evaluation(self, key: str) -> Evaluation | None:
        """The evaluation of this name, if it was made."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(database.evaluations).where(database.evaluations.c.key == key)).first()
        return None if row is None else _evaluation(row)

    def surface(self, headlines: Mapping[str, Headline], inside: bool = False) -> Surface:
        """Every evaluation of the study."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(database.evaluations).order_by(database.evaluations.c.id)).all()
        return Surface(headlines, tuple(_evaluation(row) for row in rows), inside)

    def revision(self) -> str:
        """Changes whenever an evaluation or a recipe is added."""
        with self._transaction() as connection:
            counts = [connection.scalar(sa.select(sa.func.max(table.c.id))) or 0 for table in (database.evaluations, database.recipes)]
        return "-".join(str(count) for count in counts)

    def tensors(self, artefact: str | None) -> "dict[str, Tensor]":
        """The tensors of an artefact.

        Raises:
            DataError: Its file is missing, or does not hold what its name says.
        """
        if artefact is None:
            raise DataError("this work has no tensor file")
        found = tensors.load(self._file(artefact))
        if hashing.digest(found) != artefact:
            raise DataError(f"{self._file(artefact)} is damaged: its content is not what its name says; delete it and run again")
        return found

    @contextmanager
    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Only one process at a time does the work of this name; a killed one lets go.

        Args:
            key: The work.
            waiting: Called about every second while another process is at it; may raise.
        """
        lock = FileLock(self.path / "running" / f"{key}.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                waiting()
        try:
            yield
        finally:
            lock.release()

    def save_snapshot(self, key: str, state: "Snapshot", seconds: float) -> None:
        """Keep the state of unfinished training and the time it took so far."""
        metadata = {"seconds": seconds, "step": state.step, "history": state.history, "seen": state.seen, "scaler": state.scaler}
        tensors.write(self._running(key), state.tensors, metadata)

    def load_snapshot(self, key: str) -> "tuple[Snapshot | None, float]":
        """The last kept state of unfinished training, and the seconds spent until then."""
        path = self._running(key)
        if not path.exists():
            return None, 0.0
        found = tensors.load_metadata(path)
        state = run.Snapshot(found["step"], tensors.load(path), found["history"], found["seen"], found["scaler"])
        return state, found["seconds"]

    def drop_snapshot(self, key: str) -> None:
        """Forget the state of training that is finished."""
        self._running(key).unlink(missing_ok=True)

    def _kept(self, kind: str, key: str, inputs: Json, result: Json, params: "Params | None", seconds: float) -> "tuple[Done, list[_Row]]":
        """Work whose tensors are kept, and the rows that say so."""
        rows: list[_Row] = []
        artefact = None if params is None else tensors.save(self.path / "tensors", params)
        if artefact is not None:
            rows.append((database.artefacts, {"hash": artefact, "bytes": self._file(artefact).stat().st_size, "created": _now()}))
        row = {"key": key, "kind": kind, "inputs": dict(inputs), "result": dict(result), "artefact": artefact, "seconds": seconds}
        rows.append((database.work, row | {"created": _now()}))
        return Done(key, kind, inputs, result, artefact, seconds), rows

    def _file(self, artefact: str) -> Path:
        return self.path / "tensors" / f"{artefact}.safetensors"

    def _running(self, key: str) -> Path:
        return self.path / "running" / f"{key}.safetensors"

    def _transaction(self) -> AbstractContextManager[sa.Connection]:
        return database.transaction(self._engine, self.path / "study.db")

    def _insert(self, *rows: _Row) -> None:
        """Append rows, all or none; what is there already stays as it is."""
        with self._transaction() as connection:
            for table, row in rows:
                connection.execute(insert(table).values(**row).on_conflict_do_nothing())


def require_space(path: Path, needed: int) -> None:
    """Check the disk before a study is made or goes on.

    Args:
        path: The study's folder, which need not be there yet.
        needed: Bytes.

    Raises:
        StorageError: Fewer bytes are free than needed.

    >>> require_space(Path("no-such-study"), 1)
    """
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    total, _, free = shutil.disk_usage(there)
    if total and free < needed:  # a place that holds no files at all is refused when the study is made
        sizes = f"needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        raise StorageError(f"{path} {sizes}; free some space or name another folder with --study")


def _done(row: sa.Row[tuple[object, ...]]) -> Done:
    return Done(row.key, row.kind, row.inputs, row.result, row.artefact, row.seconds)


def _columns(key: str, evaluation: Evaluation) -> dict[str, object]:
    return {
        "key": key,
        "weights": dict(evaluation.weights),
        "fidelity": str(evaluation.fidelity),
        "method": evaluation.method,
        "seed": evaluation.seed,
        "metrics": {task: dict(found) for task, found in evaluation.metrics.items()},
        "cost": evaluation.cost,
    }


def _evaluation(row: sa.Row[tuple[object, ...]]) -> Evaluation:
    weights = TaskWeights(list(row.weights), list(row.weights.values()))
    return Evaluation(weights, row.metrics, Fidelity(row.fidelity), row.method, row.seed, row.cost, row.key)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
