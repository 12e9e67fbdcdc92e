"""Asking a study for joint runs as jobs of another trainer: one folder each, complete with rows and scripts.

A proposal remembers which folder its job goes to. So what an interrupted call has proposed and not written is written
by the next one, and nothing new is proposed then.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.export.folder import check_folder
from foretaste.export.job import JobRecord, write_job_files
from foretaste.export.settings import Trainer, WrittenMixture
from foretaste.export.trainer_checks import check_columns
from foretaste.one_line import one_line
from foretaste.sources.job_results import JOB
from foretaste.sources.kinds import CAUSAL_LM, kind_named
from foretaste.store.study import StudyStore
from foretaste.target import resolved
from foretaste.weights import TaskWeights
from foretaste.workflow.ask import PendingRun, ask, pending_runs
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.mixing import check_mixture, export_mixture
from foretaste.workflow.session import Session

__all__ = ["Job", "ask_jobs", "write_pending_jobs"]

_CLAIM = "jobs"


@dataclass(frozen=True)
class Job:
    """A joint run as a folder for another trainer.

    Args:
        folder: The job's folder.
        weights: alpha.
        seed: Seed of the run.
        proposal: Key of the proposal in the study.
    """

    folder: Path
    weights: TaskWeights
    seed: int
    proposal: str

    __repr__ = one_line


def ask_jobs(
    session: Session,
    to: Path,
    trainer: str,
    count: int = 1,
    *,
    prefer: Prefer | None = None,
    floors: Floors | None = None,
    expire_hours: float | None = None,
) -> list[Job]:
    """Propose joint runs, and write a folder for each in which another trainer makes it.

    If an earlier call was interrupted, only the folders that it left out are written.

    Args:
        session: The recipe at work, of a causal language model with data from files.
        to: The folder that holds the jobs' folders.
        trainer: Of `foretaste.workflow.mixing.TrainerName`.
        count: How many runs.
        prefer: Another preference than the study's.
        floors: Other floors than the study's.
        expire_hours: Forget pending runs that were proposed longer ago than this.

    Raises:
        DataError: The tasks' examples are not rows with columns.
        TaskError: A trainer that cannot train this.
        StorageError: A folder exists, or the disk refuses.
        StudyError: Nothing is left to propose.
        WeightsError: A count below 1, or a preference or floor that is not understood.
    """
    study = session.study
    check_mixture(session.recipe, session.problem, [trainer])
    _check_rows(session, cast("Trainer", trainer))
    with study.claim(_CLAIM):
        numbers, own = _numbers(study), str(resolved(to))
        waiting = [run for run in pending_runs(study) if run.jobs == own]
        runs = [run for run in waiting if not (to / _name(numbers[run.key]) / JOB).is_file()]
        first = len(numbers) + 1
        names = [_name(numbers[run.key]) for run in runs] or [_name(first + place) for place in range(max(count, 0))]
        for name in names:
            check_folder(to / name)
        if not runs:
            runs = ask(study, count, prefer=prefer, floors=floors, expire_hours=expire_hours, jobs=own)
            numbers = _numbers(study)
        return [_write_job(session, to / _name(numbers[run.key]), cast("Trainer", trainer), run) for run in runs]


def write_pending_jobs(session: Session, to: Path, trainer: str) -> list[Job]:
    """Write a folder for each joint run that was proposed before and waits for its result; nothing is proposed.

    A run whose job is in the folder already keeps it, so that calling this again changes nothing.

    Args:
        session: The recipe at work, of a causal language model with data from files.
        to: The folder that holds the jobs' folders.
        trainer: Of `foretaste.workflow.mixing.TrainerName`.

    Returns:
        The jobs that were written.

    Raises:
        DataError: The tasks' examples are not rows with columns.
        TaskError: A trainer that cannot train this.
        StorageError: A folder exists and holds no job, or the disk refuses.
        StudyError: No joint run is pending.
    """
    study = session.study
    check_mixture(session.recipe, session.problem, [trainer])
    _check_rows(session, cast("Trainer", trainer))
    with study.claim(_CLAIM):
        waiting = [run for run in pending_runs(study) if run.fidelity == Fidelity.JOINT]
        if not waiting:
            raise StudyError("no joint run is pending; leave out --pending to propose new ones")
        numbers = _numbers(study)
        folders = {run.key: to / _name(numbers[run.key]) for run in waiting}
        runs = [run for run in waiting if not (folders[run.key] / JOB).is_file()]
        for run in runs:
            check_folder(folders[run.key])
        return [_write_job(session, folders[run.key], cast("Trainer", trainer), run) for run in runs]


def _check_rows(session: Session, trainer: Trainer) -> None:
    """Check that the trainer can read every task's columns, before anything is proposed."""
    from foretaste.sources.formats import columns_of  # its extra may be missing

    kind = kind_named(getattr(session.recipe.model, "kind", CAUSAL_LM.name))
    for task, rows in session.problem.rows.items():
        columns = rows.train.column_names
        roles = tuple(columns_of(kind.name, rows.columns, columns, rows.source))
        check_columns(
            trainer, kind, WrittenMixture(Path("train.jsonl"), "token", roles, tuple(columns), {task: 1}, {task: 1})
        )


def _numbers(study: StudyStore) -> dict[str, int]:
    """Number the study's proposals, the first one 1, by key."""
    return {work.key: number for number, work in enumerate(study.all_work("proposal"), start=1)}


def _name(number: int) -> str:
    return f"job-{number:02d}"


def _write_job(session: Session, folder: Path, trainer: Trainer, run: PendingRun) -> Job:
    job = Job(folder, run.weights, session.joint_training.seed, run.key)
    record = JobRecord(session.recipe.name, run.key, run.weights, run.fidelity, job.seed, trainer)
    tasks = session.problem.tasks
    export_mixture(
        session,
        folder,
        run.weights,
        form="jsonl",
        names=[trainer],
        add_files=lambda hidden: write_job_files(hidden, record, tasks),
    )
    return job
