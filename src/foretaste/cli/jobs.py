"""What `foretaste ask --to` does and prints; unlike other commands for runs made elsewhere, it opens model and data."""

import shlex
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from foretaste.cli.printing import print_report
from foretaste.cli.working import working
from foretaste.document.blocks import Note, Section
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
    pending: bool = False,
    as_json: bool,
) -> None:
    """Write jobs of joint runs of a study, or of a recipe's study: of new proposals, or of those that are pending."""
    which = ["--pending"] if pending else ["-n", str(count)]
    command = ["ask", str(study), "--to", str(to), "--trainer", trainer, *which]
    with ExitStack() as stack:
        if study.is_file():
            opened, _ = stack.enter_context(working(study, None, None, command))
        else:
            opened = stack.enter_context(Study(study))
        jobs = opened.ask_jobs(
            to, trainer, count, prefer=prefer, floors=floors, expire_hours=expire_hours, pending=pending
        )
    record = [asdict(job) | {"folder": str(job.folder), "weights": dict(job.weights)} for job in jobs]
    runs = [shlex.join(["bash", str(job.folder / "run.sh")]) for job in jobs]
    then = f"then: {shlex.join(['foretaste', 'tell', str(opened.folder), '--from', str(to)])}"
    lines = [(str(job.folder), job.weights, "", "") for job in jobs]
    none = Section("Jobs", (Note("Every pending joint run has a job."),))
    section = jobs_section(lines, "Jobs") if jobs else none
    print_report(as_json, record, [section], "\n".join([*runs, then] if jobs else []))
