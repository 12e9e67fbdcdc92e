"""The order of work: stage by stage, each piece as soon as all that it needs is finished."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from foretaste.one_line import one_line
from foretaste.work.context import Context, Watch
from foretaste.work.work import Work

__all__ = ["Schedule", "stages_of"]


@dataclass(eq=False)
class _Stage:
    """A stage on its way.

    Args:
        label: What is shown of it.
        left: Its pieces that are not handed out yet.
        is_begun: Whether one was handed out.
    """

    label: str
    left: list[Work[Any]]
    is_begun: bool = False

    __repr__ = one_line


class Schedule:
    """Hands out work and all that it needs; after a failure, only what is left of the stages that were begun.

    Args:
        works: Any work.
        context: What it is done with.
        watch: Is told of each stage when its first piece is handed out.
        requested: Pieces that are handed out even if the study has them, since somebody waits for their results.
    """

    def __init__(
        self, works: Sequence[Work[Any]], context: Context, watch: Watch, requested: AbstractSet[Work[Any]]
    ) -> None:
        self._context, self._watch, self._requested = context, watch, requested
        self._needs = _needs_of(works, context)
        self._stages = [_Stage(label, pieces) for label, pieces in stages_of(works, context)]
        self._finished, self._failed = set[Work[Any]](), set[Work[Any]]()

    def take(self) -> Work[Any] | None:
        """Hand out the next piece that can begin; None if every piece left needs one that is still being done."""
        for stage in self._stages:
            if self._failed and not stage.is_begun:
                continue  # what was begun is finished; no more is begun after a failure
            for work in list(stage.left):
                if self._is_passed_over(work):
                    stage.left.remove(work)
                    if stage.is_begun:
                        self._watch.advance(work.size(self._context), stage=stage.label)
                elif self._needs[work] <= self._finished:
                    self._begin(stage)
                    stage.left.remove(work)
                    return work
        self._stages = [stage for stage in self._stages if stage.left]
        return None

    def end(self, work: Work[Any], *, failed: bool = False) -> None:
        """Note that a piece that was handed out is finished, or that it failed, and with it all that needs it."""
        (self._failed if failed else self._finished).add(work)

    def _is_passed_over(self, work: Work[Any]) -> bool:
        """Whether a piece needs failed work, or is in the study and nobody waits for its result."""
        if self._needs[work] & self._failed:
            self._failed.add(work)
            return True
        if work in self._requested or not self._needs[work] <= self._finished or not work.is_finished(self._context):
            return False
        self._finished.add(work)
        return True

    def _begin(self, stage: "_Stage") -> None:
        """Announce a stage with all that is left of it."""
        if stage.is_begun:
            return
        stage.is_begun = True
        stage.left = [work for work in stage.left if not self._is_passed_over(work)]
        self._watch.begin(stage.label, sum(work.size(self._context) for work in stage.left))


def stages_of(works: Sequence[Work[Any]], context: Context) -> list[tuple[str, list[Work[Any]]]]:
    """Sort work and all that it needs into stages.

    Args:
        works: Any work.
        context: What it is done with.

    Returns:
        Each stage's label with its work, in the order that it was asked for; a stage that is needed comes before the
        one that needs it first.
    """
    stages: dict[tuple[str, type], list[Work[Any]]] = {}
    for work in _needs_of(works, context):
        stages.setdefault((work.stage, type(work)), []).append(work)
    return [(label, stage) for (label, _), stage in stages.items()]


def _needs_of(works: Sequence[Work[Any]], context: Context) -> dict[Work[Any], set[Work[Any]]]:
    """All work with what must be finished before it, each piece after what it needs.

    A piece that would do another one itself also waits for that one if it is there anyway.
    """
    needs: dict[Work[Any], set[Work[Any]]] = {}

    def add(work: Work[Any]) -> None:
        if work not in needs:
            own = work.needs(context)
            for need in own:
                add(need)
            needs[work] = set(own)

    for work in works:
        add(work)
    for work, own in needs.items():
        own.update(part for part in work.includes(context) if part in needs)
    return needs
