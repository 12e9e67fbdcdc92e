"""A session: a recipe at work on a study, by an engine, watched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from foretaste.engines.engine import Engine
from foretaste.engines.here import Here
from foretaste.one_line import one_line
from foretaste.work.context import Context, Unwatched, Watch
from foretaste.work.work import Work

__all__ = ["Session"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Session(Context):
    """A recipe at work on a study.

    Args:
        watch: Shows progress, and may ask to stop.
        engine: Does the work.
    """

    watch: Watch = field(default_factory=Unwatched)
    engine: Engine = field(default_factory=Here)

    __repr__ = one_line

    def finish(self, works: Sequence[Work[Result]]) -> list[Result]:
        """Do what the study lacks of some work and of all that it needs, and return the results in the same order.

        Args:
            works: Any work.

        Raises:
            Stopped: The user asked to stop; everything finished so far is kept.
            RunFailed: Some pieces failed; the others are finished.
        """
        results = dict(self.engine.run(works, self, self.watch))
        return [results[work] for work in works]

    def prepare(self, works: Sequence[Work[Any]]) -> None:
        """Do what the study lacks of some work and of all that it needs.

        What is there already is passed over in silence.

        Args:
            works: Any work.

        Raises:
            Stopped: The user asked to stop; everything finished so far is kept.
            RunFailed: Some pieces failed; the others are finished.
        """
        for _ in self.engine.run(works, self, self.watch, only_lacking=True):
            pass
