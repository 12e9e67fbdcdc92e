"""The engine `here`: in this process, one piece after the other."""

from collections.abc import Iterator, Sequence
from typing import Any

from foretaste.engines.engine import Engine
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

    def run_stage(self, works: Sequence[Work[Any]], context: Context, watch: Watch) -> Iterator[tuple[Work[Any], Any]]:
        for work in works:
            try:
                yield work, work.finish(context, Observer(watch, work.size(context)))
            except ForetasteError as error:
                yield work, error
