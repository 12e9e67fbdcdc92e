"""The search command: from previews to a confirmed recommendation within a budget."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretaste.cli.base import Explain, Floors, Json, Open, RecipeFile, Request, StudyOption, Variables, again, app, goal, printed, working
from foretaste.cli.sizes import finite
from foretaste.cli.studying import check_own_report, report_written, summarised
from foretaste.lazy import lazy
from foretaste.target import REPORT

if TYPE_CHECKING:
    from rich import console

    from foretaste.report import explain as explaining
    from foretaste.report import search as reporting
    from foretaste.report import summary_json, text
    from foretaste.surface import searched
    from foretaste.workflow import search as searching
else:
    console = lazy("rich.console")
    reporting, explaining, summary_json, text = (lazy(f"foretaste.report.{name}") for name in ("search", "explain", "summary_json", "text"))
    searched, searching = lazy("foretaste.surface.searched"), lazy("foretaste.workflow.search")

__all__ = ["search"]

_FRONT = "front"


@app.command(epilog="Example: [bold]foretaste search study.yaml --budget joint=5,previews=100 --prefer worst --floor 'all>=95%'[/]")
def search(
    recipe: RecipeFile,
    budget: Annotated[
        str, typer.Option(help="What may be evaluated in all: joint runs, previews, previews sharpened by a tenth of a joint run.")
    ] = "joint=5,previews=100",
    prefer: Annotated[str | None, typer.Option(help="mean, worst, knee, movies=2,news=1, or front; the recipe's if left out.")] = None,
    floor: Floors = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            max=1e30,
            callback=finite,
            help="Stop when a joint run is expected to gain less than this share of what there is to choose.",
        ),
    ] = 0.002,
    study: StudyOption = None,
    var: Variables = None,
    explain: Explain = False,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Find the weights: previews first, then joint runs where the decision hangs, within a budget; a larger one goes on."""
    limit = searched.Budget.parse(budget)
    given = [("--budget", budget), ("--prefer", prefer), *(("--floor", each) for each in floor or ())]
    given += [("--tolerance", str(tolerance))] if tolerance != 0.002 else []
    command = ["search", str(recipe), *(word for name, value in given if value is not None for word in (name, value))]
    front = prefer == _FRONT

    def accept(request: Request) -> None:
        searching.searched_methods(request.recipe, request.problem, limit)
        goal(request, "knee" if front else prefer, floor)
        check_own_report(request.folder)

    with working(recipe, study, var, command, accept=accept) as (work, _):
        wanted, floors = goal(work, "knee" if front else prefer, floor)
        found = searching.search(
            work,
            limit,
            None if front else wanted,
            floors,
            tolerance=tolerance,
            on_progress=lambda step: work.watch.say(reporting.step(step, limit)),
        )
        folder = work.study.path
    seen = summarised(folder, "knee" if front else prefer, floor)
    path = report_written(seen, folder / REPORT)
    report = {"study": str(folder), "report": str(path), "search": reporting.search_json(found)}
    shown = "\n\n".join(explaining.explained(seen)) if explain else text.render(seen)
    printed(
        as_json,
        summary_json.to_json(seen) | report,
        console.Group(reporting.searched(found), "", shown),
        f"report: {path}\nnext: {again(['confirm', str(recipe)], study, var)}" if not found.recommendation.confirmed else f"report: {path}",
    )
    if browse:
        webbrowser.open(Path(path).resolve().as_uri())
