"""What all commands share: the application, options, a recipe at work, and what is printed."""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from foretaste import __version__
from foretaste.bounds import STEPS
from foretaste.errors import RecipeError, Stopped
from foretaste.lazy import lazy
from foretaste.method_table import METHOD_TABLE, check_method_name
from foretaste.one_line import one_line

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste import weights as simplex
    from foretaste.report import progress
    from foretaste.sources.problem import Problem
    from foretaste.surface import preference as preferences
    from foretaste.workflow import check as checking
    from foretaste.workflow import session
    from foretaste.workflow import start as starting
else:
    recipes, simplex, progress, checking, starting = (
        lazy(f"foretaste.{name}") for name in ("recipe", "weights", "report.progress", "workflow.check", "workflow.start")
    )
    preferences = lazy("foretaste.surface.preference")

__all__ = [
    "Corners",
    "Explain",
    "Floors",
    "Json",
    "Method",
    "Methods",
    "Open",
    "Overwrite",
    "Prefer",
    "RecipeFile",
    "Request",
    "Steps",
    "StudyFolder",
    "StudyOption",
    "Variables",
    "WeightsOption",
    "again",
    "app",
    "goal",
    "once_each",
    "pairs",
    "printed",
    "use_one_thread",
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


def _method_name(text: str) -> str:
    try:
        return check_method_name(text)
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from None


_METHODS = ", ".join(METHOD_TABLE)

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
    str | None,
    typer.Option(
        "--method", metavar="METHOD", parser=_method_name, help=f"By which method; as in the recipe if left out. One of {_METHODS}."
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method", metavar="METHOD", parser=_method_name, help=f"A method to compare; repeatable; all if left out. One of {_METHODS}."
    ),
]
Corners = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        parser=_method_name,
        help=f"A method whose previews of one task alone are checked; repeatable; if left out, the recipe's that train no more. "
        f"One of {_METHODS}.",
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Say in sentences what is recommended, why, and how sure that is.")]
Steps = Annotated[
    list[int] | None, typer.Option("--sharpen", min=1, max=STEPS, help="Also add so many joint steps to each preview; repeatable.")
]
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


@dataclass(frozen=True)
class Request:
    """What a command is asked to do, before there is a study.

    Args:
        recipe: Checked.
        problem: Its model and tasks.
        folder: Where the study is, or will be.
        points: The weights asked for.
    """

    recipe: "recipes.Recipe"
    problem: "Problem"
    folder: Path
    points: "Sequence[simplex.TaskWeights]"

    __repr__ = one_line


@contextmanager
def working(
    file: Path,
    study: Path | None,
    var: list[str] | None,
    command: Sequence[str],
    weights: Sequence[str] | None = None,
    accept: "Callable[[Request], None] | None" = None,
) -> "Iterator[tuple[session.Session, list[simplex.TaskWeights]]]":
    """A recipe at work on its study, and the weights asked for; says how to resume if it is stopped.

    Args:
        file: The recipe's.
        study: The folder; beside the current one, named as the recipe, if left out.
        var: Values of the recipe's variables.
        command: As typed, to say how to go on.
        weights: As typed.
        accept: Looks at the command's own options, and raises where they cannot be used; called before anything is created.
    """
    plan, content = recipes.read(file, variables(var))
    folder = study or Path(f"{file.stem}.study")
    resume = again(command, study, var, weights)
    with progress.watching(Console(stderr=True)) as watch:
        checked, problem = checking.check(plan, content, str(file))
        for warning in checked.warnings:
            watch.say(f"warning: {warning}")
        points = [simplex.TaskWeights.parse(each, problem.names) for each in weights or ()]
        if accept is not None:
            accept(Request(plan, problem, folder, points))
        work = starting.start(plan, content, problem, folder, watch, file=str(file))
        with work.study:
            try:
                yield work, points
            except (Stopped, KeyboardInterrupt):
                raise Stopped(f"everything finished so far is kept in {folder}; go on with: {resume}") from None


def goal(
    work: "Request | session.Session", prefer: str | None, floor: Sequence[str] | None
) -> "tuple[preferences.Preference, list[preferences.Floor]]":
    """The preference and the floors that were asked for, or the recipe's.

    Args:
        work: Whose recipe and tasks.
        prefer: As typed.
        floor: As typed.

    Raises:
        WeightsError: They are not understood.
    """
    own, names = work.recipe.recommend, work.problem.names
    wanted = preferences.Preference.parse(own.prefer if prefer is None else prefer, names)
    return wanted, [preferences.Floor.parse(each, names) for each in (own.floors if floor is None else floor)]


def once_each(methods: Sequence[str] | None) -> list[str]:
    """The names of methods that were asked for.

    Raises:
        RecipeError: One twice.

    >>> once_each(["simple", "diagonal"])
    ['simple', 'diagonal']
    """
    names = list(methods or ())
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RecipeError(f"--method names {twice} twice; give each method once")
    return names


def use_one_thread() -> None:
    """Compute on one thread unless the user says otherwise; for arrays this small, threads only wait for each other.

    numpy and torch read it when they are imported, so this comes first.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


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


def printed(as_json: bool, data: object, shown: "RenderableType | Callable[[], RenderableType]", after: str = "") -> None:
    """A report for people, or JSON for machines; either may be a function, which is called only if it is wanted."""
    if as_json:
        typer.echo(json.dumps(data() if callable(data) else data, indent=2, allow_nan=False))
        return
    console = Console()
    report: RenderableType = shown() if callable(shown) else shown
    for part in (report, after) if after else (report,):
        plain = isinstance(part, str)  # paths are printed as they are, on one line
        console.print(part, markup=not plain, highlight=not plain, soft_wrap=plain)
