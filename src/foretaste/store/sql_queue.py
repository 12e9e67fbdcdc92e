"""The queue of jobs in a SQLite database of its own, beside the study's (``STUDY/queue.db``).

A worker holds a lock while it lives (``STUDY/queue.lock``), which the system takes from it when it dies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from foretaste.errors import StorageError, StudyError
from foretaste.store import database
from foretaste.store.queue import Job, Kind, Queue, State
from foretaste.store.sqlite_file import open_file
from foretaste.target import DATABASE, is_study

__all__ = ["SqlQueue"]

_NAME = "queue.db"
_metadata = sa.MetaData()
_jobs = sa.Table(
    "jobs",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("weights", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("ended", sa.String),
)


class SqlQueue(Queue):
    """The jobs of one study in a SQLite database.

    Args:
        folder: The study's folder.

    Raises:
        StudyError: The folder is not a study.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "study.db").touch()
    ...     with SqlQueue(Path(folder)) as queue:
    ...         queue.add(Kind.PREVIEW, "a=0.5,b=0.5").state, queue.next().state, queue.next()
    (<State.QUEUED: 'queued'>, <State.RUNNING: 'running'>, None)
    """

    def __init__(self, folder: Path) -> None:
        if not is_study(folder):
            raise StudyError(
                f"{folder} is not a study (it has no {DATABASE}); name the folder that `foretaste run` made"
            )
        self.path = folder / _NAME
        self._engine: sa.Engine | None = open_file(self.path)
        try:
            with self._transaction() as connection:
                _metadata.create_all(connection)
        except StorageError:  # existing jobs can be read on a full or read-only disk
            self._engine.dispose()
            self._engine = database.readable_engine(self.path) if self._has_jobs() else None

    def _has_jobs(self) -> bool:
        """Tell whether there is a database with the table of jobs."""
        return self.path.is_file() and self.path.stat().st_size > 0

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def add(self, kind: Kind, weights: str, most: int = 100) -> Job:
        row = {
            "kind": kind,
            "weights": weights,
            "state": State.QUEUED,
            "stage": "",
            "done": 0,
            "total": 0,
            "message": "",
            "created": _now(),
        }
        with self._writing() as connection:
            waiting = [job for job in self._read(connection, sa.true()) if job.state.open]
            for job in waiting:
                if (job.kind, job.weights) == (kind, weights) and job.state != State.STOPPING:
                    return job
            if len(waiting) >= most:
                raise StudyError(f"{len(waiting)} jobs are waiting; let some finish, or cancel some")
            number = connection.execute(sa.insert(_jobs).values(**row)).inserted_primary_key
            assert number is not None
            return self._read(connection, _jobs.c.id == number[0])[0]

    def jobs(self, last: int = 50) -> list[Job]:
        if self._engine is None:
            return []
        with self._transaction() as connection:
            jobs = self._read(connection, sa.true())
        return [job for place, job in enumerate(jobs) if job.state.open or place >= len(jobs) - last]

    def next(self) -> Job | None:
        with self._writing() as connection:
            for job in self._read(connection, _jobs.c.state == State.QUEUED):
                statement = (
                    sa.update(_jobs)
                    .where(_jobs.c.id == job.id, _jobs.c.state == State.QUEUED)
                    .values(state=State.RUNNING)
                )
                if connection.execute(statement).rowcount:
                    return self._read(connection, _jobs.c.id == job.id)[0]
        return None

    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        with self._transaction() as connection:
            self._write(connection, number, stage=stage, done=done, total=total)

    def end(self, number: int, state: State, message: str = "") -> None:
        with self._transaction() as connection:
            self._write(connection, number, state=state, message=message, ended=_now())

    def requeue(self, number: int) -> None:
        with self._transaction() as connection:
            self._write(connection, number, state=State.QUEUED, stage="", done=0, total=0)

    def cancel(self, number: int) -> Job | None:
        with self._writing() as connection:
            matching = self._read(connection, _jobs.c.id == number)
            if matching and matching[0].state == State.QUEUED:
                self._write(connection, number, state=State.CANCELLED, ended=_now())
            elif matching and matching[0].state == State.RUNNING:
                self._write(connection, number, state=State.STOPPING)
            return next(iter(self._read(connection, _jobs.c.id == number)), None)

    def stopping(self, number: int) -> bool:
        with self._transaction() as connection:
            matching = self._read(connection, _jobs.c.id == number)
        return not matching or matching[0].state == State.STOPPING

    @contextmanager
    def at_work(self) -> Iterator[bool]:
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            with self._transaction() as connection:
                running, stopping = (
                    sa.update(_jobs).where(_jobs.c.state == state) for state in (State.RUNNING, State.STOPPING)
                )
                connection.execute(running.values(state=State.QUEUED))
                connection.execute(stopping.values(state=State.CANCELLED, ended=_now()))
            yield True
        finally:
            lock.release()

    def has_worker(self) -> bool:
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        except OSError:
            return False  # nobody can work on a read-only disk
        lock.release()
        return False

    def _read(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Job]:
        rows = connection.execute(sa.select(_jobs).where(condition).order_by(_jobs.c.id)).mappings()
        return [Job(**{**row, "kind": Kind(row["kind"]), "state": State(row["state"])}) for row in rows]

    def _write(self, connection: sa.Connection, number: int, **values: object) -> None:
        connection.execute(sa.update(_jobs).where(_jobs.c.id == number).values(**values))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer interleaves with: what it reads is still so when it writes."""
        with self._transaction() as connection:
            database.begin_writing(connection)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self._engine is None:
            raise StorageError(
                f"the study's queue {self.path} cannot be written; free some space, or make its folder writable"
            )
        with database.transaction(self._engine, self.path) as connection:
            yield connection


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
