"""Commands for single steps on a recipe: each parses, calls one use case and prints one report."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from foretaste.cli.app import app
from foretaste.cli.arguments import again, variables
from foretaste.cli.options import (
    Corners,
    Floors,
    Json,
    Method,
    Methods,
    Prefer,
    RecipeFile,
    Steps,
    StudyOption,
    Variables,
    WeightsOption,
    Workers,
)
from foretaste.cli.racing import Race, goal_words
from foretaste.method_table import read_methods

__all__ = ["check", "compare", "confirm", "fit", "mergeability", "preview"]


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(
    recipe: RecipeFile,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Check nothing; print a training row of this task as the model sees it, and its counts.",
        ),
    ] = None,
    row: Annotated[
        int | None, typer.Option(min=1, help="The number of the row to show; the first if left out.")
    ] = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Open every data file, check every label, and try a batch of every task; nothing is written."""
    from foretaste.cli.printing import print_result
    from foretaste.recipe import read
    from foretaste.report.progress import TerminalWatch
    from foretaste.workflow.check import check as check_recipe

    if show is not None or row is not None:
        _show_row(recipe, show, row, var, as_json=as_json)
        return
    plan, content = read(recipe, variables(var))
    watch = TerminalWatch(Console(stderr=True))
    with watch.progress:
        checked, _ = check_recipe(plan, content, str(recipe), watch)
    after = [
        *(f"warning: {warning}" for warning in checked.warnings),
        f"next: {again(['run', str(recipe)], None, var)}",
    ]
    print_result(as_json, checked, "\n".join(after))


def _show_row(recipe: Path, task: str | None, number: int | None, var: list[str] | None, *, as_json: bool) -> None:
    """Print a row of a task, with what is learned marked."""
    from foretaste.cli.printing import print_result, print_text
    from foretaste.recipe import read
    from foretaste.report.progress import TerminalWatch
    from foretaste.workflow.check import load_watched
    from foretaste.workflow.show_row import show_row

    if task is None:
        raise typer.BadParameter("give the row's task too, as in --show TASK --row 3", param_hint="'--row'")
    plan, content = read(recipe, variables(var))
    watch = TerminalWatch(Console(stderr=True))
    with watch.progress:
        problem = load_watched(plan, content, str(recipe), watch)
    result = show_row(problem, task, 1 if number is None else number)
    if not as_json and result.text:
        print_text(result.text)
    print_result(as_json, result)


@app.command(epilog="Example: [bold]foretaste fit study.yaml[/]")
def fit(
    recipe: RecipeFile,
    estimate: Annotated[
        Literal["fisher"] | None,
        typer.Option(help="Train nothing; only estimate the curvature of imported models."),
    ] = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train one model per task (unless one was imported) and estimate its curvature."""
    from foretaste.cli.printing import print_result
    from foretaste.cli.working import Request, working
    from foretaste.workflow.fit import require_models

    def accept(request: Request) -> None:
        if estimate is not None:
            require_models(request.problem, request.folder)

    command = ["fit", str(recipe), *(["--estimate", estimate] if estimate else [])]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        fitted = work.fit(estimate=estimate)
    print_result(as_json, fitted, f"next: {again(['preview', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste mergeability study.yaml[/]")
def mergeability(
    recipe: RecipeFile,
    method: Corners = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train each task, and check whether their models can be merged, two at a time."""
    from foretaste.cli.printing import print_result
    from foretaste.cli.working import Request, working
    from foretaste.methods.registry import check_methods
    from foretaste.workflow.mergeability import methods_to_check

    names = read_methods(method or ())
    command = ["mergeability", str(recipe), *(word for name in names for word in ("--method", name))]

    def accept(request: Request) -> None:
        methods = methods_to_check(names or request.recipe.preview.methods, named=bool(names))
        check_methods(methods, request.problem.tasks, request.problem.space)

    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.mergeability(names)
    after = f"next: {again(['run', str(recipe)], study, var)}"
    print_result(as_json, outcome, after)


@app.command(epilog="Example: [bold]foretaste preview study.yaml --weights movies=0.7,news=0.3[/]")
def preview(
    recipe: RecipeFile,
    weights: WeightsOption = None,
    method: Method = None,
    race_previews: Race = False,
    prefer: Prefer = None,
    floor: Floors = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Merge the tasks' models at given weights, or over the whole simplex, and evaluate."""
    from foretaste.cli.printing import print_result
    from foretaste.cli.working import Request, working
    from foretaste.methods.registry import check_methods

    command = [
        "preview",
        str(recipe),
        *(["--method", method] if method else []),
        *goal_words(race_previews, prefer, floor),
    ]
    after = f"next: {again(['confirm', str(recipe)], study, var)}"

    def accept(request: Request) -> None:
        methods = [method] if method else request.recipe.preview.methods
        check_methods(methods, request.problem.tasks, request.problem.space)
        request.goal(prefer, floor)

    with working(recipe, study, var, command, weights, accept, workers) as (work, points):
        methods = [method] if method else []
        if race_previews:
            races = work.race(prefer, floor, points or None, methods)
            print_result(as_json, races, after)
            return
        rows = work.preview(points or None, methods)
    print_result(as_json, rows, after)


@app.command(epilog="Example: [bold]foretaste confirm study.yaml --weights movies=0.7,news=0.3[/]")
def confirm(
    recipe: RecipeFile,
    weights: WeightsOption = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train jointly at given weights, or at the recommended ones, and compare with the preview."""
    from foretaste.cli.printing import print_result
    from foretaste.cli.working import Request, working
    from foretaste.workflow.confirm import check_trainable

    def accept(request: Request) -> None:
        check_trainable(request.problem, request.points)

    with working(recipe, study, var, ["confirm", str(recipe)], weights, accept, workers) as (work, points):
        rows = work.confirm(points or None)
        after = f"next: {shlex.join(['foretaste', 'show', str(work.folder)])}"
    print_result(as_json, rows, after)


@app.command(epilog="Example: [bold]foretaste compare study.yaml --method diagonal --method mixture --sharpen 20[/]")
def compare(
    recipe: RecipeFile,
    method: Methods = None,
    sharpen: Steps = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Compare preview methods by the same joint runs: error, ranking, regret and cost."""
    from foretaste.cli.printing import print_result
    from foretaste.cli.working import Request, working
    from foretaste.workflow.compare import check_comparison

    names = read_methods(method or ())
    options = [("--method", name) for name in names] + [("--sharpen", str(count)) for count in sharpen or ()]

    def accept(request: Request) -> None:
        check_comparison(request.recipe, request.problem, names)

    command = ["compare", str(recipe), *(word for option in options for word in option)]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.compare(names, sharpen or ())
    after = f"next: {again(['preview', str(recipe), '--method', outcome.best], study, var)}"
    print_result(as_json, outcome, after)
