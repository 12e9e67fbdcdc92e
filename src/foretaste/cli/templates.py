"""The command that writes a recipe to start from."""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foretaste import target
from foretaste.cli.app import app
from foretaste.cli.arguments import again
from foretaste.cli.options import Json
from foretaste.errors import RecipeError
from foretaste.sources.kinds import kinds
from foretaste.whole import write_whole

__all__ = ["init"]

_TEMPLATES = (*(kind.template for kind in kinds() if kind.template), "function", "digits")

if TYPE_CHECKING:
    _Template = str
else:
    _Template = Literal[_TEMPLATES]


@app.command(epilog="Example: [bold]foretaste init study.yaml --kind text[/]")
def init(
    path: Annotated[
        Path | None, typer.Argument(help="File to write; recipe.yaml or recipe.schema.json if left out.")
    ] = None,
    kind: Annotated[_Template, typer.Option(help="What to start from.")] = _TEMPLATES[0],
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the recipe's JSON schema for editors instead.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--force", "--overwrite", help="Replace an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented recipe to start from (or the JSON schema of recipes)."""
    from foretaste.cli.printing import print_report
    from foretaste.recipe import schema as recipe_schema

    path = path or Path("recipe.schema.json" if schema else "recipe.yaml")
    if target.path_kind(path) == "file" and not overwrite:
        raise RecipeError(f"{path} exists; name another file or give --force")
    written = target.check_file(path, overwrite=overwrite)
    content = json.dumps(recipe_schema(), indent=2) + "\n" if schema else _template(f"{kind}.yaml")
    write_whole(written, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    lines = [f"wrote {path}"]
    if kind == "function" and not schema:
        lines.append(_write_module(path.with_name("my_problem.py")))
    if not schema:
        lines.append(f"next: edit it, then {again(['check', str(path)], None, None)}")
    print_report(as_json, {"written": str(path)}, "\n".join(lines))


def _write_module(path: Path) -> str:
    """Write the function that a recipe of this kind calls, unless the file exists; return a line that says so."""
    if target.path_kind(path) != "missing":
        return f"kept {path}, which exists already"
    content, written = _template("my_problem.txt"), target.check_file(path, overwrite=False)
    write_whole(written, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    return f"wrote {path}, the function that it calls"


def _template(name: str) -> str:
    return (files("foretaste") / "recipes" / name).read_text(encoding="utf-8")
