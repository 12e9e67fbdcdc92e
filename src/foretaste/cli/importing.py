"""The command that imports models which were trained elsewhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import pairs
from foretaste.cli.options import Json
from foretaste.errors import StudyError

__all__ = ["import_"]


@app.command(
    "import",
    epilog="Example: [bold]foretaste import merged.study --base llama --task code=llama-code --task math=llama-math[/]",
)
def import_(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder; created if it does not exist.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="NAME=FOLDER", help="A task's model; repeatable.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The pretrained checkpoint; needed to merge checkpoints without a recipe.")
    ] = None,
    vocabulary: Annotated[
        Literal["base"] | None, typer.Option(help="base: leave out tokens that experts added.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="NAME", help="A task whose model was imported by mistake; its files stay; repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import models that were trained elsewhere: checkpoints, LoRA adapters, or a site file.

    All are checked against each other before any is imported.
    """
    from foretaste.cli.imports import import_and_print

    folders = {
        name: Path(folder) for name, folder in pairs(task, "--task", "NAME=FOLDER", "code=/path/to/expert").items()
    }
    if not folders and base is None and not remove:
        raise StudyError("nothing to import; name models, as in --task code=FOLDER --task math=FOLDER")
    import_and_print(study, folders, base, vocabulary, remove or (), as_json=as_json)
