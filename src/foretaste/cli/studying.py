"""Commands for single steps on a recipe: each parses, calls one use case and prints one report."""

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foretaste.cli.base import Request, again, app, goal, print_report, unique_names, variables, working
from foretaste.cli.options import Corners, Floors, Json, Method, Methods, Prefer, RecipeFile, Steps, StudyOption, Variables, WeightsOption
from foretaste.cli.racing import Race, goal_words, run_races
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste.report import records
    from foretaste.report.sections import comparison, race, work
    from foretaste.report.sections import mergeability as pairs
    from foretaste.workflow import compare as comparing
    from foretaste.workflow import confirm as confirming
    from foretaste.workflow import fit as fitting
    from foretaste.workflow import mergeability as merging
    from foretaste.workflow import methods as making
    from foretaste.workflow import preview as previewing
    from foretaste.workflow import run as running
    from foretaste.workflow import session as sessions
else:
    recipes, records = lazy("foretaste.recipe"), lazy("foretaste.report.records")
    comparison, pairs, race, work = (lazy(f"foretaste.report.sections.{name}") for name in ("comparison", "mergeability", "race", "work"))
    comparing, confirming, fitting, making = (lazy(f"foretaste.workflow.{name}") for name in ("compare", "confirm", "fit", "methods"))
    merging, previewing, running, sessions = (lazy(f"foretaste.workflow.{name}") for name in ("mergeability", "preview", "run", "session"))

__all__ = ["check", "compare", "confirm", "fit", "mergeability", "preview"]


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(recipe: RecipeFile, var: Variables = None, as_json: Json = False) -> None:
    """Open every data file, check every label, and try every task on a full batch; nothing is written."""
    plan, content = recipes.read(recipe, variables(var))
    checked, _ = sessions.check(plan, content, str(recipe))
    section = work.check_section(checked.tasks, checked.parameters, checked.trainings, checked.previews)
    after = [*(f"warning: {warning}" for warning in checked.warnings), f"next: {again(['run', str(recipe)], None, var)}"]
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
    as_json: Json = False,
) -> None:
    """Train one model per task (unless one was imported) and estimate its curvature."""

    def accept(request: Request) -> None:
        if estimate is not None:
            fitting.require_models(request.problem, request.folder)

    command = ["fit", str(recipe), *(["--estimate", estimate] if estimate else [])]
    with working(recipe, study, var, command, accept=accept) as (session, _):
        fitted = fitting.fit(session, only_estimate=estimate is not None)
    tasks = {task: {"params": fit.artefacts[0], "site": fit.artefacts[1], "seconds": fit.run.seconds} for task, fit in fitted.items()}
    print_report(as_json, tasks, [work.fit_section(tasks)], f"next: {again(['preview', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste mergeability study.yaml[/]")
def mergeability(
    recipe: RecipeFile, method: Corners = None, study: StudyOption = None, var: Variables = None, as_json: Json = False
) -> None:
    """Check before any preview whether the tasks' models can be merged, two at a time, and whether corners are the tasks' models."""
    names = unique_names(method)
    command = ["mergeability", str(recipe), *(word for name in names for word in ("--method", name))]

    def accept(request: Request) -> None:
        making.check_methods(merging.checked_methods(names or request.recipe.preview.methods, asked=bool(names)), request.problem.tasks)

    with working(recipe, study, var, command, accept=accept) as (session, _):
        outcome = merging.mergeability(session, names)
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
    as_json: Json = False,
) -> None:
    """Merge the tasks' models at given weights, or over the whole simplex, and evaluate."""
    command = ["preview", str(recipe), *(["--method", method.value] if method else []), *goal_words(race_previews, prefer, floor)]
    after = f"next: {again(['confirm', str(recipe)], study, var)}"

    def accept(request: Request) -> None:
        making.check_methods([method.value] if method else request.recipe.preview.methods, request.problem.tasks)
        goal(request, prefer, floor)

    with working(recipe, study, var, command, weights, accept) as (session, given):
        methods = making.with_controls([method.value] if method else session.recipe.preview.methods)
        points = given or sessions.grid(session.recipe, session.problem)
        if race_previews:
            races = run_races(session, methods, points, *goal(session, prefer, floor))
            print_report(as_json, records.race_records(races), race.race_sections(races), after)
            return
        rows = previewing.preview(session, fitting.fit(session), methods, points)
    print_report(as_json, [records.row_record(row) for row in rows], [work.rows_section(rows)], after)


@app.command(epilog="Example: [bold]foretaste confirm study.yaml --weights movies=0.7,news=0.3[/]")
def confirm(
    recipe: RecipeFile, weights: WeightsOption = None, study: StudyOption = None, var: Variables = None, as_json: Json = False
) -> None:
    """Train jointly at given weights, or at the recommended ones, and compare with the preview."""

    def accept(request: Request) -> None:
        confirming.check_trainable(request.problem, request.points)

    with working(recipe, study, var, ["confirm", str(recipe)], weights, accept) as (session, given):
        fitted, methods = fitting.fit(session), making.with_controls(session.recipe.preview.methods)
        if not given:
            previewing.preview(session, fitted, methods, sessions.grid(session.recipe, session.problem))
        points = given or [running.recommended(session).weights]
        rows = [*previewing.preview(session, fitted, methods, points), *confirming.confirm(session, points)]
        after = f"next: {shlex.join(['foretaste', 'show', str(session.study.path)])}"
    print_report(as_json, [records.row_record(row) for row in rows], [work.rows_section(rows)], after)


@app.command(epilog="Example: [bold]foretaste compare study.yaml --method diagonal --method mixture --sharpen 20[/]")
def compare(
    recipe: RecipeFile,
    method: Methods = None,
    sharpen: Steps = None,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Compare preview methods by the same joint runs: error, ranking, regret and cost."""
    names = unique_names(method)
    options = [("--method", name) for name in names] + [("--sharpen", str(steps)) for steps in sharpen or ()]

    def accept(request: Request) -> None:
        comparing.check_comparison(request.recipe, request.problem, names)

    command = ["compare", str(recipe), *(word for option in options for word in option)]
    with working(recipe, study, var, command, accept=accept) as (session, _):
        outcome = comparing.compare(session, names, sharpen or ())
    after = f"next: {again(['preview', str(recipe), '--method', outcome.best], study, var)}"
    print_report(as_json, records.comparison_record(outcome), [comparison.comparison_section(outcome)], after)
