"""Commands for single steps on a recipe: each parses, calls one use case and prints one report."""

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foretaste.cli.base import Request, again, app, goal, print_report, unique_names, variables, working
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
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste.methods import registry
    from foretaste.report import records
    from foretaste.report.sections import comparison, race
    from foretaste.report.sections import mergeability as pairs
    from foretaste.report.sections import work as steps
    from foretaste.workflow import check as checking
    from foretaste.workflow import compare as comparing
    from foretaste.workflow import confirm as confirming
    from foretaste.workflow import fit as fitting
    from foretaste.workflow import mergeability as merging
else:
    recipes, records = lazy("foretaste.recipe"), lazy("foretaste.report.records")
    comparison, pairs, race, steps = (
        lazy(f"foretaste.report.sections.{name}") for name in ("comparison", "mergeability", "race", "work")
    )
    checking, comparing, confirming, fitting, merging = (
        lazy(f"foretaste.workflow.{name}") for name in ("check", "compare", "confirm", "fit", "mergeability")
    )
    registry = lazy("foretaste.methods.registry")

__all__ = ["check", "compare", "confirm", "fit", "mergeability", "preview"]


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(recipe: RecipeFile, var: Variables = None, as_json: Json = False) -> None:
    """Open every data file, check every label, and try every task on a full batch; nothing is written."""
    plan, content = recipes.read(recipe, variables(var))
    checked, _ = checking.check(plan, content, str(recipe))
    section = steps.check_section(checked.tasks, checked.parameters, checked.trainings, checked.previews)
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

    def accept(request: Request) -> None:
        if estimate is not None:
            fitting.require_models(request.problem, request.folder)

    command = ["fit", str(recipe), *(["--estimate", estimate] if estimate else [])]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        fitted = work.fit(only_estimate=estimate is not None)
    tasks = {
        task: {"params": fit.artefacts[0], "site": fit.artefacts[1], "seconds": fit.run.seconds}
        for task, fit in fitted.items()
    }
    print_report(as_json, tasks, [steps.fit_section(tasks)], f"next: {again(['preview', str(recipe)], study, var)}")


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
    names = unique_names(method)
    command = ["mergeability", str(recipe), *(word for name in names for word in ("--method", name))]

    def accept(request: Request) -> None:
        methods = merging.methods_to_check(names or request.recipe.preview.methods, named=bool(names))
        registry.check_methods(methods, request.problem.tasks)

    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.mergeability(names)
    after = f"next: {again(['run', str(recipe)], study, var)}"
    print_report(as_json, records.mergeability_record(outcome), [pairs.mergeability_section(outcome)], after)


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
    command = [
        "preview",
        str(recipe),
        *(["--method", method] if method else []),
        *goal_words(race_previews, prefer, floor),
    ]
    after = f"next: {again(['confirm', str(recipe)], study, var)}"

    def accept(request: Request) -> None:
        registry.check_methods([method] if method else request.recipe.preview.methods, request.problem.tasks)
        goal(request, prefer, floor)

    with working(recipe, study, var, command, weights, accept, workers) as (work, given):
        methods = [method] if method else []
        if race_previews:
            wanted, floors = goal(work, prefer, floor)
            races = work.race(wanted, floors, given, methods)
            print_report(as_json, records.race_records(races), race.race_sections(races), after)
            return
        rows = work.preview(given, methods)
    print_report(as_json, [records.row_record(row) for row in rows], [steps.rows_section(rows)], after)


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

    def accept(request: Request) -> None:
        confirming.check_trainable(request.problem, request.points)

    with working(recipe, study, var, ["confirm", str(recipe)], weights, accept, workers) as (work, given):
        rows = work.confirm(given)
        after = f"next: {shlex.join(['foretaste', 'show', str(work.folder)])}"
    print_report(as_json, [records.row_record(row) for row in rows], [steps.rows_section(rows)], after)


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
    names = unique_names(method)
    options = [("--method", name) for name in names] + [("--sharpen", str(count)) for count in sharpen or ()]

    def accept(request: Request) -> None:
        comparing.check_comparison(request.recipe, request.problem, names)

    command = ["compare", str(recipe), *(word for option in options for word in option)]
    with working(recipe, study, var, command, accept=accept, workers=workers) as (work, _):
        outcome = work.compare(names, sharpen or ())
    after = f"next: {again(['preview', str(recipe), '--method', outcome.best], study, var)}"
    print_report(as_json, records.comparison_record(outcome), [comparison.comparison_section(outcome)], after)
