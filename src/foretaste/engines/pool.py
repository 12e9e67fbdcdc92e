"""The engine `pool`: worker processes of this machine, each of which loads the model and the data once.

A worker opens the study itself and keeps what it makes there; only work (as JSON), progress and small results pass
between processes. Every worker is an executor of one process (`concurrent.futures`): if the process dies, its piece
goes to a new one and on from its snapshot, and the other workers go on undisturbed. Where the system can fork, workers
are forked from a server that has imported torch and foretaste once and computed nothing.
"""

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from typing import Any

import torch

from foretaste.engines.engine import Engine
from foretaste.engines.pool_worker import Progress, Ticket, begin_worker, do_work
from foretaste.engines.schedule import Schedule
from foretaste.errors import ForetasteError, RunFailed, StudyError
from foretaste.method_table import METHOD_TABLE
from foretaste.one_line import one_line
from foretaste.processes import without_interrupts
from foretaste.sources.kinds import kinds
from foretaste.weights import TaskWeights
from foretaste.work.context import Context, Watch
from foretaste.work.work import Work, to_json

__all__ = ["Pool"]

_CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()
_ATTEMPTS = 3  # with a piece whose worker dies
_EVERY = 0.1  # seconds between two looks at progress
_PARTS = 2  # of the previews, per worker: so that one slow part does not keep all others waiting


@dataclass(eq=False)
class _Assignment:
    """A piece of work on its way.

    Args:
        work: The piece.
        number: Its number among all that were assigned.
        attempts: How many workers have been at it.
        worker: The number of the worker that is at it.
        counted: Units that were reported so far.
        size: Units of the piece.
    """

    work: Work[Any]
    number: int
    size: int
    attempts: int = 0
    worker: int = -1
    counted: int = 0

    __repr__ = one_line


class Pool(Engine):
    """Runs work in several processes of this machine, one device each where there are any.

    Args:
        workers: How many processes.

    Raises:
        StudyError: Fewer than one.

    >>> Pool(2)
    Pool(2)
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise StudyError(f"a pool needs at least 1 worker, not {workers}")
        self.workers = workers
        self._processes = multiprocessing.get_context("forkserver" if _CAN_FORK else "spawn")
        self._stop: Event = self._processes.Event()
        self._progress: Queue[Progress] = self._processes.Queue()
        self._executors: dict[int, ProcessPoolExecutor] = {}
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"Pool({self.workers})"

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        if _CAN_FORK:
            self._processes.set_forkserver_preload([begin_worker.__module__])
            with without_interrupts():
                forkserver.ensure_running()

    def close(self) -> None:
        """End the workers, each after the piece that it is at; a pool that is used again starts new ones."""
        self._stop.set()
        while self._executors:
            self._executors.popitem()[1].shutdown(cancel_futures=True)

    def split(self, points: Sequence[TaskWeights]) -> list[tuple[TaskWeights, ...]]:
        parts = max(1, min(len(points), self.workers * _PARTS))
        return [tuple(points[place::parts]) for place in range(parts)]

    def run_schedule(self, schedule: Schedule, context: Context, watch: Watch) -> Iterator[tuple[Work[Any], Any]]:
        ticket, running, orphans = _ticket_of(context), dict[Future[Any], _Assignment](), list[_Assignment]()
        self._stop.clear()
        try:
            while True:
                while len(running) < self.workers and not self._stop.is_set():
                    if (assignment := orphans.pop() if orphans else self._next(schedule, context)) is None:
                        break
                    if not assignment.attempts and assignment.work.is_finished(context):
                        yield assignment.work, assignment.work.stored_result(context)
                        watch.advance(assignment.size, stage=assignment.work.stage)
                    else:
                        self._submit(assignment, ticket, running)
                if not running:
                    break
                finished, _ = wait(running, timeout=_EVERY, return_when=FIRST_COMPLETED)
                self._report({assignment.number: assignment for assignment in running.values()}, watch)
                if watch.stopping():
                    self._stop.set()
                for future in finished:
                    yield from self._outcome(future, running.pop(future), watch, orphans)
        finally:
            self._stop.set()
            wait(running)  # until each has saved its state

    def _next(self, schedule: Schedule, context: Context) -> _Assignment | None:
        work = schedule.take()
        return None if work is None else _Assignment(work, next(self._numbers), work.size(context))

    def _submit(self, assignment: _Assignment, ticket: Ticket, running: "dict[Future[Any], _Assignment]") -> None:
        busy = {assignment.worker for assignment in running.values()}
        assignment.worker = next(number for number in range(self.workers) if number not in busy)
        assignment.attempts += 1
        assignment.counted = 0
        with without_interrupts():
            future = self._executor(assignment.worker).submit(
                do_work, ticket, to_json(assignment.work), assignment.number
            )
        running[future] = assignment

    def _executor(self, number: int) -> ProcessPoolExecutor:
        if number not in self._executors:
            self.warm_up()
            threads = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // self.workers))
            arguments = (self._stop, self._progress, _device(number), threads)
            self._executors[number] = ProcessPoolExecutor(1, self._processes, begin_worker, arguments)
        return self._executors[number]

    def _outcome(
        self, future: "Future[Any]", assignment: _Assignment, watch: Watch, orphans: list[_Assignment]
    ) -> Iterator[tuple[Work[Any], Any]]:
        try:
            result = future.result()
        except BrokenProcessPool:
            watch.advance(-assignment.counted, stage=assignment.work.stage)
            self._executors.pop(assignment.worker).shutdown(wait=False)
            if assignment.attempts < _ATTEMPTS:
                orphans.append(assignment)
                return
            result = RunFailed(
                f"{_ATTEMPTS} workers died while doing it, perhaps because memory ran out; use fewer --workers, and"
                " look at the system's log"
            )
        except ForetasteError as error:
            result = error
        else:
            watch.advance(assignment.size - assignment.counted, stage=assignment.work.stage)
        yield assignment.work, result

    def _report(self, running: dict[int, _Assignment], watch: Watch) -> None:
        """Pass on what the workers have reported."""
        while True:
            try:
                number, amount, note = self._progress.get_nowait()
            except Empty:
                return
            if number not in running:
                continue
            if amount:
                running[number].counted += amount
                watch.advance(amount, note, running[number].work.stage)
            else:
                watch.say(note)


def _ticket_of(context: Context) -> Ticket:
    """What workers need to load the same.

    Raises:
        StudyError: The model and the tasks were made in memory.
    """
    if context.origin is None:
        raise StudyError(
            "the model and tasks were made in memory, where other processes cannot load them; use 1 worker, or a"
            " recipe's file"
        )
    recipe = context.recipe.model_dump(mode="json", exclude_unset=True)
    return Ticket(
        context.study.path.resolve(),
        recipe,
        context.origin,
        context.base,
        context.data,
        tuple(METHOD_TABLE.values()),
        kinds(),
    )


def _device(number: int) -> str | None:
    """The device for a worker: each gets one of those that this process may see."""
    visible = [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    devices = visible or [str(device) for device in range(torch.cuda.device_count())]
    return devices[number % len(devices)] if devices else None
