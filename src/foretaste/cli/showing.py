"""Commands that show a study: in the terminal, and as one HTML file."""

import shlex
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import use_one_thread
from foretaste.cli.options import Explain, Floors, Json, Method, Open, Prefer, StudyFolder
from foretaste.target import REPORT

__all__ = ["report", "show"]


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
    from foretaste.cli.printing import print_report
    from foretaste.cli.reports import print_study, summarize_study
    from foretaste.report.sections.explanation import explain as explain_summary

    summary = summarize_study(study, prefer, floor, method)
    if explain:
        paragraphs = explain_summary(summary)
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
    from foretaste.cli.printing import print_report
    from foretaste.cli.reports import summarize_study
    from foretaste.report.writing import write_report

    path = out or study / REPORT
    write_report(summarize_study(study, prefer, floor, method), path, overwrite=overwrite)
    print_report(as_json, {"report": str(path)}, f"report: {path}")
    if browse:
        webbrowser.open(path.resolve().as_uri())
