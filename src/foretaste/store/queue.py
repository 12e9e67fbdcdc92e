"""The queue of jobs that a study's page requests, in a database of its own; one worker does one job after the other.

The database is beside the study (``queue.db``), so that it outlives the page, the server and the worker. A worker holds
a lock while it lives. If a worker dies, its job is queued again; the work that it finished is in the study.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from foretaste.errors import StorageError, StudyError
from foretaste.store import database
from foretaste.store.sqlite_file import open_file
from foretaste.target import DATABASE, is_study

__all__ = ["Job", "Kind", "Queue", "State"]

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


class Kind(StrEnum):
    """The kinds of work that the page can ask for."""

    PREVIEW = "preview"
    SHARPEN = "sharpen"
    TRAIN = "train"
    EXPORT_PREVIEW = "export preview"
    EXPORT_JOINT = "export joint"
    EXPORT_MIXTURE = "export mixture"


class State(StrEnum):
    """The states of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def open(self) -> bool:
        """Tell whether a job in this state has not ended."""
        return self in (State.QUEUED, State.RUNNING, State.STOPPING)


@dataclass(frozen=True)
class Job:
    """One job of the queue.

    Args:
        id: The job's number.
        kind: The kind of work.
        weights: Task weights, alpha, in the form of `TaskWeights.key`.
        state: The state.
        stage: The current stage of the work.
        done: Finished units of the stage.
        total: All units of the stage.
        message: Why the job failed, or where its result is.
        created: Time of the request.
        ended: Time of the end.
    """

    id: int
    kind: Kind
    weights: str
    state: State
    stage: str
    done: int
    total: int
    message: str
    created: str
    ended: str | None


class Queue:
    """The jobs of one study.

    Args:
        folder: The study's folder.

    Raises:
        StudyError: The folder is not a study.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "study.db").touch()
    ...     with Queue(Path(folder)) as queue:
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

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        if self._engine is not None:
            self._engine.dispose()

    def waiting(self) -> bool:
        """Tell whether some job has not ended."""
        return any(job.state.open for job in self.jobs(last=0))

    def add(self, kind: Kind, weights: str, most: int = 100) -> Job:
        """Add a job, unless the same job is waiting or running.

        Args:
            kind: The kind of work.
            weights: Task weights, alpha, in the form of `TaskWeights.key`.
            most: Most jobs that may be open.

        Raises:
            StudyError: As many jobs are open.
        """
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
        """List the last jobs and all open ones, in the order they were requested."""
        if self._engine is None:
            return []
        with self._transaction() as connection:
            jobs = self._read(connection, sa.true())
        return [job for place, job in enumerate(jobs) if job.state.open or place >= len(jobs) - last]

    def next(self) -> Job | None:
        """Start the first waiting job and return it; None if none waits."""
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
        """Record the progress of a job."""
        with self._transaction() as connection:
            self._write(connection, number, stage=stage, done=done, total=total)

    def end(self, number: int, state: State, message: str = "") -> None:
        """Record that a job has ended."""
        with self._transaction() as connection:
            self._write(connection, number, state=state, message=message, ended=_now())

    def requeue(self, number: int) -> None:
        """Put a job that its worker gave up back into the queue."""
        with self._transaction() as connection:
            self._write(connection, number, state=State.QUEUED, stage="", done=0, total=0)

    def cancel(self, number: int) -> Job | None:
        """Cancel a waiting job, or ask a running one to stop; return None if there is no such job."""
        with self._writing() as connection:
            matching = self._read(connection, _jobs.c.id == number)
            if matching and matching[0].state == State.QUEUED:
                self._write(connection, number, state=State.CANCELLED, ended=_now())
            elif matching and matching[0].state == State.RUNNING:
                self._write(connection, number, state=State.STOPPING)
            return next(iter(self._read(connection, _jobs.c.id == number)), None)

    def stopping(self, number: int) -> bool:
        """Tell whether a job was asked to stop."""
        with self._transaction() as connection:
            matching = self._read(connection, _jobs.c.id == number)
        return not matching or matching[0].state == State.STOPPING

    @contextmanager
    def at_work(self) -> Iterator[bool]:
        """Become the worker and queue a dead worker's job again; yield False if there is a worker already."""
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
        """Tell whether a worker is running."""
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
