"""YAML text that knows where it stands: parsed, with the line of every field."""

from collections.abc import Sequence
from typing import Any

import yaml

from foretaste.errors import RecipeError

__all__ = ["line_of", "loaded"]


def loaded(text: str, file: str) -> dict[str, Any]:
    """A YAML mapping.

    Args:
        text: YAML.
        file: Named in errors.

    Raises:
        RecipeError: Not YAML, not a mapping, or a key that is there twice.

    >>> loaded("name: a", "recipe.yaml")
    {'name': 'a'}
    """
    try:
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), file)
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{file}{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(plain, dict):
        raise RecipeError(f"{file} is empty or not a mapping; `foretaste init` writes one to start from")
    return plain


def _refuse_repeats(node: yaml.Node | None, file: str) -> None:
    """YAML keeps the last of two equal keys in silence; a second task of one name would vanish."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            _refuse_repeats(value, file)
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise RecipeError(f"{file}, line {line}: {key.value!r} is there already in line {seen[key.value]}; give it another name")
            seen[key.value] = line
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_repeats(each, file)


def line_of(text: str, field: Sequence[str]) -> int:
    r"""The line of the deepest part of the field that is there.

    >>> line_of("name: a\ntasks:\n  news: {train: a.csv}", ["tasks", "news", "validation"])
    3
    """
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for part in field:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
    return line
