"""Arguments and options that several commands take."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foretaste.bounds import STEPS

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
]


class MethodName(StrEnum):
    """Preview methods: those of `foretaste.plan.MethodName`, which is not imported before there is work."""

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
    typer.Option(
        "--study", help="Folder that keeps everything; if left out, in the current folder, named after RECIPE's file with .study."
    ),
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
    typer.Option("--floor", help="news>=0.85 (a maximum where less is better), or all>=97% of the single-task metric; repeatable."),
]
Method = Annotated[
    MethodName | None,
    typer.Option("--method", metavar="METHOD", help=f"The preview method; the recipe's if left out. One of {_METHODS}."),
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
        help=f"A method whose previews of single tasks are checked; repeatable; if left out, the recipe's that train no further. "
        f"One of {_METHODS}.",
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Explain in sentences what is recommended, why, and how sure that is.")]
Steps = Annotated[
    list[int] | None, typer.Option("--sharpen", min=1, max=STEPS, help="Also sharpen each preview by this many joint steps; repeatable.")
]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a folder that foretaste wrote, once the new one is complete.")]
