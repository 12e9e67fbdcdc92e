"""Recipes: the YAML file that says what to study, checked before any work.

An error names the file, the line and the field, the value there, and what is allowed.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from foretaste.errors import BadInput, MissingExtra, RecipeError, TaskError
from foretaste.located import line_of, load_yaml
from foretaste.names import check_name
from foretaste.plan import Recipe
from foretaste.recipe_faults import fault_line
from foretaste.sources.finetune_checks import check_finetune, check_task_names
from foretaste.sources.plan_checks import check_columns, check_harness, check_lists, check_metrics, check_model
from foretaste.sources.plans import TransformersModel

__all__ = ["Recipe", "parse", "read", "schema", "where"]

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def schema() -> dict[str, Any]:
    """The recipe's JSON schema, for editors.

    >>> schema()["title"]
    'Recipe'
    """
    return Recipe.model_json_schema()


def read(path: Path, variables: Mapping[str, str] | None = None) -> tuple[Recipe, str]:
    """Read and check a recipe file.

    Args:
        path: A YAML file; relative paths in it start at its folder.
        variables: Values of ``${NAME}`` and ``${NAME:-default}``; the environment has the others.

    Returns:
        The recipe, and the file's text.

    Raises:
        RecipeError: The file cannot be read, or the recipe has a fault.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = Path(file.name).write_text("{name: a, model: {source: digits}, seed: '${SEED}'}")
    ...     read(Path(file.name), {"SEED": "7"})[0].seed
    7
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}; `foretaste init` writes one") from error
    return parse(text, str(path), variables, path.parent), text


def parse(
    text: str, file: str = "recipe", variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> Recipe:
    r"""Check a recipe's text.

    Args:
        text: YAML.
        file: The file's name, for errors.
        variables: Values of ``${NAME}``.
        folder: The folder that relative paths start at.

    Raises:
        RecipeError: The recipe has faults; each has a line of the message.

    >>> parse("name: a\nmodel: {source: digits}\n").finetune.steps
    300
    """
    plain = load_yaml(text, file)
    try:
        plain = {
            key: _expand_variables(value, {**os.environ, **(variables or {})}, (str(key),))
            for key, value in plain.items()
        }
        truths = [
            str(where(RecipeError(_TRUTH).at(*field), file, text)) for field in _truth_values(plain, (Recipe,), ())
        ]
        if truths:
            raise RecipeError("\n".join(truths))
        recipe = Recipe.model_validate(_anchor_paths(plain, folder))
        _check_parts(recipe)
    except BadInput as error:
        raise where(error, file, text) from None
    except ValidationError as error:
        raise RecipeError("\n".join(fault_line(fault, file, text) for fault in error.errors())) from None
    return recipe


def _check_parts(recipe: Recipe) -> None:
    """Check that the parts of a recipe fit each other."""
    check_finetune(recipe.finetune, recipe.model)
    methods = recipe.preview.methods
    if (twice := next((name for name in methods if methods.count(name) > 1), None)) is not None:
        raise RecipeError(f"{twice} is named twice; name each method once").at("preview", "methods")
    if not isinstance(recipe.model, TransformersModel):
        if recipe.tasks:
            raise RecipeError(f"source {recipe.model.source!r} brings its own tasks; remove this part").at("tasks")
        return
    if len(recipe.tasks) < 2:
        raise RecipeError(f"a transformers model needs at least two tasks, found {len(recipe.tasks)}; add one").at(
            "tasks"
        )
    for name, task in recipe.tasks.items():
        try:
            check_name(name)
        except TaskError as error:
            raise error.at("tasks", name) from None
        check_lists(task, ("tasks", name))
        check_columns(recipe.model.row, task, ("tasks", name))
        check_metrics(recipe.model.row, task, ("tasks", name))
    check_task_names(recipe.finetune, list(recipe.tasks))
    check_model(recipe.model)
    check_harness(recipe.model, recipe.tasks)
    recipe.check_goal(list(recipe.tasks))


def where(error: BadInput, file: str, text: str) -> BadInput:
    """Put the recipe's line and field in front of an error that knows its field.

    >>> where(TaskError("too few rows").at("tasks", "news"), "study.yaml", "{name: a, tasks: {news: {}}}")
    RecipeError('study.yaml, line 1, tasks.news: too few rows')
    """
    if not error.field:
        return error
    kind = MissingExtra if isinstance(error, MissingExtra) else RecipeError
    return kind(f"{file}, line {line_of(text, error.field)}, {'.'.join(error.field)}: {error}")


def _expand_variables(value: object, variables: Mapping[str, str], field: tuple[str, ...]) -> object:
    if isinstance(value, dict):
        return {key: _expand_variables(item, variables, (*field, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand_variables(item, variables, (*field, str(place))) for place, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name, default in _VARIABLE.findall(value):
        if name not in variables and not default:
            advice = f"give --var {name}=VALUE or set the environment variable {name}"
            raise RecipeError(f"${{{name}}} has no value; {advice}").at(*field)
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[2]), value)


def _anchor_paths(plain: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Make paths absolute that exist relative to the recipe's folder."""
    if folder is None:
        return plain
    model = plain.get("model")
    parts = [model, *_mappings(plain.get("tasks"))]
    tasks = [(part, key) for part in parts if isinstance(part, dict) for key in ("path", "train", "validation")]
    if isinstance(model, dict) and isinstance(model.get("harness"), dict):
        tasks.append((model["harness"], "tasks"))
    for part, key in tasks:
        value = part.get(key)
        if isinstance(value, str):
            part[key] = _anchor_path(value, folder)
    return plain


def _anchor_path(value: str, folder: Path) -> str:
    """Make a path absolute that exists in the folder or begins with a dot; leave anything else as it is."""
    try:
        return str((folder / value).resolve()) if value.startswith(".") or (folder / value).exists() else value
    except (OSError, RuntimeError, ValueError):
        return value  # a name that is too long, or links in a circle: whoever opens it says so


def _mappings(value: object) -> Iterator[dict[str, Any]]:
    yield from (item for item in value.values() if isinstance(item, dict)) if isinstance(value, dict) else ()


_TRUTH = (
    "should not be true or false, which yes, no, on and off mean in YAML too; write a number, or a word in quotation"
    " marks"
)


def _truth_values(
    plain: Mapping[str, Any], parts: Sequence[type[BaseModel]], field: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Find fields that are true or false where pydantic would take this for the number 1 or 0."""
    for key, value in plain.items():
        kinds = {
            kind for part in parts if key in part.model_fields for kind in _kinds(part.model_fields[key].annotation)
        }
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        place = (*field, str(key))
        if models and isinstance(value, dict):
            fields = {(*place, str(name)): item for name, item in value.items()} if dict in kinds else {place: value}
            for deeper, item in fields.items():
                yield from _truth_values(item, models, deeper) if isinstance(item, dict) else ()
        elif kinds and not {bool, Any} & kinds:
            items = value if isinstance(value, list) else [value]
            if any(isinstance(item, bool) for item in items):
                yield place


def _kinds(annotation: object) -> Iterator[object]:
    """List all types that an annotation is made of."""
    yield from (annotation, get_origin(annotation))
    for argument in get_args(annotation):
        yield from _kinds(argument)
