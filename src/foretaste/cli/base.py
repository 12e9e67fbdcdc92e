"""What all commands share: the application, a recipe at work on its study, and how reports are printed."""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from foretaste import __version__
from foretaste.errors import RecipeError, Stopped
from foretaste.lazy import lazy
from foretaste.one_line import one_line

if TYPE_CHECKING:
    from foretaste import recipe as recipes
    from foretaste import study as front
    from foretaste import weights as simplex
    from foretaste.document.blocks import Section
    from foretaste.report import json as reports
    from foretaste.report import progress, text
    from foretaste.sources.problem import Problem
    from foretaste.surface import preference as preferences
    from foretaste.workflow import check as checking
else:
    recipes, simplex, progress, checking, front = (
        lazy(f"foretaste.{name}") for name in ("recipe", "weights", "report.progress", "workflow.check", "study")
    )
    preferences = lazy("foretaste.surface.preference")
    reports, text = lazy("foretaste.report.json"), lazy("foretaste.report.text")

__all__ = [
    "Request",
    "again",
    "app",
    "goal",
    "pairs",
    "print_report",
    "unique_names",
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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foretaste {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@dataclass(frozen=True)
class Request:
    """What a command is asked to do, before there is a study.

    Args:
        recipe: The checked recipe.
        problem: Its model and tasks.
        folder: Where the study is, or will be.
        points: The given weights.
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
    workers: int | None = None,
) -> "Iterator[tuple[front.Study, list[simplex.TaskWeights]]]":
    """Open a recipe's study, with the given weights; if it is stopped, say how to resume.

    Args:
        file: The recipe's.
        study: The folder; if left out, in the current one, named like the recipe's file.
        var: Values of the recipe's variables.
        command: As typed, to say how to go on.
        weights: As typed.
        accept: Checks the command's own options and raises if they cannot be used; called before anything is created.
        workers: How many processes do the work.
    """
    plan, content = recipes.read(file, variables(var))
    folder = study or Path(f"{file.stem}.study")
    resume = again([*command, *([] if workers is None else ["--workers", str(workers)])], study, var, weights)
    with progress.watching(Console(stderr=True)) as watch:
        checked, problem = checking.check(plan, content, str(file))
        for warning in checked.warnings:
            watch.say(f"warning: {warning}")
        points = [simplex.TaskWeights.parse(text, problem.names) for text in weights or ()]
        if accept is not None:
            accept(Request(plan, problem, folder, points))
        with front.Study.start(plan, content, problem, folder, watch=watch, file=str(file), workers=workers) as opened:
            try:
                yield opened, points
            except (Stopped, KeyboardInterrupt):
                raise Stopped(f"everything finished so far is kept in {folder}; go on with: {resume}") from None


def goal(
    work: "Request | front.Study", prefer: str | None, floor: Sequence[str] | None
) -> "tuple[preferences.Preference, list[preferences.Floor]]":
    """Return the given preference and floors, or those of the recipe.

    Args:
        work: Whose recipe and tasks.
        prefer: As typed.
        floor: As typed.

    Raises:
        WeightsError: They cannot be read.
    """
    own, names = work.recipe.recommend, work.problem.names
    wanted = preferences.Preference.parse(own.prefer if prefer is None else prefer, names)
    return wanted, [preferences.Floor.parse(text, names) for text in (own.floors if floor is None else floor)]


def unique_names(methods: Sequence[str] | None) -> list[str]:
    """Return the names of the given methods.

    Raises:
        RecipeError: One is named twice.

    >>> unique_names(["simple", "diagonal"])
    ['simple', 'diagonal']
    """
    names = list(methods or ())
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise RecipeError(f"--method names {duplicate} twice; give each method once")
    return names


def use_one_thread() -> None:
    """Compute on one thread unless the user chose a number: on arrays this small, threads only wait for each other.

    numpy and torch read the number when they are imported, so call this first.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def again(
    command: Sequence[str], study: Path | None, var: Sequence[str] | None, weights: Sequence[str] | None = None
) -> str:
    """Return a command with the options that it needs here, ready to paste."""
    options = [("--study", str(study))] if study else []
    options += [("--var", pair) for pair in var or ()] + [("--weights", text) for text in weights or ()]
    return shlex.join(["foretaste", *command, *(word for option in options for word in option)])


def variables(given: Sequence[str] | None) -> dict[str, str]:
    """Read the values of a recipe's variables."""
    return pairs(given, "--var", "NAME=VALUE", "data=/path/to/data")


def pairs(given: Sequence[str] | None, option: str, form: str, example: str) -> dict[str, str]:
    """Read a repeatable option that has a name and a value.

    Args:
        given: As typed.
        option: Its name, for errors.
        form: How a value looks, for errors.
        example: A good value, for errors.

    Raises:
        RecipeError: A part is missing, or a name is given twice.

    >>> pairs(["a=1"], "--var", "NAME=VALUE", "x=y")
    {'a': '1'}
    """
    values: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise RecipeError(f"{option} {pair!r} is not {form}; write for example {option} {example}")
        if name in values and option != "--var":
            raise RecipeError(f"{option} names {name!r} twice; give each once")
        values[name] = value
    return values


def print_report(
    as_json: bool,
    record: object,
    shown: "str | Sequence[Section] | Callable[[], Sequence[Section]]",
    after: str = "",
    name: str = "",
) -> None:
    """Print a report for people, or its record for machines.

    Either may be a function, which is called only if it is wanted.

    Args:
        as_json: Whether machines read it.
        record: What JSON holds.
        shown: Sections, or text.
        after: Lines under the report.
        name: What the report is about.
    """
    if as_json:
        typer.echo(json.dumps(reports.plain(record() if callable(record) else record), indent=2, allow_nan=False))
        return
    console = Console()
    report = shown if isinstance(shown, str) else text.render(shown() if callable(shown) else shown, name)
    for part in (report, after) if after else (report,):
        plain = isinstance(part, str)  # paths are printed as they are, on one line
        console.print(part, markup=not plain, highlight=not plain, soft_wrap=plain)
