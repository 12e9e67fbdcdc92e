"""The search command: from previews to a confirmed recommendation within a budget."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import again
from foretaste.cli.options import Explain, Floors, Json, Open, RecipeFile, StudyOption, Variables, Workers
from foretaste.cli.sizes import finite
from foretaste.target import REPORT

__all__ = ["search"]


@app.command(
    epilog=(
        "Example: [bold]foretaste search study.yaml --budget joint=5,previews=100 --prefer worst --floor 'all>=95%'[/]"
    )
)
def search(
    recipe: RecipeFile,
    budget: Annotated[
        str,
        typer.Option(
            help=(
                "How much may be evaluated in all, earlier results included: joint runs, previews, and (sharpened=10)"
                " previews trained on for a tenth of a joint run."
            )
        ),
    ] = "joint=5,previews=100",
    prefer: Annotated[
        str | None,
        typer.Option(help="What to maximise: mean, worst, knee, movies=2,news=1, or front; the recipe's if left out."),
    ] = None,
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
    workers: Workers = None,
    explain: Explain = False,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Find the weights within a budget: previews first, then the joint runs that tell most.

    Run it again with a larger budget, and it goes on.
    """
    from foretaste.cli.reports import print_search, summarize_study
    from foretaste.cli.working import Request, working
    from foretaste.report.writing import check_own_report, write_report
    from foretaste.surface.searched import FRONT, Budget
    from foretaste.workflow.search import methods_to_search

    limit = Budget.parse(budget)
    options = [("--budget", budget), ("--prefer", prefer), *(("--floor", bound) for bound in floor or ())]
    options += [("--tolerance", str(tolerance))] if tolerance != 0.002 else []
    command = ["search", str(recipe), *(word for name, value in options if value is not None for word in (name, value))]
    front = prefer == FRONT

    def accept(request: Request) -> None:
        methods_to_search(request.recipe, request.problem, limit)
        request.goal("knee" if front else prefer, floor)
        check_own_report(request.folder)

    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        result = work.search(
            joint=limit.joint,
            previews=limit.previews,
            sharpened=limit.sharpened,
            prefer=prefer,
            floors=floor,
            tolerance=tolerance,
        )
        folder = work.folder
    summary = summarize_study(folder, "knee" if front else prefer, floor)
    path = write_report(summary, folder / REPORT)
    more = {"study": str(folder), "report": str(path), "search": result.to_dict()}
    after = f"report: {path}" + (
        "" if result.recommendation.confirmed else f"\nnext: {again(['confirm', str(recipe)], study, var)}"
    )
    print_search(result, summary, more, after, explain=explain, as_json=as_json)
    if browse:
        webbrowser.open(Path(path).resolve().as_uri())
