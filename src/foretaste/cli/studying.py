"""Commands on a recipe or a study: each parses, calls one use case and prints one report."""

import shlex
import sys
import webbrowser
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foretaste.cli.base import (
    Corners,
    Explain,
    Floors,
    Json,
    Method,
    Methods,
    Open,
    Prefer,
    RecipeFile,
    Request,
    Steps,
    StudyFolder,
    StudyOption,
    Variables,
    WeightsOption,
    again,
    app,
    goal,
    once_each,
    printed,
    use_one_thread,
    variables,
    working,
)
from foretaste.cli.racing import Race, goal_words, raced
from foretaste.lazy import lazy
from foretaste.method_table import with_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foretaste import recipe as recipes
    from foretaste import target, whole
    from foretaste.methods import registry
    from foretaste.report import comparison, page, summary, summary_json, tables, text
    from foretaste.report import explain as explaining
    from foretaste.report import mergeability as linking
    from foretaste.report import race as racing
    from foretaste.store import study as studies
    from foretaste.workflow import check as checking
    from foretaste.workflow import compare as comparing
    from foretaste.workflow import confirm as confirming
    from foretaste.workflow import fit as fitting
    from foretaste.workflow import mergeability as merging
    from foretaste.workflow import outcome
    from foretaste.workflow import points as choosing
    from foretaste.workflow import preview as previewing
    from foretaste.workflow import run as running
else:
    recipes = lazy("foretaste.recipe")
    comparison, linking, page, summary, summary_json, tables, text = (
        lazy(f"foretaste.report.{name}") for name in ("comparison", "mergeability", "page", "summary", "summary_json", "tables", "text")
    )
    studies, target, whole = (lazy(f"foretaste.{name}") for name in ("store.study", "target", "whole"))
    comparing, confirming, fitting, checking = (lazy(f"foretaste.workflow.{name}") for name in ("compare", "confirm", "fit", "check"))
    registry, choosing = lazy("foretaste.methods.registry"), lazy("foretaste.workflow.points")
    outcome, previewing, running = (lazy(f"foretaste.workflow.{name}") for name in ("outcome", "preview", "run"))
    merging, explaining = lazy("foretaste.workflow.mergeability"), lazy("foretaste.report.explain")
    racing = lazy("foretaste.report.race")

__all__ = [
    "check",
    "check_own_report",
    "check_report",
    "compare",
    "confirm",
    "demo",
    "fit",
    "mergeability",
    "preview",
    "report",
    "report_written",
    "run",
    "show",
    "summarised",
]


@app.command(epilog="Example: [bold]foretaste demo[/]")
def demo(
    study: Annotated[Path, typer.Option("--study", help="Folder that keeps everything.")] = Path("foretaste-demo"),
    browse: Open = True,
    as_json: Json = False,
) -> None:
    """The whole job on scikit-learn's digits, in a minute or less: train, preview, check, recommend, report."""
    file = Path(str(files("foretaste") / "recipes" / "digits.yaml"))
    use_one_thread()
    _run_all(file, study, None, as_json, browse and sys.stdout.isatty(), ["demo"])


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(recipe: RecipeFile, var: Variables = None, as_json: Json = False) -> None:
    """Open every data file, check every label, and try every task on a full batch; nothing is written."""
    plan, content = recipes.read(recipe, variables(var))
    found, _ = checking.check(plan, content, str(recipe))
    printed(
        as_json,
        asdict(found),
        tables.checked(found.tasks, found.parameters, found.trainings, found.previews),
        "\n".join([*(f"warning: {each}" for each in found.warnings), f"next: {again(['run', str(recipe)], None, var)}"]),
    )


@app.command(epilog="Example: [bold]foretaste run study.yaml[/]")
def run(recipe: RecipeFile, study: StudyOption = None, var: Variables = None, browse: Open = False, as_json: Json = False) -> None:
    """Everything: train each task, preview the simplex, check by joint runs, recommend, confirm, report."""
    _run_all(recipe, study, var, as_json, browse, ["run", str(recipe)])


@app.command(epilog="Example: [bold]foretaste fit study.yaml[/]")
def fit(
    recipe: RecipeFile,
    estimate: Annotated[
        Literal["fisher"] | None,
        typer.Option(help="Train nothing; estimate the curvature of the models that are there."),
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
    with working(recipe, study, var, command, accept=accept) as (work, _):
        done = fitting.fit(work, only_estimate=estimate is not None)
    found = {task: {"params": each.artefacts[0], "site": each.artefacts[1], "seconds": each.run.seconds} for task, each in done.items()}
    printed(as_json, found, tables.fitted(found), f"next: {again(['preview', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste mergeability study.yaml[/]")
def mergeability(
    recipe: RecipeFile, method: Corners = None, study: StudyOption = None, var: Variables = None, as_json: Json = False
) -> None:
    """Before any surface: whether the tasks' models can be merged, two at a time, and whether previews of one task alone are its model."""
    names = once_each(method)
    command = ["mergeability", str(recipe), *(word for name in names for word in ("--method", name))]

    def accept(request: Request) -> None:
        registry.check_methods(merging.checked_methods(names or request.recipe.preview.methods, asked=bool(names)), request.problem.tasks)

    with working(recipe, study, var, command, accept=accept) as (work, _):
        found = merging.mergeability(work, names)
    printed(as_json, linking.mergeability_json(found), linking.between(found), f"next: {again(['run', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste preview study.yaml --weights movies=0.7,news=0.3[/]")
def preview(
    recipe: RecipeFile,
    weights: WeightsOption = None,
    method: Method = None,
    race: Race = False,
    prefer: Prefer = None,
    floor: Floors = None,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Merge the tasks' models at given weights, or over the whole simplex, and evaluate."""
    command = ["preview", str(recipe), *(["--method", method] if method else []), *goal_words(race, prefer, floor)]
    after = f"next: {again(['confirm', str(recipe)], study, var)}"

    def accept(request: Request) -> None:
        registry.check_methods([method] if method else request.recipe.preview.methods, request.problem.tasks)
        goal(request, prefer, floor)

    with working(recipe, study, var, command, weights, accept) as (work, points):
        methods = with_controls([method] if method else work.recipe.preview.methods)
        asked = points or choosing.grid(work.recipe, work.problem)
        if race:
            races = raced(work, methods, asked, *goal(work, prefer, floor))
            printed(as_json, racing.raced_json(races), racing.raced(races), after)
            return
        fitting.fit(work)
        rows = previewing.preview(work, methods, asked)
    printed(as_json, [tables.row_json(row) for row in rows], tables.rows(rows), after)


@app.command(epilog="Example: [bold]foretaste confirm study.yaml --weights movies=0.7,news=0.3[/]")
def confirm(
    recipe: RecipeFile, weights: WeightsOption = None, study: StudyOption = None, var: Variables = None, as_json: Json = False
) -> None:
    """Train jointly at given weights, or at the recommended ones, and compare with the preview."""

    def accept(request: Request) -> None:
        confirming.check_trainable(request.problem, request.points)

    with working(recipe, study, var, ["confirm", str(recipe)], weights, accept) as (work, asked):
        methods = with_controls(work.recipe.preview.methods)
        fitting.fit(work)
        if not asked:
            previewing.preview(work, methods, choosing.grid(work.recipe, work.problem))
        points = asked or [running.recommended(work).weights]
        rows = [*previewing.preview(work, methods, points), *confirming.confirm(work, points)]
    printed(
        as_json,
        [tables.row_json(row) for row in rows],
        tables.rows(rows),
        f"next: {shlex.join(['foretaste', 'show', str(work.study.path)])}",
    )


@app.command(epilog="Example: [bold]foretaste compare study.yaml --method diagonal --method mixture --sharpen 20[/]")
def compare(
    recipe: RecipeFile,
    method: Methods = None,
    sharpen: Steps = None,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Preview methods side by side against the same joint runs: error, ranking, regret and cost."""
    names = once_each(method)
    asked = [("--method", each) for each in names] + [("--sharpen", str(each)) for each in sharpen or ()]

    def accept(request: Request) -> None:
        comparing.check_comparison(request.recipe, request.problem, names)

    command = ["compare", str(recipe), *(word for pair in asked for word in pair)]
    with working(recipe, study, var, command, accept=accept) as (work, _):
        found = comparing.compare(work, names, sharpen or ())
    preview_best = again(["preview", str(recipe), "--method", found.best], study, var)
    printed(as_json, comparison.comparison_json(found), comparison.beside(found), f"next: {preview_best}")


@app.command(epilog="Example: [bold]foretaste show study.study --prefer worst --floor 'all>=97%'[/]")
def show(
    study: StudyFolder,
    prefer: Prefer = None,
    floor: Floors = None,
    method: Method = None,
    explain: Explain = False,
    as_json: Json = False,
) -> None:
    """A study's table, front, recommendation and agreement."""
    use_one_thread()
    found = summarised(study, prefer, floor, method)
    if explain:
        said = explaining.explained(found)
        printed(as_json, {"explanation": said}, "\n\n".join(said))
    else:
        after = f"next: {shlex.join(['foretaste', 'report', str(study)])}"
        printed(as_json, lambda: summary_json.to_json(found), lambda: text.render(found), after)


@app.command(epilog="Example: [bold]foretaste report study.study --out report.html[/]")
def report(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option(help="File to write; STUDY/report.html if left out.")] = None,
    prefer: Prefer = None,
    floor: Floors = None,
    method: Method = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that foretaste did not write.")] = False,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML file: maps, front, previews against joint runs, recommendation, provenance."""
    use_one_thread()
    path = out or study / target.REPORT
    found = summarised(study, prefer, floor, method)
    report_written(found, path, overwrite=overwrite)
    printed(as_json, {"report": str(path)}, f"report: {path}")
    if browse:
        webbrowser.open(path.resolve().as_uri())


def _run_all(file: Path, study: Path | None, var: list[str] | None, as_json: bool, browse: bool, command: "Sequence[str]") -> None:
    def accept(request: Request) -> None:
        check_own_report(request.folder)

    with working(file, study, var, command, accept=accept) as (work, _):
        folder = work.study.path
        running.run(work)
    found = summarised(folder)
    path = report_written(found, folder / target.REPORT)
    printed(
        as_json,
        lambda: summary_json.to_json(found) | {"study": str(folder), "report": str(path)},
        lambda: text.render(found),
        f"report: {path}\nstudy: {folder}",
    )
    if browse:
        webbrowser.open(path.resolve().as_uri())


def summarised(folder: Path, prefer: str | None = None, floors: list[str] | None = None, method: str | None = None) -> "summary.Summary":
    """What a study has come to, under another preference, other floors or one method's previews alone where given."""
    with studies.Study.open(folder) as opened:
        found = outcome.look(opened, prefer, floors, method)
    return summary.summarise(
        found.surface,
        name=found.name,
        method=found.method,
        preference=found.preference,
        floors=found.floors,
        provenance=found.provenance,
        costs=found.costs,
        only=method,
    )


def check_report(path: Path, *, overwrite: bool = False) -> Path:
    """The file that a report is written to: new, or a report that foretaste wrote, or any with ``overwrite``."""
    return target.check_file(path, overwrite=overwrite, is_ours=lambda file: target.has_mark(file, page.MARKS))


def check_own_report(folder: Path) -> None:
    """Look whether a study's report may be written, as far as the study is there already."""
    if folder.is_dir():
        check_report(folder / target.REPORT)


def report_written(found: "summary.Summary", path: Path, *, overwrite: bool = False) -> Path:
    """Write the page, whole, and return the path as it was given."""
    file, content = check_report(path, overwrite=overwrite), page.page(found)
    whole.written_whole(file, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    return path
