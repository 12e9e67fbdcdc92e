"""The engine `here`: in this process, one piece after the other."""

from collections.abc import Iterator
from typing import Any

from foretaste.engines.engine import Engine
from foretaste.engines.schedule import Schedule
from foretaste.errors import ForetasteError
from foretaste.work.context import Context, Watch
from foretaste.work.observer import Observer
from foretaste.work.work import Work

__all__ = ["Here"]


class Here(Engine):
    """Runs work in this process.

    >>> Here()
    Here()
    """

    def __repr__(self) -> str:
        return "Here()"

    def run_schedule(self, schedule: Schedule, context: Context, watch: Watch) -> Iterator[tuple[Work[Any], Any]]:
        while (work := schedule.take()) is not None:
            if context.key_in("stage") != work.stage:
                context.memory.clear()  # what one stage remembered, such as sites, is of no use to the next
                context.remember("stage", work.stage, lambda: None)
            try:
                yield work, work.finish(context, Observer(watch, work.size(context)))
            except ForetasteError as error:
                yield work, error
