"""Telling a study the results of jobs that other trainers ran."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foretaste.errors import BadInput, DataError
from foretaste.names import first_faults
from foretaste.one_line import one_line
from foretaste.sources.job_results import JOB, Metrics, harness_metrics, job_metrics, read_json, trainer_metrics
from foretaste.store.study import StudyStore
from foretaste.surface.table import Surface
from foretaste.workflow.outcome import empty_surface
from foretaste.workflow.tell import OutsideRun, TellResult, read_metrics, read_weights, tell

__all__ = ["JobResult", "preview_jobs", "tell_jobs"]

_MOST_FAULTS = 20
_NEAR = 1e-9


@dataclass(frozen=True)
class JobResult:
    """What a job's folder holds.

    Args:
        folder: The job's folder.
        run: The run with its results; None if there are none yet, or they cannot be used.
        files: Where its metrics come from, in the job's folder.
        fault: Why its results cannot be used.
    """

    folder: Path
    run: OutsideRun | None = None
    files: tuple[str, ...] = field(default=())
    fault: str = ""

    __repr__ = one_line


def preview_jobs(study: StudyStore, folder: Path) -> list[JobResult]:
    """Read the results of jobs without telling them to the study.

    Args:
        study: The study that proposed the jobs.
        folder: A job's folder, or one that holds jobs' folders.

    Raises:
        DataError: There is no job.
    """
    jobs = [folder] if (folder / JOB).is_file() else sorted(path.parent for path in folder.glob(f"*/{JOB}"))
    if not jobs:
        raise DataError(f"{folder} holds no job; name a folder that `foretaste ask STUDY --to FOLDER` wrote")
    surface, plan = empty_surface(study), (study.recipe() or ("", {}))[1]
    names = {task: _metric_names(plan, surface, task) for task in surface.tasks}
    return [_read_job(study, surface, names, job) for job in jobs]


def _metric_names(plan: Mapping[str, object], surface: Surface, task: str) -> list[str]:
    metrics = plan.get("metrics")
    own = metrics.get(task, {}) if isinstance(metrics, dict) else {}
    return list(dict.fromkeys([surface.headlines[task].metric, *own]))


def tell_jobs(study: StudyStore, folder: Path, *, skip_bad: bool = False, replace_numbers: bool = False) -> TellResult:
    """Tell a study the results of all jobs that have any, or none of them.

    Args:
        study: The study that proposed the jobs.
        folder: A job's folder, or one that holds jobs' folders.
        skip_bad: Whether jobs whose results cannot be used are left out.
        replace_numbers: Whether numbers that differ from those of the study take their place.

    Raises:
        DataError: There is no job, a job's results cannot be used, or the study has other numbers.
    """
    jobs = preview_jobs(study, folder)
    if (faults := [f"{job.folder.name}: {job.fault}" for job in jobs if job.fault]) and not skip_bad:
        lines = "\n  ".join(first_faults(faults, _MOST_FAULTS))
        raise DataError(
            f"results that cannot be used:\n  {lines}\nnothing was written; correct them, or leave these jobs out with"
            " --skip-bad (skip_bad=True)"
        )
    return tell(study, [job.run for job in jobs if job.run is not None], replace_numbers=replace_numbers)


def _read_job(study: StudyStore, surface: Surface, names: Mapping[str, list[str]], folder: Path) -> JobResult:
    try:
        facts = read_json(folder / JOB)
        run = _run_of(study, surface, facts, folder.name)
        metrics, files = _read_results(folder, surface, names)
        if not metrics:
            return JobResult(folder)
        return JobResult(
            folder,
            OutsideRun(run.weights, read_metrics(surface, metrics), run.fidelity, run.seed, origin=folder.name),
            tuple(files),
        )
    except BadInput as error:
        return JobResult(folder, fault=str(error))


def _run_of(study: StudyStore, surface: Surface, facts: Mapping[str, object], origin: str) -> OutsideRun:
    """Return a job's run without results.

    Raises:
        DataError: Another study proposed it, or its file was changed.
    """
    weights, seed, fidelity = facts.get("weights"), facts.get("seed"), facts.get("fidelity")
    if not isinstance(weights, dict) or not isinstance(seed, int) or not isinstance(fidelity, str):
        raise DataError("job.json lacks weights, seed or fidelity; it was not written by foretaste")
    proposal = next((work for work in study.all_work("proposal") if work.key == facts.get("proposal")), None)
    if proposal is None:
        raise DataError(f"another study ({facts.get('study')}) proposed it; tell that one")
    point = read_weights(surface, weights)
    shares = [float(proposal.inputs["weights"][name]) for name in point]
    if not all(math.isclose(*pair, abs_tol=_NEAR) for pair in zip(point.values(), shares, strict=True)):
        raise DataError("job.json has other weights than the study proposed; tell them with --weights and --metric")
    return OutsideRun(point, {}, fidelity, seed, origin=origin)


def _read_results(folder: Path, surface: Surface, names: Mapping[str, list[str]]) -> tuple[Metrics, list[str]]:
    """Read all results in a job's folder; metrics.json comes first, then the harness's, then the trainer's.

    Raises:
        DataError: Two files of one form have other numbers for a metric.
    """
    headlines = {task: head.metric for task, head in surface.headlines.items()}
    readers: dict[str, Callable[[Path], Metrics]] = {
        "metrics.json": lambda path: job_metrics(read_json(path), headlines),
        "results*.json": lambda path: harness_metrics(read_json(path), names),
        "trainer_state.json": lambda path: trainer_metrics(read_json(path), surface.tasks),
    }
    metrics: Metrics = {}
    files: list[str] = []
    for pattern, reader in readers.items():
        paths = [folder / pattern] if pattern == "metrics.json" else sorted(folder.rglob(pattern))
        if pattern == "trainer_state.json":
            paths = [path for path in paths if not path.parent.name.startswith("checkpoint-")]
        own: Metrics = {}
        for path in filter(Path.is_file, paths):
            added = reader(path)
            _merge(own, added, path.name)
            files += [str(path.relative_to(folder))] if added else []
        for task, values in own.items():
            metrics[task] = {**values, **metrics.get(task, {})}
    return metrics, files


def _merge(metrics: Metrics, added: Metrics, name: str) -> None:
    for task, values in added.items():
        for metric, value in values.items():
            before = metrics.setdefault(task, {}).setdefault(metric, value)
            if not math.isclose(before, value, rel_tol=_NEAR):
                raise DataError(
                    f"several files ({name}) have other numbers for {metric} of {task}: {before:.6g} and {value:.6g};"
                    " remove all but one, or write metrics.json"
                )
