"""The reference pages, written from the program itself: commands, the recipe, and the names of the API."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import typer

import foretaste.cli.entry  # adds the commands
from foretaste.cli.app import app
from foretaste.recipe import schema

__all__ = ["api_page", "commands_page", "public_names", "recipe_page"]

Json = Mapping[str, Any]

_STUB = Path(foretaste.__file__).parent / "__init__.pyi"
_SECTIONS = {  # of the API: a title, and the modules and packages that it is about
    "Studies": ("study",),
    "Tasks, weights and rows": ("task", "weights", "simplex", "evaluation", "metrics", "metric_kinds"),
    "Losses": ("loss",),
    "Merging": ("merge", "posterior"),
    "Curvature, training and evaluation": ("estimate", "train", "params", "evaluate", "sources"),
    "Results": ("surface", "report", "plan"),
    "Extending": ("methods", "method_table"),
    "Errors": ("errors",),
}


class _Command(Protocol):
    """What is read of a command."""

    help: str | None
    epilog: str | None
    params: list[Any]


def commands_page() -> str:
    """Write the page of all commands: what each does, its example, its arguments and options."""
    commands: Mapping[str, Any] = vars(typer.main.get_command(app))["commands"]
    parts = ["# Every command\n\nThis page is made from the commands. `foretaste COMMAND --help` prints the same."]
    parts += [_command_part(name, command) for name, command in sorted(commands.items())]
    return "\n\n".join(parts) + "\n"


def _command_part(name: str, command: _Command) -> str:
    example = re.sub(r"Example: \[bold\](.*)\[/\]", r"```sh\n\1\n```", command.epilog or "")
    context = vars(typer)["Context"](command)
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [f"| `{_cell(left)}` | {_cell(right)} |" for left, right in filter(None, records)]
    paragraphs = [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]
    table = "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
    return "\n\n".join([f"## foretaste {name}", *paragraphs, example, table])


def _cell(text: str) -> str:
    """Return a text as a cell of a table: on one line, with bars that do not end the cell and no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("  [", " [")


def recipe_page() -> str:
    """Write the page of everything that a recipe may say, from its JSON schema."""
    whole = schema()
    parts = [
        "# Everything a recipe may say\n\nThis page is made from the recipe's schema. `foretaste init` writes a recipe"
        " with comments, and `foretaste init --schema` writes the schema for editors.",
        "## The recipe",
        _fields_table(whole),
    ]
    for name, part in whole["$defs"].items():
        parts += [f"## {name}", part.get("description", ""), _fields_table(part)]
    return "\n\n".join(parts) + "\n"


def _fields_table(part: Json) -> str:
    required = part.get("required", [])
    rows = []
    for name, field in part["properties"].items():
        default = "required" if name in required else _default_of(field)
        rows.append(f"| `{name}` | {_type_of(field)} | {default} | {_cell(field.get('description', ''))} |")
    return "\n".join(["| field | type | if left out | meaning |", "|---|---|---|---|", *rows])


def _default_of(field: Json) -> str:
    default = field.get("default")
    if isinstance(default, dict) or "default" not in field:
        return "its own defaults" if "$ref" in field else "empty"
    return "" if default is None else f"`{json.dumps(default)}`"


def _type_of(field: Json) -> str:
    """Describe a field's type, with its bounds and with links to the parts that it is made of."""
    choices = [choice for choice in field.get("anyOf", field.get("oneOf", [])) if choice.get("type") != "null"]
    if choices:
        return " or ".join(_type_of(choice) for choice in choices)
    values = field.get("enum", [field["const"]] if "const" in field else [])
    if values:
        return ", ".join(f"`{value}`" for value in values)
    return _simple_type(field)


def _simple_type(field: Json) -> str:
    match field:
        case {"$ref": reference}:
            name = str(reference).rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"type": "array", "items": items}:
            return f"list of {_type_of(items)}"
        case {"type": "object", "additionalProperties": Mapping() as items}:
            return f"by name: {_type_of(items)}"
        case _:
            words = {"string": "text", "boolean": "true or false", "object": "fields by name"}
            kind = str(field.get("type", "any"))
            return f"{words.get(kind, kind)}{_bounds_of(field)}"


def _bounds_of(field: Json) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    # Bounds as large as these only keep out what no machine can hold.
    bounds = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field and field[name] < 1e6]
    return f" ({', '.join(bounds)})" if bounds else ""


def api_page() -> str:
    """Write the page of the API: one entry of mkdocstrings for each public name, by subject."""
    names = list(public_names())
    parts = ["# API\n\nEverything here is a name of `import foretaste as ft`. The texts are the docstrings."]
    for title, rooms in _SECTIONS.items():
        own = [(module, name) for module, name in names if module.split(".")[0] in rooms]
        parts += [f"## {title}", *(f"::: foretaste.{module}.{name}" for module, name in own)]
    return "\n\n".join(parts) + "\n"


def public_names() -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything that `foretaste` offers, as its stub lists it."""
    for node in ast.parse(_STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
