"""What every engine does: run a list of work, with all that it needs, stage by stage."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from foretaste.errors import ForetasteError, RunFailed, Stopped, StorageError
from foretaste.weights import TaskWeights
from foretaste.work.context import Context, Watch
from foretaste.work.observer import stop_if_asked
from foretaste.work.work import Work

__all__ = ["Engine", "Failure", "stages_of"]

Result = TypeVar("Result")
Failure = tuple[Work[Any], ForetasteError]


class Engine(ABC):
    """Runs work. Whatever the engine, the keys and what is kept under them are the same."""

    def run(
        self, works: Sequence[Work[Result]], context: Context, watch: Watch, *, only_lacking: bool = False
    ) -> Iterator[tuple[Work[Result], Result]]:
        """Do what the study lacks of some work and of all that it needs.

        A piece that fails does not keep others from being done, unless they need it.

        Args:
            works: Any work.
            context: What it is done with.
            watch: Shows progress, and may ask to stop.
            only_lacking: Whether finished work is passed over in silence; then nothing is yielded.

        Yields:
            Each piece that was asked for with its result, in whatever order they finish.

        Raises:
            Stopped: The user asked to stop; everything finished so far is kept, and states of training too.
            RunFailed: Some pieces failed; raised when all others are done. A single failure is raised as it is.
            StorageError: The study cannot be written; raised at once.
        """
        asked, failures = set[Work[Any]]() if only_lacking else set[Work[Any]](works), list[Failure]()
        failed = set[Work[Any]]()
        context.memory.clear()
        for label, stage in stages_of(works, context):
            ready = [work for work in stage if not failed.intersection(work.needs(context))]
            failed.update(work for work in stage if work not in ready)
            ready = [work for work in ready if work in asked or not work.is_finished(context)]
            if not ready:
                continue
            watch.begin(label, sum(work.size(context) for work in ready))
            for work, outcome in self.run_stage(ready, context, watch):
                if isinstance(outcome, Stopped | StorageError):
                    raise outcome
                if isinstance(outcome, ForetasteError):
                    failures.append((work, outcome))
                    failed.add(work)
                elif work in asked:
                    yield work, outcome
            context.memory.clear()  # what one stage remembered, such as sites, is of no use to the next
        stop_if_asked(watch)
        if failures:
            raise _summary(failures)

    def close(self) -> None:  # noqa: B027 (most engines hold nothing)
        """Let go of what the engine holds, such as worker processes."""

    def split(self, points: Sequence[TaskWeights]) -> list[tuple[TaskWeights, ...]]:
        """Weightings in parts that can be previewed at the same time."""
        return [tuple(points)]

    @abstractmethod
    def run_stage(self, works: Sequence[Work[Any]], context: Context, watch: Watch) -> Iterator[tuple[Work[Any], Any]]:
        """Do independent work.

        Yields:
            Each piece with its result, or with the error that it ended with.
        """


def stages_of(works: Sequence[Work[Any]], context: Context) -> list[tuple[str, list[Work[Any]]]]:
    """Work and all that it needs, in stages of independent work; what is needed comes first.

    Args:
        works: Any work.
        context: What it is done with.

    Returns:
        Each stage's label with its work, in the order that it was asked for.
    """
    depths: dict[Work[Any], int] = {}

    def depth_of(work: Work[Any]) -> int:
        if work not in depths:
            needs = [depth_of(need) for need in work.needs(context)]
            depths[work] = 1 + max(needs, default=-1)
        return depths[work]

    for work in works:
        depth_of(work)
    stages: dict[tuple[int, str], list[Work[Any]]] = {}
    for work, depth in depths.items():
        stages.setdefault((depth, work.stage), []).append(work)
    return [(label, stage) for (_, label), stage in sorted(stages.items(), key=lambda pair: pair[0][0])]


def _summary(failures: Sequence[Failure]) -> ForetasteError:
    if len(failures) == 1:
        work, error = failures[0]
        error.args = (f"{work}: {error}",)
        return error
    lines = "\n  ".join(f"{work}: {error}" for work, error in failures)
    return RunFailed(f"{len(failures)} pieces of work failed, and everything else is finished and kept:\n  {lines}")
