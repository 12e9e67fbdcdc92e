"""What the commands for runs made elsewhere do and print."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from foretaste.cli.printing import print_report
from foretaste.document.blocks import Note, Section
from foretaste.document.wording import counted, number
from foretaste.errors import DataError, StudyError, WeightsError
from foretaste.one_line import one_line
from foretaste.report.records import row_record
from foretaste.report.sections.outside import describe_absent, jobs_section, mapping_sections, proposals_section
from foretaste.store.study import StudyStore
from foretaste.surface.fidelities import fidelity_name
from foretaste.surface.table import Surface
from foretaste.surface.views import rows_table
from foretaste.weights import TaskWeights
from foretaste.workflow.ask import PendingRun, drop_pending, pending_runs
from foretaste.workflow.outcome import empty_surface
from foretaste.workflow.outside import OutsideQuestion, parse_tasks, start_outside
from foretaste.workflow.run_columns import TableOptions
from foretaste.workflow.tell import OutsideRun, TellResult, read_metrics, read_weights, tell
from foretaste.workflow.tell_jobs import JobResult, preview_jobs, tell_jobs
from foretaste.workflow.tell_rows import describe_faults, preview_table

__all__ = [
    "Telling",
    "drop_runs",
    "preview_tables",
    "print_proposals",
    "print_rows",
    "tell_study",
    "tell_study_jobs",
]


@dataclass(frozen=True)
class Telling:
    """What a user tells, as typed.

    Args:
        study: The study's folder.
        tasks: Tasks with metrics of a study to create.
        domains: What it mixes.
        tables: Files of runs.
        options: What holds for all rows.
        skip_bad: Whether rows that cannot be read are left out.
        replace: Whether other numbers take the place of the study's.
    """

    study: Path
    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    tables: tuple[Path, ...]
    options: TableOptions
    skip_bad: bool
    replace: bool

    __repr__ = one_line

    def question(self) -> OutsideQuestion | None:
        """Return the question of a study to create; None if it exists.

        Raises:
            StudyError: There is no study, and no task to create one with.
        """
        if self.tasks:
            return OutsideQuestion.of(parse_tasks(self.tasks), self.domains)
        if self.domains:
            raise StudyError("--domain creates a study together with --task; add --task TASK=METRIC")
        if not StudyStore.exists(self.study):
            raise StudyError(
                f"there is no study {self.study} yet; name its tasks to create it, as in --task code=pass@1 --task"
                " chat=loss"
            )
        return None


def _open_told(telling: Telling, folder: Path) -> StudyStore:
    """Open the study that a user names, or create it in a folder.

    Args:
        telling: What a user typed.
        folder: Of a study to create.
    """
    question = telling.question()
    return StudyStore.open(telling.study) if question is None else start_outside(folder, question)


def preview_tables(telling: Telling, *, as_json: bool) -> None:
    """Print what the columns of tables hold, and their first rows; a study is neither created nor changed."""
    if not telling.tables:
        raise DataError("--dry-run shows what a table holds; name a table")
    with tempfile.TemporaryDirectory() as folder, _open_told(telling, Path(folder, telling.study.name)) as study:
        previews = [preview_table(study, table, telling.options) for table in telling.tables]
    record, sections = [], []
    for preview in previews:
        rows = [run.evaluation(0.0) for run in preview.runs]
        mapping = preview.mapping
        sections += mapping_sections(
            preview.table.name, mapping.lines(), mapping.unused, mapping.absent, rows, preview.faults
        )
        record.append(
            {"table": preview.table.name, "columns": dict(mapping.lines()), "unused": list(mapping.unused)}
            | {"absent": list(mapping.absent), "runs": len(rows), "faults": list(preview.faults)}
        )
    print_report(as_json, record, sections, "nothing was written")


def tell_study(
    telling: Telling,
    weights: str | None,
    metrics: Mapping[str, str],
    after: str,
    *,
    as_json: bool,
) -> None:
    """Tell a study one run, or tables of runs, all or none, and print what it learned."""
    question = telling.question()
    with tempfile.TemporaryDirectory() as folder, _open_told(telling, Path(folder, telling.study.name)) as trial:
        runs, absent = _runs(telling, trial, weights, metrics)  # before anything is created
    with StudyStore.create(telling.study) if question is None else start_outside(telling.study, question) as study:
        result = tell(study, runs, replace_numbers=telling.replace, costs=telling.options.costs)
        waiting = len(pending_runs(study))
    lines = [str(result) + (f"; {counted(waiting, 'proposal')} without results" if waiting else "")]
    lines += [f"note: {describe_absent(absent)}"] if absent else []
    print_report(as_json, asdict(result) | {"pending": waiting, "absent": absent}, "\n".join(lines), after)


def _runs(
    telling: Telling, study: StudyStore, weights: str | None, metrics: Mapping[str, str]
) -> tuple[list[OutsideRun], list[str]]:
    """Read every run that a user tells, and the names of weights for which a table has no column.

    Raises:
        DataError: Rows that cannot be read, or metrics without weights.
    """
    surface = empty_surface(study)
    runs = [] if weights is None else [_one_run(surface, weights, metrics, telling.options)]
    absent: list[str] = []
    if weights is None and metrics:
        raise DataError("--metric is a result of one run; add its weights, as in --weights code=0.5,chat=0.5")
    for table in telling.tables:
        preview = preview_table(study, table, telling.options)
        if preview.faults and not telling.skip_bad:
            raise DataError(describe_faults(preview.table, preview.faults))
        runs += preview.runs
        absent += [name for name in preview.mapping.absent if name not in absent]
    return runs, absent


def _one_run(surface: Surface, weights: str, metrics: Mapping[str, str], options: TableOptions) -> OutsideRun:
    """Read the run that options describe."""
    point = TaskWeights.parse(weights, surface.weight_names) if not options.normalise else None
    if point is None:
        shares = _shares(weights)
        point = read_weights(surface, shares, normalise=True)
    values: dict[str, dict[str, float]] = {}
    for name, text in metrics.items():
        task, _, metric = name.partition(":")
        if task not in surface.headlines:
            raise DataError(f"--metric names {task!r}, which is no task; the tasks are {', '.join(surface.tasks)}")
        try:
            values.setdefault(task, {})[metric or surface.headlines[task].metric] = float(text)
        except ValueError:
            raise DataError(f"--metric {name}={text}: {text!r} is no number") from None
    return OutsideRun(point, read_metrics(surface, values), options.fidelity, options.seed, options.cost)


def _shares(text: str) -> dict[str, float]:
    """Read numbers by name that need not add up to 1."""
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise WeightsError(f"weights {text!r} are not understood; write for example code=30,chat=70") from None


def drop_runs(study: StudyStore, texts: Sequence[str]) -> list[PendingRun]:
    """Drop the pending runs at weights that a user typed, or all."""
    if list(texts) == ["all"]:
        return drop_pending(study)
    names = empty_surface(study).weight_names
    return drop_pending(study, [TaskWeights.parse(text, names) for text in texts])


def print_proposals(runs: Sequence[PendingRun], title: str, after: str, *, as_json: bool) -> None:
    """Print runs to make."""
    record = [asdict(run) | {"weights": dict(run.weights)} for run in runs]
    lines = [run.weights.key for run in runs]
    section = proposals_section([(run.weights, run.fidelity, run.gain, run.time) for run in runs], title)
    print_report(as_json, record, [section], "\n".join([*lines, after] if runs else []))


def print_rows(folder: Path, fidelity: str | None, limit: int, *, as_json: bool) -> None:
    """Print a study's rows, those of one fidelity if it is named."""
    with StudyStore.open(folder) as study:
        surface, everything = empty_surface(study), study.evaluations_after(0)[0]
    rows = [row for row in everything if fidelity in (None, fidelity_name(row))]
    first = {task: head.metric for task, head in surface.headlines.items()}
    record = [row_record(row) | {"fidelity": fidelity_name(row), "key": row.key} for row in rows]
    block = rows_table(rows, limit, "--json has all", first) if rows else Note("No rows.")
    print_report(as_json, record, [Section("", (block,))])


def tell_study_jobs(folder: Path, jobs: Path, skip_bad: bool, replace: bool, dry_run: bool, *, as_json: bool) -> None:
    """Tell a study the results of jobs, and print what each job's folder holds."""
    with StudyStore.open(folder) as study:
        results = preview_jobs(study, jobs)
        learned = TellResult() if dry_run else tell_jobs(study, jobs, skip_bad=skip_bad, replace_numbers=replace)
        waiting = len(pending_runs(study))
    record = asdict(learned) | {"pending": waiting, "jobs": [_job_record(result) for result in results]}
    lines = [
        (
            result.folder.name,
            None if result.run is None else result.run.weights,
            ", ".join(result.files),
            _describe(result),
        )
        for result in results
    ]
    outcome = "nothing was written" if dry_run else f"{learned}; {counted(waiting, 'proposal')} without results"
    print_report(as_json, record, [jobs_section(lines, "Jobs")], outcome)


def _describe(result: JobResult) -> str:
    if result.run is None:
        return result.fault or "no results yet"
    values = ((task, name, value) for task, own in result.run.metrics.items() for name, value in own.items())
    return ", ".join(f"{task} {name} {number(value)}" for task, name, value in values)


def _job_record(result: JobResult) -> dict[str, object]:
    run = result.run
    facts: dict[str, object] = {"job": str(result.folder), "files": list(result.files), "fault": result.fault}
    if run is None:
        return facts
    return facts | {"weights": dict(run.weights), "seed": run.seed, "metrics": dict(run.metrics)}
