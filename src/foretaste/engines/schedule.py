"""The order of work: stage by stage, each piece as soon as all that it needs is finished."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from foretaste.work.context import Context, Watch
from foretaste.work.work import Work

__all__ = ["Schedule", "stages_of"]


class Schedule:
    """Hands out work and all that it needs.

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
        self._needs, self._stages = _needs_of(works, context), dict(stages_of(works, context))
        self._begun, self._finished, self._failed = set[str](), set[Work[Any]](), set[Work[Any]]()

    def take(self) -> Work[Any] | None:
        """Hand out the next piece that can begin; None if every piece left needs one that is still being done."""
        for label in list(self._stages):
            for work in list(self._stages[label]):
                if self._is_passed_over(work):
                    self._remove(work, label)
                    if label in self._begun:
                        self._watch.advance(work.size(self._context), stage=label)
                elif self._needs[work] <= self._finished:
                    self._begin(label)
                    self._remove(work, label)
                    return work
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

    def _begin(self, label: str) -> None:
        """Announce a stage with all that is left of it."""
        if label in self._begun:
            return
        self._begun.add(label)
        left = [work for work in self._stages[label] if not self._is_passed_over(work)]
        self._stages[label] = left
        self._watch.begin(label, sum(work.size(self._context) for work in left))

    def _remove(self, work: Work[Any], label: str) -> None:
        self._stages[label].remove(work)
        if not self._stages[label]:
            del self._stages[label]


def stages_of(works: Sequence[Work[Any]], context: Context) -> list[tuple[str, list[Work[Any]]]]:
    """Sort work and all that it needs into stages.

    Args:
        works: Any work.
        context: What it is done with.

    Returns:
        Each stage's label with its work, in the order that it was asked for; a stage that is needed comes before the
        one that needs it first.
    """
    stages: dict[str, list[Work[Any]]] = {}
    for work in _needs_of(works, context):
        stages.setdefault(work.stage, []).append(work)
    return list(stages.items())


def _needs_of(works: Sequence[Work[Any]], context: Context) -> dict[Work[Any], set[Work[Any]]]:
    """All work with what it needs directly, each piece after what it needs."""
    needs: dict[Work[Any], set[Work[Any]]] = {}

    def add(work: Work[Any]) -> None:
        if work not in needs:
            own = work.needs(context)
            for need in own:
                add(need)
            needs[work] = set(own)

    for work in works:
        add(work)
    return needs
