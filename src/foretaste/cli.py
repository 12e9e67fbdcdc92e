"""The command line: each command parses, calls one use case and prints one report."""

import json
import os
import shlex
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console, RenderableType

from foretaste import __version__
from foretaste.errors import ForetasteError, RecipeError, Stopped
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste import weights as simplex
    from foretaste.report import comparison, page, progress, summary, tables, text
    from foretaste.store import study as studies
    from foretaste.store import tensors
    from foretaste.workflow import compare as comparing
    from foretaste.workflow import confirm as confirming
    from foretaste.workflow import export as exporting
    from foretaste.workflow import fit as fitting
    from foretaste.workflow import methods as making
    from foretaste.workflow import outcome, session
    from foretaste.workflow import preview as previewing
    from foretaste.workflow import run as running
else:
    recipes, simplex = lazy("foretaste.recipe"), lazy("foretaste.weights")
    comparison, page, progress, summary, tables, text = (
        lazy(f"foretaste.report.{name}") for name in ("comparison", "page", "progress", "summary", "tables", "text")
    )
    studies, tensors = lazy("foretaste.store.study"), lazy("foretaste.store.tensors")
    comparing, confirming, exporting, fitting, making = (
        lazy(f"foretaste.workflow.{name}") for name in ("compare", "confirm", "export", "fit", "methods")
    )
    outcome, session, previewing, running = (lazy(f"foretaste.workflow.{name}") for name in ("outcome", "session", "preview", "run"))

__all__ = ["app", "main"]

app = typer.Typer(
    name="foretaste",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Taste task weights before baking: preview multitask finetuning at any task weights by merging models, "
    "check the previews against joint finetuning, and get a recommendation.\n\nStart with: [bold]foretaste demo[/]",
)


class MethodName(StrEnum):
    """Preview methods; those of `foretaste.plan.MethodName`, which is not imported before there is work."""

    SIMPLE = "simple"
    DIAGONAL = "diagonal"
    VARIATIONAL = "variational"
    KRONECKER = "kronecker"
    LOWRANK = "lowrank"
    ANCHORED = "anchored"
    MIXTURE = "mixture"
    AVERAGE = "average"
    WEIGHTED = "weighted"


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (YAML); `foretaste init` writes one.")]
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.")]
StudyOption = Annotated[Path | None, typer.Option("--study", help="Folder that keeps everything; RECIPE's name with .study if left out.")]
Variables = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Value of ${NAME} in the recipe; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option("--weights", "-w", metavar="TASK=SHARE,...", help="For example movies=0.5,news=0.5, or uniform; repeatable."),
]
Prefer = Annotated[str | None, typer.Option("--prefer", help="mean, worst, or movies=2,news=1; the recipe's if left out.")]
Floors = Annotated[list[str] | None, typer.Option("--floor", help="news>=0.85, or all>=97% of the single-task metric; repeatable.")]
Method = Annotated[MethodName | None, typer.Option("--method", help="By which posterior; as in the recipe if left out.")]
Methods = Annotated[list[MethodName] | None, typer.Option("--method", help="A method to compare; repeatable; all if left out.")]
Steps = Annotated[list[int] | None, typer.Option("--sharpen", min=1, help="Also add so many joint steps to each preview; repeatable.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"foretaste {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    pass


@app.command(epilog="Example: [bold]foretaste demo[/]")
def demo(study: StudyOption = None, browse: Open = True, as_json: Json = False) -> None:
    """The whole job on scikit-learn's digits, in about a minute: train, preview, check, recommend, report."""
    file = Path(str(files("foretaste") / "recipes" / "digits.yaml"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported: for tensors this small, threads only wait
    _run_all(file, study or Path("foretaste-demo"), None, as_json, browse and sys.stdout.isatty(), ["demo"])


@app.command(epilog="Example: [bold]foretaste init study.yaml --kind text[/]")
def init(
    path: Annotated[Path | None, typer.Argument(help="File to write; recipe.yaml or recipe.schema.json if left out.")] = None,
    kind: Annotated[
        Literal["text", "image", "causal-lm", "seq2seq", "function", "digits"], typer.Option(help="What to start from.")
    ] = "text",
    schema: Annotated[bool, typer.Option("--schema", help="Write the recipe's JSON schema for editors instead.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented recipe to start from (or the JSON schema of recipes)."""
    path = path or Path("recipe.schema.json" if schema else "recipe.yaml")
    if path.exists() and not force:
        raise RecipeError(f"{path} exists; name another file or give --force")
    content = json.dumps(recipes.schema(), indent=2) + "\n" if schema else (files("foretaste") / "recipes" / f"{kind}.yaml").read_text()
    tensors.written_whole(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    _print(as_json, {"written": str(path)}, f"wrote {path}" + ("" if schema else f"\nnext: edit it, then foretaste check {path}"))


@app.command(epilog="Example: [bold]foretaste check study.yaml[/]")
def check(recipe: RecipeFile, var: Variables = None, as_json: Json = False) -> None:
    """Open every data file, check every label, and try every task on two rows; nothing is written."""
    plan, content = recipes.read(recipe, _variables(var))
    found, _ = session.check(plan, content, str(recipe))
    _print(
        as_json,
        asdict(found),
        tables.checked(found.tasks, found.parameters, found.trainings, found.previews),
        f"next: {_again(['run', str(recipe)], None, var)}",
    )


@app.command(epilog="Example: [bold]foretaste run study.yaml[/]")
def run(recipe: RecipeFile, study: StudyOption = None, var: Variables = None, browse: Open = False, as_json: Json = False) -> None:
    """Everything: train each task, preview the simplex, check by joint runs, recommend, confirm, report."""
    _run_all(recipe, study, var, as_json, browse, ["run", str(recipe)])


@app.command(epilog="Example: [bold]foretaste fit study.yaml[/]")
def fit(recipe: RecipeFile, study: StudyOption = None, var: Variables = None, as_json: Json = False) -> None:
    """Train one model per task and estimate its curvature."""
    with _working(recipe, study, var, ["fit", str(recipe)]) as (work, _):
        done = fitting.fit(work)
    found = {task: {"params": each.artefacts[0], "site": each.artefacts[1], "seconds": each.run.seconds} for task, each in done.items()}
    _print(as_json, found, tables.fitted(found), f"next: {_again(['preview', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste preview study.yaml --weights movies=0.7,news=0.3[/]")
def preview(
    recipe: RecipeFile,
    weights: WeightsOption = None,
    method: Method = None,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Merge the tasks' models at given weights, or over the whole simplex, and evaluate."""
    command = ["preview", str(recipe), *(["--method", method.value] if method else [])]
    with _working(recipe, study, var, command, weights) as (work, points):
        methods = making.with_controls([method.value] if method else work.recipe.preview.methods)
        rows = previewing.preview(work, fitting.fit(work), methods, points or session.grid(work.recipe, work.problem))
    _print(as_json, [tables.row_json(row) for row in rows], tables.rows(rows), f"next: {_again(['confirm', str(recipe)], study, var)}")


@app.command(epilog="Example: [bold]foretaste confirm study.yaml --weights movies=0.7,news=0.3[/]")
def confirm(
    recipe: RecipeFile, weights: WeightsOption = None, study: StudyOption = None, var: Variables = None, as_json: Json = False
) -> None:
    """Train jointly at given weights, or at the recommended ones, and compare with the preview."""
    with _working(recipe, study, var, ["confirm", str(recipe)], weights) as (work, asked):
        fitted, methods = fitting.fit(work), making.with_controls(work.recipe.preview.methods)
        if not asked:
            previewing.preview(work, fitted, methods, session.grid(work.recipe, work.problem))
        points = asked or [running.recommended(work).weights]
        rows = [*previewing.preview(work, fitted, methods, points), *confirming.confirm(work, points)]
    _print(as_json, [tables.row_json(row) for row in rows], tables.rows(rows), f"next: foretaste show {work.study.path}")


@app.command(epilog="Example: [bold]foretaste export study.yaml --to model --weights movies=0.7,news=0.3[/]")
def export(
    recipe: RecipeFile,
    to: Annotated[Path, typer.Option(help="Folder to write: a checkpoint as the pretrained model's, and foretaste.json.")],
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="Task weights; the recommended ones if left out.")] = None,
    method: Method = None,
    joint: Annotated[bool, typer.Option("--joint", help="The joint run at these weights instead of their preview.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is there, once the new one is complete.")] = False,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Write the preview at given or recommended weights, or the joint run, as a model to use elsewhere."""
    options = [*(["--joint"] if joint else ["--method", method.value] if method else []), *(["--overwrite"] if overwrite else [])]
    with _working(recipe, study, var, ["export", str(recipe), "--to", str(to), *options], [weights] if weights else None) as (work, asked):
        name = "joint" if joint else method.value if method else work.recipe.preview.methods[-1]
        found = exporting.export(work, to, asked[0] if asked else running.recommended(work).weights, name, overwrite=overwrite)
    _print(as_json, {"written": str(to), **found}, f"wrote {to}: {name} at {found['at']}")


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
    names = [each.value for each in method or ()]
    asked = [("--method", each) for each in names] + [("--sharpen", str(each)) for each in sharpen or ()]
    with _working(recipe, study, var, ["compare", str(recipe), *(word for pair in asked for word in pair)]) as (work, _):
        found = comparing.compare(work, names, sharpen or ())
    again = _again(["preview", str(recipe), "--method", found.best], study, var)
    _print(as_json, comparison.comparison_json(found), comparison.beside(found), f"next: {again}")


@app.command(epilog="Example: [bold]foretaste show study.study --prefer worst --floor 'all>=97%'[/]")
def show(study: StudyFolder, prefer: Prefer = None, floor: Floors = None, method: Method = None, as_json: Json = False) -> None:
    """A study's table, front, recommendation and agreement."""
    found = _summary(study, prefer, floor, method and method.value)
    _print(as_json, summary.to_json(found), text.render(found), f"next: foretaste report {study}")


@app.command(epilog="Example: [bold]foretaste report study.study --out report.html[/]")
def report(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option(help="File to write; STUDY/report.html if left out.")] = None,
    prefer: Prefer = None,
    floor: Floors = None,
    method: Method = None,
    browse: Open = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML file: maps, front, previews against joint runs, recommendation, provenance."""
    path = _write_report(_summary(study, prefer, floor, method and method.value), out or study / "report.html")
    _print(as_json, {"report": str(path)}, f"report: {path}")
    if browse:
        webbrowser.open(path.resolve().as_uri())


def main() -> None:
    """Run the command line; errors that foretaste raises on purpose end with their exit code."""
    try:
        app()
    except ForetasteError as error:
        _fail(error, error.exit_code)


def _fail(error: Exception, code: int) -> None:
    console = Console(stderr=True, soft_wrap=True)
    style = "yellow" if isinstance(error, Stopped) else "bold red"
    console.print(f"[{style}]{'stopped' if isinstance(error, Stopped) else 'error'}:[/] ", end="")
    console.print(str(error), markup=False, highlight=False)
    sys.exit(code)


@contextmanager
def _working(
    file: Path, study: Path | None, var: list[str] | None, command: Sequence[str], weights: Sequence[str] | None = None
) -> "Iterator[tuple[session.Session, list[simplex.TaskWeights]]]":
    """A recipe at work on its study, and the weights asked for; says how to resume if it is stopped."""
    plan, content = recipes.read(file, _variables(var))
    folder = study or Path(f"{file.stem}.study")
    resume = _again(command, study, var, weights)
    with progress.watching(Console(stderr=True)) as watch:
        _, problem = session.check(plan, content, str(file))
        points = [simplex.TaskWeights.parse(each, problem.names) for each in weights or ()]
        work = session.start(plan, content, problem, folder, watch)
        with work.study:
            try:
                yield work, points
            except (Stopped, KeyboardInterrupt):
                raise Stopped(f"everything finished so far is kept in {folder}; go on with: {resume}") from None


def _again(command: Sequence[str], study: Path | None, var: Sequence[str] | None, weights: Sequence[str] | None = None) -> str:
    """A command with the options it needs here, ready to paste."""
    options = [("--study", str(study))] if study else []
    options += [("--var", each) for each in var or ()] + [("--weights", each) for each in weights or ()]
    return shlex.join(["foretaste", *command, *(word for option in options for word in option)])


def _run_all(file: Path, study: Path | None, var: list[str] | None, as_json: bool, browse: bool, command: Sequence[str]) -> None:
    with _working(file, study, var, command) as (work, _):
        running.run(work)
        folder = work.study.path
    found = _summary(folder)
    path = _write_report(found, folder / "report.html")
    _print(
        as_json,
        summary.to_json(found) | {"study": str(folder), "report": str(path)},
        text.render(found),
        f"report: {path}\nstudy: {folder}",
    )
    if browse:
        webbrowser.open(path.resolve().as_uri())


def _summary(folder: Path, prefer: str | None = None, floors: list[str] | None = None, method: str | None = None) -> "summary.Summary":
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
    )


def _write_report(found: "summary.Summary", path: Path) -> Path:
    content = page.page(found)
    tensors.written_whole(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    return path


def _variables(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise RecipeError(f"--var {pair!r} is not NAME=VALUE; write for example --var data=/path/to/data")
        found[name] = value
    return found


def _print(as_json: bool, data: object, shown: RenderableType, after: str = "") -> None:
    if as_json:
        typer.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    console = Console()
    for part in (shown, after) if after else (shown,):
        plain = isinstance(part, str)  # paths are printed as they are, on one line
        console.print(part, markup=not plain, highlight=not plain, soft_wrap=plain)
