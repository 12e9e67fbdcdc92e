"""Jobs: the work that was asked for on a study's page, by the same use cases as the commands."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from foretaste.errors import ForetasteError, Stopped
from foretaste.evaluation import Evaluation
from foretaste.method_table import with_controls
from foretaste.methods.registry import last_with_params
from foretaste.store.queue import Job, Kind, Queue, State
from foretaste.weights import TaskWeights
from foretaste.workflow.confirm import confirm
from foretaste.workflow.export import EXPORTS, default_method, export
from foretaste.workflow.fit import fit
from foretaste.workflow.mixing import export_mixture
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews

__all__ = ["folder_name", "perform", "work_off"]

_EVERY = 0.2  # seconds between two looks at whether to stop
_SHARPENED = 0.1  # of a joint run's steps


def work_off(session: Session, queue: Queue, stopping: Callable[[], bool] = lambda: False) -> int:
    """Do the jobs that wait, one after the other, until none is left.

    A job that fails is told and does not keep others from being done.

    Args:
        session: The recipe at work.
        queue: Of the same study.
        stopping: Whether to leave after the step in hand; the job is then queued again.

    Returns:
        How many were done.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.loading import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, finetune: {steps: 1}, curvature: {max_examples: 1}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), Path(folder))
    ...     with session.study, Queue(Path(folder)) as queue:
    ...         _ = queue.add(Kind.TRAIN, "low=0.2,mid=0.3,high=0.5")
    ...         work_off(session, queue), str(queue.jobs()[0].state)
    (1, 'done')
    """
    done = 0
    while not stopping() and (job := queue.next()):
        watch = _Watch(queue, job, stopping)
        try:
            message = perform(replace(session, watch=watch), job)
        except Stopped:
            if queue.stopping(job.id):
                queue.end(job.id, State.CANCELLED)
            else:
                queue.again(job.id)
        except ForetasteError as error:
            queue.end(job.id, State.FAILED, str(error))
        else:
            queue.end(job.id, State.DONE, message)
            done += 1
    return done


def perform(session: Session, job: Job) -> str:
    """Do one job.

    Args:
        session: The recipe at work; its watch is told of progress, and may stop the job.
        job: What to do.

    Returns:
        Every task's headline metric by the row that was asked for; of an export, where it is.

    Raises:
        ForetasteError: It cannot be done.
    """
    weights = TaskWeights.parse(job.weights, session.problem.names)
    if job.kind in (Kind.EXPORT_PREVIEW, Kind.EXPORT_JOINT, Kind.EXPORT_MIXTURE):
        return _export(session, job.kind, weights)
    fit(session)
    if job.kind == Kind.SHARPEN:
        steps = max(1, round(_SHARPENED * session.joint_training.steps))
        return _said(session, sharpen_previews(session, last_with_params(session.recipe.preview.methods), steps, [weights])[-1])
    trained = confirm(session, [weights]) if job.kind == Kind.TRAIN else []
    previews = preview(session, with_controls(session.recipe.preview.methods), [weights])
    return _said(session, (trained or previews)[-1])


def _said(session: Session, row: Evaluation) -> str:
    found = [(task.name, task.metrics[0].name) for task in session.problem.tasks]
    return ", ".join(f"{task} {row.metrics[task][metric]:.3f}" for task, metric in found if metric in row.metrics[task])


def _export(session: Session, kind: Kind, weights: TaskWeights) -> str:
    methods = {Kind.EXPORT_JOINT: "joint", Kind.EXPORT_MIXTURE: "data-mixture"}
    method = methods.get(kind) or default_method(session.recipe)
    target = Path(EXPORTS) / folder_name(method, weights)
    (session.study.path / EXPORTS).mkdir(exist_ok=True)
    if kind == Kind.EXPORT_MIXTURE:
        export_mixture(session, session.study.path / target, weights, form="jsonl", overwrite=True)
    else:
        export(session, session.study.path / target, weights, method, overwrite=True)
    return str(target)


def folder_name(method: str, weights: TaskWeights) -> str:
    """A folder of its own for what is exported by a method at some weights.

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
        self._stage, self._done, self._total = label, 0, total
        self._tell()

    def advance(self, amount: int, note: str = "") -> None:
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
