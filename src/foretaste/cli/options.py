"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from foretaste.bounds import STEPS, WORKERS
from foretaste.errors import RecipeError
from foretaste.method_table import METHOD_TABLE, check_method_name

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
    "Steps",
    "StudyFolder",
    "StudyOption",
    "Variables",
    "WeightsOption",
    "Workers",
]


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
    typer.Option(
        "--study",
        help="Folder that keeps everything; if left out, in the current folder, named after RECIPE's file with .study.",
    ),
]
Variables = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Value of ${NAME} in the recipe; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weights", "-w", metavar="TASK=SHARE,...", help="For example movies=0.5,news=0.5, or uniform; repeatable."
    ),
]
Prefer = Annotated[
    str | None,
    typer.Option("--prefer", help="What to maximise: mean, worst, knee, or movies=2,news=1; the recipe's if left out."),
]
Floors = Annotated[
    list[str] | None,
    typer.Option(
        "--floor",
        help=(
            "A bound to keep: news>=0.85 (at most 0.85 where less is better), or all>=97% of the single-task metric;"
            " repeatable."
        ),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        parser=_method_name,
        help=f"The preview method; the recipe's if left out. One of {_METHODS}.",
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        parser=_method_name,
        help=f"A method to compare; repeatable; all if left out. One of {_METHODS}.",
    ),
]
Corners = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        parser=_method_name,
        help=(
            "A method whose previews of single tasks are checked; repeatable; if left out, the recipe's that train no"
            f" further. One of {_METHODS}."
        ),
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Explain in sentences what is recommended, why, and how sure that is.")
]
Steps = Annotated[
    list[int] | None,
    typer.Option("--sharpen", min=1, max=STEPS, help="Also sharpen each preview by this many joint steps; repeatable."),
]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a folder that foretaste wrote, once the new one is complete.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=WORKERS,
        help="Processes that share the work, each on its own device where there are any.",
    ),
]
