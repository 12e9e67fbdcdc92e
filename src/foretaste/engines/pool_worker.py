"""A worker of the pool: it loads the model and the data once, and does one piece of work after the other."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from foretaste.engines.catalogue import MODULES
from foretaste.errors import StudyError
from foretaste.loading import load
from foretaste.method_table import MethodRow, add_method
from foretaste.one_line import one_line
from foretaste.plan import Recipe
from foretaste.processes import end_with_parent
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import register
from foretaste.store.study import StudyStore
from foretaste.work.context import Context, Origin
from foretaste.work.observer import Observer
from foretaste.work.work import from_json

__all__ = ["Progress", "Ticket", "begin_worker", "do_work"]

_EVERY = 0.1  # seconds between two reports of progress

Progress = tuple[int, int, str]  # the piece's number, units done, a note


@dataclass(frozen=True)
class Ticket:
    """All that a worker needs to load what the work is done with.

    Args:
        folder: The study's.
        recipe: As JSON.
        origin: Where the recipe came from.
        base: Content hash of the pretrained params, as the worker must find it.
        data: The hash of each task's data, as the worker must find it.
        methods: The rows of all preview methods, those that were added included.
        kinds: The rows of all kinds of models, the same.
    """

    folder: Path
    recipe: Mapping[str, Any]
    origin: Origin
    base: str
    data: Mapping[str, str]
    methods: tuple[MethodRow, ...] = ()
    kinds: tuple[ModelKind, ...] = ()

    __repr__ = one_line

    def load(self) -> Context:
        """Load the model and the data, and open the study.

        Raises:
            StudyError: The model or the data are others than those of the process that hands out the work.
        """
        for row in self.methods:
            add_method(row)
        for kind in self.kinds:
            register(kind)
        recipe = Recipe.model_validate(self.recipe)
        problem = load(recipe, self.origin.text, self.origin.file)
        base = problem.base()
        problem.model.to(PartialState().device)
        context = Context(StudyStore.open(self.folder), recipe, problem, base, origin=self.origin)
        if base != self.base or context.data != self.data:
            changed = "the model" if base != self.base else "the data"
            raise StudyError(
                f"a worker loaded {changed} of {self.folder} with other content than this study's; was a file changed"
                " meanwhile?"
            )
        return context


class _Worker:
    """This process: how it reports, and what it has loaded."""

    stop: Event
    progress: "Queue[Progress]"
    ticket: Ticket | None = None
    context: Context | None = None
    stage = ""


def begin_worker(stop: Event, progress: "Queue[Progress]", device: str | None, threads: int) -> None:
    """Prepare a new process.

    Args:
        stop: Set when all workers are to stop.
        progress: Takes reports.
        device: The number of the device that the worker may see; None for all.
        threads: That the worker computes with.
    """
    end_with_parent()
    _Worker.stop, _Worker.progress = stop, progress
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    torch.set_num_threads(threads)
    assert MODULES  # importing them has made every kind of work known


def do_work(ticket: Ticket, work_json: Mapping[str, Any], number: int) -> object:
    """Do one piece of work, and return its result.

    Args:
        ticket: What it is done with; loaded again only if it differs from the last one.
        work_json: The work.
        number: The piece's, for its reports.

    Raises:
        Stopped: All workers are to stop.
        ForetasteError: The work failed.
    """
    if _Worker.ticket != ticket or _Worker.context is None:
        _Worker.context, _Worker.ticket = ticket.load(), ticket
    context, work = _Worker.context, from_json(work_json)
    if work.stage != _Worker.stage:
        context.memory.clear()  # what one stage remembered, such as sites, is of no use to the next
        _Worker.stage = work.stage
    watch = _Reporter(number)
    try:
        return work.finish(context, Observer(watch, work.size(context)))
    finally:
        watch.flush()


class _Reporter:
    """A watch that reports to the process that hands out the work, now and then."""

    def __init__(self, number: int) -> None:
        self._number, self._amount, self._last = number, 0, time.monotonic()

    def begin(self, label: str, total: int) -> None:
        pass

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self._amount += amount
        if time.monotonic() - self._last >= _EVERY:
            self.flush(note)

    def say(self, text: str) -> None:
        _Worker.progress.put((self._number, 0, text))

    def stopping(self) -> bool:
        return _Worker.stop.is_set()

    def flush(self, note: str = "") -> None:
        """Report what was counted since the last report."""
        if self._amount:
            _Worker.progress.put((self._number, self._amount, note))
        self._amount, self._last = 0, time.monotonic()
