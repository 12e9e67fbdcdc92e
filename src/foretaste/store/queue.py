"""The port for the queue of jobs that a study's page asks for; one worker does one job after the other.

A queue outlives the page, the server and the worker. If a worker dies, its job is queued again; the work that it
finished is in the study. Every implementation passes the tests of ``tests/contracts/queue.py``.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

__all__ = ["Job", "Kind", "Queue", "State"]


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


class Queue(ABC):
    """The jobs of one study, which several processes may have open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def waiting(self) -> bool:
        """Tell whether some job has not ended."""
        return any(job.state.open for job in self.jobs(last=0))

    @abstractmethod
    def close(self) -> None:
        """Close the queue."""

    @abstractmethod
    def add(self, kind: Kind, weights: str, most: int = 100) -> Job:
        """Add a job, unless the same job is waiting or running.

        Args:
            kind: The kind of work.
            weights: Task weights, alpha, in the form of `TaskWeights.key`.
            most: Most jobs that may be open.

        Raises:
            StudyError: As many jobs are open.
            StorageError: The queue cannot be written.
        """

    @abstractmethod
    def jobs(self, last: int = 50) -> list[Job]:
        """List the last jobs and all open ones, in the order they were requested."""

    @abstractmethod
    def next(self) -> Job | None:
        """Start the first waiting job and return it; None if none waits."""

    @abstractmethod
    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        """Record the progress of a job."""

    @abstractmethod
    def end(self, number: int, state: State, message: str = "") -> None:
        """Record that a job has ended."""

    @abstractmethod
    def requeue(self, number: int) -> None:
        """Put a job that its worker gave up back into the queue."""

    @abstractmethod
    def cancel(self, number: int) -> Job | None:
        """Cancel a waiting job, or ask a running one to stop; return None if there is no such job."""

    @abstractmethod
    def stopping(self, number: int) -> bool:
        """Tell whether a job was asked to stop."""

    @abstractmethod
    def at_work(self) -> AbstractContextManager[bool]:
        """Become the worker and queue a dead worker's job again; yield False if there is a worker already."""

    @abstractmethod
    def has_worker(self) -> bool:
        """Tell whether a worker is running."""
