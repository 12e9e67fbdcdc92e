"""What every engine does: run a list of work, with all that it needs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from foretaste.engines.schedule import Schedule
from foretaste.errors import ForetasteError, RunFailed, Stopped, StorageError
from foretaste.weights import TaskWeights
from foretaste.work.context import Context, Watch
from foretaste.work.observer import stop_if_asked
from foretaste.work.work import Work

__all__ = ["Engine", "Failure"]

Result = TypeVar("Result")
Failure = tuple[Work[Any], ForetasteError]


class Engine(ABC):
    """Runs work. Whatever the engine, the keys and what is kept under them are the same."""

    def run(
        self,
        works: Sequence[Work[Result]],
        context: Context,
        watch: Watch,
        *,
        only_lacking: bool = False,
        goes_on: bool = False,
    ) -> Iterator[tuple[Work[Result], Result]]:
        """Do what the study lacks of some work and of all that it needs.

        After a piece has failed, the stages that were begun are finished, and no other begins.

        Args:
            works: Any work.
            context: What it is done with.
            watch: Shows progress, and may ask to stop.
            only_lacking: Whether finished work is passed over in silence; then nothing is yielded.
            goes_on: Whether more work of the same stage comes later, so that the context's memory stays as it is.

        Yields:
            Each piece that was asked for with its result, in whatever order they finish.

        Raises:
            Stopped: The user asked to stop; everything finished so far is kept, and states of training too.
            RunFailed: Some pieces failed; raised when all others are done. A single failure is raised as it is.
            StorageError: The study cannot be written; raised at once.
        """
        requested, failures = set[Work[Any]]() if only_lacking else set[Work[Any]](works), list[Failure]()
        if not goes_on:
            context.memory.clear()
        schedule = Schedule(works, context, watch, requested)
        for work, outcome in self.run_schedule(schedule, context, watch):
            if isinstance(outcome, Stopped | StorageError):
                raise outcome
            schedule.end(work, failed=isinstance(outcome, ForetasteError))
            if isinstance(outcome, ForetasteError):
                failures.append((work, outcome))
            elif work in requested:
                yield work, outcome
        if not goes_on:
            context.memory.clear()
        stop_if_asked(watch)
        if failures:
            raise _summary(failures)

    def warm_up(self) -> None:  # noqa: B027 (most engines need no time to start)
        """Begin to start what takes time, in the background: work is about to come."""

    def close(self) -> None:  # noqa: B027 (most engines hold nothing)
        """Let go of what the engine holds, such as worker processes."""

    def split(self, points: Sequence[TaskWeights]) -> list[tuple[TaskWeights, ...]]:
        """Weightings in parts that can be previewed at the same time."""
        return [tuple(points)]

    @abstractmethod
    def run_schedule(self, schedule: Schedule, context: Context, watch: Watch) -> Iterator[tuple[Work[Any], Any]]:
        """Do all work that a schedule hands out.

        Yields:
            Each piece with its result, or with the error that it ended with. The schedule hears of it before the next
            piece is asked for.
        """


def _summary(failures: Sequence[Failure]) -> ForetasteError:
    if len(failures) == 1:
        work, error = failures[0]
        error.args = (f"{work}: {error}",)
        return error
    lines = "\n  ".join(f"{work}: {error}" for work, error in failures)
    return RunFailed(
        f"{len(failures)} pieces of work failed; the other work that had begun is finished and stored:\n  {lines}"
    )
