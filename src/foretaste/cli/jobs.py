"""What `foretaste ask --to` does and prints; unlike other commands for runs made elsewhere, it opens model and data."""

import shlex
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from foretaste.cli.printing import print_report
from foretaste.cli.working import working
from foretaste.report.sections.outside import jobs_section
from foretaste.study.study import Study

__all__ = ["ask_jobs"]


def ask_jobs(
    study: Path,
    to: Path,
    trainer: str,
    count: int,
    prefer: str | None,
    floors: list[str] | None,
    expire_hours: float | None,
    *,
    pending: bool,
    as_json: bool,
) -> None:
    """Write a job's folder for each joint run: for new proposals, or for the pending ones.

    ``study`` is a study's folder or a recipe.
    """
    command = ["ask", str(study), "--to", str(to), "--trainer", trainer, "-n", str(count)]
    command += ["--pending"] if pending else []
    with ExitStack() as stack:
        if study.is_file():
            opened, _ = stack.enter_context(working(study, None, None, command))
        else:
            opened = stack.enter_context(Study(study))
        jobs = opened.ask_jobs(
            to, trainer, count, prefer=prefer, floors=floors, expire_hours=expire_hours, pending=pending
        )
    record = [asdict(job) | {"folder": str(job.folder), "weights": dict(job.weights)} for job in jobs]
    section = jobs_section([(str(job.folder), job.weights, "", "") for job in jobs], "Jobs")
    done = [] if jobs else [f"every pending joint run has its job in {to}"]
    runs = [shlex.join(["bash", str(job.folder / "run.sh")]) for job in jobs]
    after = "\n".join(
        [*done, *runs, f"then: {shlex.join(['foretaste', 'tell', str(opened.folder), '--from', str(to)])}"]
    )
    print_report(as_json, record, [section] if jobs else [], after)
