"""Commands for single steps on a recipe: each parses, calls one use case and prints one report."""

import shlex
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import again, unique_names, variables
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

__all__ = ["check", "compare", "confirm", "fit", "mergeability", "preview"]


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(recipe: RecipeFile, var: Variables = None, as_json: Json = False) -> None:
    """Open every data file, check every label, and try every task on a full batch; nothing is written."""
    from foretaste.cli.printing import print_report
    from foretaste.recipe import read
    from foretaste.report.sections.work import check_section
    from foretaste.workflow.check import check as check_recipe

    plan, content = read(recipe, variables(var))
    checked, _ = check_recipe(plan, content, str(recipe))
    section = check_section(checked.tasks, checked.parameters, checked.trainings, checked.previews)
    after = [
        *(f"warning: {warning}" for warning in checked.warnings),
        f"next: {again(['run', str(recipe)], None, var)}",
    ]
    print_report(as_json, asdict(checked), [section], "\n".join(after))


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
    from foretaste.cli.printing import print_report
    from foretaste.cli.working import Request, working
    from foretaste.report.sections.work import fit_section
    from foretaste.workflow.fit import require_models

    def accept(request: Request) -> None:
        if estimate is not None:
            require_models(request.problem, request.folder)

    command = ["fit", str(recipe), *(["--estimate", estimate] if estimate else [])]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        fitted = work.fit(only_estimate=estimate is not None)
    tasks = {
        task: {"params": fit.artefacts[0], "site": fit.artefacts[1], "seconds": fit.run.seconds}
        for task, fit in fitted.items()
    }
    print_report(as_json, tasks, [fit_section(tasks)], f"next: {again(['preview', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste mergeability study.yaml[/]")
def mergeability(
    recipe: RecipeFile,
    method: Corners = None,
    study: StudyOption = None,
    var: Variables = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Check before any preview whether the tasks' models can be merged, two at a time."""
    from foretaste.cli.printing import print_report
    from foretaste.cli.working import Request, working
    from foretaste.methods.registry import check_methods
    from foretaste.report.records import mergeability_record
    from foretaste.report.sections.mergeability import mergeability_section
    from foretaste.workflow.mergeability import methods_to_check

    names = unique_names(method)
    command = ["mergeability", str(recipe), *(word for name in names for word in ("--method", name))]

    def accept(request: Request) -> None:
        methods = methods_to_check(names or request.recipe.preview.methods, named=bool(names))
        check_methods(methods, request.problem.tasks)

    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.mergeability(names)
    after = f"next: {again(['run', str(recipe)], study, var)}"
    print_report(as_json, mergeability_record(outcome), [mergeability_section(outcome)], after)


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
    from foretaste.cli.printing import print_report
    from foretaste.cli.working import Request, goal, working
    from foretaste.methods.registry import check_methods
    from foretaste.report.records import race_records, row_record
    from foretaste.report.sections.race import race_sections
    from foretaste.report.sections.work import rows_section

    command = [
        "preview",
        str(recipe),
        *(["--method", method] if method else []),
        *goal_words(race_previews, prefer, floor),
    ]
    after = f"next: {again(['confirm', str(recipe)], study, var)}"

    def accept(request: Request) -> None:
        check_methods([method] if method else request.recipe.preview.methods, request.problem.tasks)
        goal(request, prefer, floor)

    with working(recipe, study, var, command, weights, accept, workers) as (work, points):
        methods = [method] if method else []
        if race_previews:
            preference, floors = goal(work, prefer, floor)
            races = work.race(preference, floors, points, methods)
            print_report(as_json, race_records(races), race_sections(races), after)
            return
        rows = work.preview(points, methods)
    print_report(as_json, [row_record(row) for row in rows], [rows_section(rows)], after)


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
    from foretaste.cli.printing import print_report
    from foretaste.cli.working import Request, working
    from foretaste.report.records import row_record
    from foretaste.report.sections.work import rows_section
    from foretaste.workflow.confirm import check_trainable

    def accept(request: Request) -> None:
        check_trainable(request.problem, request.points)

    with working(recipe, study, var, ["confirm", str(recipe)], weights, accept, workers) as (work, points):
        rows = work.confirm(points)
        after = f"next: {shlex.join(['foretaste', 'show', str(work.folder)])}"
    print_report(as_json, [row_record(row) for row in rows], [rows_section(rows)], after)


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
    from foretaste.cli.printing import print_report
    from foretaste.cli.working import Request, working
    from foretaste.report.records import comparison_record
    from foretaste.report.sections.comparison import comparison_section
    from foretaste.workflow.compare import check_comparison

    names = unique_names(method)
    options = [("--method", name) for name in names] + [("--sharpen", str(count)) for count in sharpen or ()]

    def accept(request: Request) -> None:
        check_comparison(request.recipe, request.problem, names)

    command = ["compare", str(recipe), *(word for option in options for word in option)]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.compare(names, sharpen or ())
    after = f"next: {again(['preview', str(recipe), '--method', outcome.best], study, var)}"
    print_report(as_json, comparison_record(outcome), [comparison_section(outcome)], after)
