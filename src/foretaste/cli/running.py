"""Commands that do the whole job: train, preview, check, recommend, confirm, report."""

import sys
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import use_one_thread
from foretaste.cli.options import Json, Open, RecipeFile, StudyOption, Variables, Workers
from foretaste.target import REPORT

__all__ = ["demo", "run"]


@app.command(epilog="Example: [bold]foretaste demo[/]")
def demo(
    study: Annotated[Path, typer.Option("--study", help="Folder that keeps everything.")] = Path("foretaste-demo"),
    browse: Open = True,
    as_json: Json = False,
) -> None:
    """Do the whole job on scikit-learn's digits, in a minute or less: train, preview, check, recommend, report."""
    file = Path(str(files("foretaste") / "recipes" / "digits.yaml"))
    use_one_thread()
    _run_all(file, study, None, ["demo"], as_json=as_json, browse=browse and sys.stdout.isatty())


@app.command(epilog="Example: [bold]foretaste run study.yaml[/]")
def run(
    recipe: RecipeFile,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Do everything: train each task, preview the simplex, check by joint runs, recommend, confirm, report."""
    _run_all(recipe, study, var, ["run", str(recipe)], as_json=as_json, browse=browse, workers=workers)


def _run_all(
    file: Path,
    study: Path | None,
    var: list[str] | None,
    command: Sequence[str],
    *,
    as_json: bool,
    browse: bool,
    workers: int | None = None,
) -> None:
    from foretaste.cli.reports import print_study, summarize_study
    from foretaste.cli.working import Request, working
    from foretaste.report.writing import check_own_report, write_report

    def accept(request: Request) -> None:
        check_own_report(request.folder)

    with working(file, study, var, command, accept=accept, workers=workers) as (work, _):
        folder = work.folder
        work.run()
    summary = summarize_study(folder)
    path = write_report(summary, folder / REPORT)
    print_study(
        summary, {"study": str(folder), "report": str(path)}, f"report: {path}\nstudy: {folder}", as_json=as_json
    )
    if browse:
        webbrowser.open(path.resolve().as_uri())
