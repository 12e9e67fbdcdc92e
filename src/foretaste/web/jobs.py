"""Jobs: the work that was asked for on a study's page, by the same use cases as the commands."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from foretaste.errors import ForetasteError, Stopped
from foretaste.evaluation import Evaluation
from foretaste.store.queue import Job, Kind, Queue, State
from foretaste.study.study import Study
from foretaste.weights import TaskWeights
from foretaste.workflow.export import EXPORTS, default_method

__all__ = ["do_waiting_jobs", "folder_name", "perform"]

_EVERY = 0.2  # seconds between two checks whether to stop


def do_waiting_jobs(study: Study, queue: Queue, stopping: Callable[[], bool] = lambda: False) -> int:
    """Do the jobs that wait, one after the other, until none is left.

    A job that fails is marked as failed, and the others are still done.

    Args:
        study: The study.
        queue: Of the same study.
        stopping: Whether to leave after the step in hand; the job is then queued again.

    Returns:
        How many were done.

    >>> from foretaste.store.study import StudyStore
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session, StudyStore.open_queue(session.study.path) as queue:
    ...     _ = queue.add(Kind.TRAIN, "low=0.2,mid=0.3,high=0.5")
    ...     do_waiting_jobs(Study.of(session), queue), str(queue.jobs()[0].state)
    (1, 'done')
    """
    done = 0
    while not stopping() and (job := queue.next()):
        watch = _Watch(queue, job, stopping)
        try:
            message = perform(study.watched_by(watch), job)
        except Stopped:
            if queue.stopping(job.id):
                queue.end(job.id, State.CANCELLED)
            else:
                queue.requeue(job.id)
        except ForetasteError as error:
            queue.end(job.id, State.FAILED, str(error))
        else:
            queue.end(job.id, State.DONE, message)
            done += 1
    return done


def perform(study: Study, job: Job) -> str:
    """Do one job.

    Args:
        study: Its watch shows progress, and may stop the job.
        job: What to do.

    Returns:
        Every task's headline metric by the row that was asked for; of an export, where it is.

    Raises:
        ForetasteError: It cannot be done.
    """
    weights = TaskWeights.parse(job.weights, study.problem.names)
    if job.kind in (Kind.EXPORT_PREVIEW, Kind.EXPORT_JOINT, Kind.EXPORT_MIXTURE):
        return _export(study, job.kind, weights)
    if job.kind == Kind.SHARPEN:
        return _headlines(study, study.sharpen([weights])[-1])
    rows = study.train([weights]) if job.kind == Kind.TRAIN else study.preview([weights])
    return _headlines(study, rows[-1])


def _headlines(study: Study, row: Evaluation) -> str:
    headlines = [(task.name, task.metrics[0].name) for task in study.problem.tasks]
    return ", ".join(
        f"{task} {row.metrics[task][metric]:.3f}" for task, metric in headlines if metric in row.metrics[task]
    )


def _export(study: Study, kind: Kind, weights: TaskWeights) -> str:
    methods = {Kind.EXPORT_JOINT: "joint", Kind.EXPORT_MIXTURE: "data-mixture"}
    method = methods.get(kind) or default_method(study.recipe)
    target = Path(EXPORTS) / folder_name(method, weights)
    (study.folder / EXPORTS).mkdir(exist_ok=True)
    if kind == Kind.EXPORT_MIXTURE:
        study.export_mixture(study.folder / target, weights, overwrite=True)
    else:
        study.export(study.folder / target, weights, method, overwrite=True)
    return str(target)


def folder_name(method: str, weights: TaskWeights) -> str:
    """Name the folder for an export by a method at some weights.

    Args:
        method: A preview method, ``joint``, or ``data-mixture`` for rows.
        weights: Rounded in the name; where that loses something, a hash tells them apart.

    >>> folder_name("simple", TaskWeights("ab", [0.25, 0.75])), folder_name("joint", TaskWeights("ab", [1 / 3, 2 / 3]))
    ('simple-0.25-0.75', 'joint-0.333-0.667-6724f1')
    """
    shares = [f"{share:.3g}" for share in weights.values()]
    exact = all(float(text) == share for text, share in zip(shares, weights.values(), strict=True))
    tail = [] if exact else [hashlib.sha256(weights.key.encode()).hexdigest()[:6]]
    return "-".join([method, *shares, *tail])


class _Watch:
    """Writes progress to the queue, now and then, and stops when the job is cancelled."""

    def __init__(self, queue: Queue, job: Job, leaving: Callable[[], bool]) -> None:
        self._queue, self._job, self._leaving = queue, job, leaving
        self._stage, self._done, self._total, self._told, self._asked, self._stop = "", 0, 0, 0.0, 0.0, False

    def begin(self, label: str, total: int) -> None:
        if label == self._stage and self._done < self._total:
            self._total += total
        else:
            self._stage, self._done, self._total = label, 0, total
        self._tell()

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        if stage in (None, self._stage):
            self._done += amount
        if time.monotonic() - self._told >= _EVERY:
            self._tell()

    def say(self, text: str) -> None:
        pass

    def stopping(self) -> bool:
        if not self._stop and time.monotonic() - self._asked >= _EVERY:
            self._asked = time.monotonic()
            self._stop = self._leaving() or self._queue.stopping(self._job.id)
        return self._stop

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._queue.progress(self._job.id, self._stage, self._done, self._total)
