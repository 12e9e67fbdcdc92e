"""What all commands share: the application, options, a recipe at work, and what is printed."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from foretaste import __version__
from foretaste.errors import RecipeError, Stopped
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste import weights as simplex
    from foretaste.report import progress
    from foretaste.workflow import session
else:
    recipes, simplex, progress, session = (
        lazy(f"foretaste.{name}") for name in ("recipe", "weights", "report.progress", "workflow.session")
    )

__all__ = [
    "Corners",
    "Explain",
    "Floors",
    "Json",
    "Method",
    "MethodName",
    "Methods",
    "Open",
    "Overwrite",
    "Prefer",
    "RecipeFile",
    "Steps",
    "StudyFolder",
    "StudyOption",
    "Variables",
    "WeightsOption",
    "again",
    "app",
    "pairs",
    "printed",
    "variables",
    "working",
]

app = typer.Typer(
    name="foretaste",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    ENSEMBLE = "ensemble"


_METHODS = ", ".join(MethodName)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (YAML); `foretaste init` writes one.")]
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.")]
StudyOption = Annotated[
    Path | None,
    typer.Option("--study", help="Folder that keeps everything; if left out, in the current folder, named as RECIPE's file with .study."),
]
Variables = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Value of ${NAME} in the recipe; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option("--weights", "-w", metavar="TASK=SHARE,...", help="For example movies=0.5,news=0.5, or uniform; repeatable."),
]
Prefer = Annotated[str | None, typer.Option("--prefer", help="mean, worst, knee, or movies=2,news=1; the recipe's if left out.")]
Floors = Annotated[
    list[str] | None,
    typer.Option("--floor", help="news>=0.85 (where less is better: at most so much), or all>=97% of the single-task metric; repeatable."),
]
Method = Annotated[
    MethodName | None,
    typer.Option("--method", metavar="METHOD", help=f"By which method; as in the recipe if left out. One of {_METHODS}."),
]
Methods = Annotated[
    list[MethodName] | None,
    typer.Option("--method", metavar="METHOD", help=f"A method to compare; repeatable; all if left out. One of {_METHODS}."),
]
Corners = Annotated[
    list[MethodName] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help=f"A method whose previews of one task alone are checked; repeatable; if left out, the recipe's that train no more. "
        f"One of {_METHODS}.",
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Say in sentences what is recommended, why, and how sure that is.")]
Steps = Annotated[list[int] | None, typer.Option("--sharpen", min=1, help="Also add so many joint steps to each preview; repeatable.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a folder that foretaste wrote, once the new one is complete.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"foretaste {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    pass


@contextmanager
def working(
    file: Path, study: Path | None, var: list[str] | None, command: Sequence[str], weights: Sequence[str] | None = None
) -> "Iterator[tuple[session.Session, list[simplex.TaskWeights]]]":
    """A recipe at work on its study, and the weights asked for; says how to resume if it is stopped."""
    plan, content = recipes.read(file, variables(var))
    folder = study or Path(f"{file.stem}.study")
    resume = again(command, study, var, weights)
    with progress.watching(Console(stderr=True)) as watch:
        checked, problem = session.check(plan, content, str(file))
        for warning in checked.warnings:
            watch.say(f"warning: {warning}")
        points = [simplex.TaskWeights.parse(each, problem.names) for each in weights or ()]
        work = session.start(plan, content, problem, folder, watch)
        with work.study:
            try:
                yield work, points
            except (Stopped, KeyboardInterrupt):
                raise Stopped(f"everything finished so far is kept in {folder}; go on with: {resume}") from None


def again(command: Sequence[str], study: Path | None, var: Sequence[str] | None, weights: Sequence[str] | None = None) -> str:
    """A command with the options it needs here, ready to paste."""
    options = [("--study", str(study))] if study else []
    options += [("--var", each) for each in var or ()] + [("--weights", each) for each in weights or ()]
    return shlex.join(["foretaste", *command, *(word for option in options for word in option)])


def variables(given: Sequence[str] | None) -> dict[str, str]:
    """The values of a recipe's variables."""
    return pairs(given, "--var", "NAME=VALUE", "data=/path/to/data")


def pairs(given: Sequence[str] | None, option: str, form: str, example: str) -> dict[str, str]:
    """What a repeatable option of two parts says.

    Args:
        given: As typed.
        option: For errors.
        form: The same.
        example: The same.

    Raises:
        RecipeError: No two parts, or a name twice.

    >>> pairs(["a=1"], "--var", "NAME=VALUE", "x=y")
    {'a': '1'}
    """
    found: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise RecipeError(f"{option} {pair!r} is not {form}; write for example {option} {example}")
        if name in found and option != "--var":
            raise RecipeError(f"{option} names {name!r} twice; give each once")
        found[name] = value
    return found


def printed(as_json: bool, data: object, shown: RenderableType, after: str = "") -> None:
    """A report for people, or JSON for machines."""
    if as_json:
        typer.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    console = Console()
    for part in (shown, after) if after else (shown,):
        plain = isinstance(part, str)  # paths are printed as they are, on one line
        console.print(part, markup=not plain, highlight=not plain, soft_wrap=plain)
