"""Commands that show a study: in the terminal, and as one HTML file."""

import shlex
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretaste.cli.base import app, print_report, use_one_thread
from foretaste.cli.options import Explain, Floors, Json, Method, Open, Prefer, StudyFolder
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste import target, whole
    from foretaste.report import explorer, page, records
    from foretaste.report import summary as summaries
    from foretaste.report.sections import explanation
    from foretaste.report.sections import study as sections
    from foretaste.store import study as studies
    from foretaste.workflow import outcome
else:
    explorer, page, records, summaries = (
        lazy(f"foretaste.report.{name}") for name in ("explorer", "page", "records", "summary")
    )
    explanation, sections = (lazy(f"foretaste.report.sections.{name}") for name in ("explanation", "study"))
    studies, target, whole, outcome = (
        lazy(f"foretaste.{name}") for name in ("store.study", "target", "whole", "workflow.outcome")
    )

__all__ = ["check_own_report", "check_report", "print_study", "report", "show", "summarize_study", "write_report"]


@app.command(epilog="Example: [bold]foretaste show study.study --prefer worst --floor 'all>=97%'[/]")
def show(
    study: StudyFolder,
    prefer: Prefer = None,
    floor: Floors = None,
    method: Method = None,
    explain: Explain = False,
    as_json: Json = False,
) -> None:
    """Show a study: the recommended weights, the best previews, and how far to trust them."""
    use_one_thread()
    summary = summarize_study(study, prefer, floor, method)
    if explain:
        paragraphs = explanation.explain(summary)
        print_report(as_json, {"explanation": paragraphs}, "\n\n".join(paragraphs))
    else:
        print_study(summary, {}, f"next: {shlex.join(['foretaste', 'report', str(study)])}", as_json=as_json)


@app.command(epilog="Example: [bold]foretaste report study.study --out report.html[/]")
def report(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option(help="File to write; STUDY/report.html if left out.")] = None,
    prefer: Prefer = None,
    floor: Floors = None,
    method: Method = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that foretaste did not write.")
    ] = False,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML file: maps, front, previews against joint runs, recommendation, provenance."""
    use_one_thread()
    path = out or study / target.REPORT
    write_report(summarize_study(study, prefer, floor, method), path, overwrite=overwrite)
    print_report(as_json, {"report": str(path)}, f"report: {path}")
    if browse:
        webbrowser.open(path.resolve().as_uri())


def summarize_study(
    folder: Path, prefer: str | None = None, floors: list[str] | None = None, method: str | None = None
) -> "summaries.Summary":
    """Summarize a study, under another preference, other floors or one method's previews alone if given.

    Args:
        folder: The study's.
        prefer: As typed.
        floors: As typed.
        method: A method's name.
    """
    with studies.StudyStore.open(folder) as study:
        rows = outcome.read_outcome(study, prefer, floors, method)
    return rows.summary(method)


def print_study(summary: "summaries.Summary", more: Mapping[str, object], after: str, *, as_json: bool) -> None:
    """Print a study's report for people, or its record for machines.

    Args:
        summary: What its rows say.
        more: What the record has beside them.
        after: Lines under the report.
        as_json: Whether machines read it.
    """
    print_report(
        as_json,
        lambda: records.study_record(summary) | dict(more),
        lambda: sections.study_sections(summary, full=False),
        after,
        name=summary.name,
    )


def check_report(path: Path, *, overwrite: bool = False) -> Path:
    """Check that a report may be written here: a new file, a report of foretaste, any file with ``overwrite``."""
    return target.check_file(path, overwrite=overwrite, is_ours=lambda file: target.has_mark(file, page.MARKS))


def check_own_report(folder: Path) -> None:
    """Check that a study's own report may be written, if the study exists already."""
    if folder.is_dir():
        check_report(folder / target.REPORT)


def write_report(summary: "summaries.Summary", path: Path, *, overwrite: bool = False) -> Path:
    """Write the page, whole, and return the path as it was given."""
    file, content = check_report(path, overwrite=overwrite), explorer.study_page(summary)
    whole.write_whole(file, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    return path
