"""YAML text that knows where it stands: parsed, with the line of every field."""

from collections.abc import Sequence
from typing import Any

import yaml

from foretaste.errors import RecipeError

__all__ = ["line_of", "load_yaml"]

_LONGEST = 10_000_000  # characters
_DEEPEST = 50
_MOST = 1_000_000  # values, aliases written out
_CHARACTERS_IN_MESSAGE = 200  # characters of a message


def load_yaml(text: str, file: str) -> dict[str, Any]:
    """A YAML mapping.

    Args:
        text: YAML.
        file: Named in errors.

    Raises:
        RecipeError: Not YAML, not a mapping, too long, too deep, or a key that is there twice.

    >>> load_yaml("name: a", "recipe.yaml")
    {'name': 'a'}
    """
    try:
        _refuse_depth(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_size(node, file)
        _refuse_repeats(node, file)
        plain = yaml.safe_load(text)
    except RecipeError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{file}{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:  # a number or date that cannot be, for one
        raise RecipeError(f"{file}: not valid YAML: {str(error)[:_CHARACTERS_IN_MESSAGE]}") from error
    if not isinstance(plain, dict):
        raise RecipeError(f"{file} is empty or not a mapping; `foretaste init` writes one to start from")
    return plain


def _refuse_depth(text: str, file: str) -> None:
    """Refuse what is nested more deeply than a recipe can be, before anything recurses into it."""
    if len(text) > _LONGEST:
        raise RecipeError(f"{file} has {len(text)} characters; a recipe has at most {_LONGEST}")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise RecipeError(f"{file}, line {line}: nested more than {_DEEPEST} levels deep, which no recipe is")


def _refuse_size(root: yaml.Node | None, file: str) -> None:
    """Refuse anchors and aliases that contain themselves, or that multiply to more values than a recipe can have."""
    sizes: dict[int, int] = {}
    path: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [] if root is None else [(root, False)]
    while stack:
        node, left = stack.pop()
        parts = _parts_of(node)
        if left:
            path.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            if sizes[id(node)] > _MOST:
                raise RecipeError(
                    f"{file}, line {node.start_mark.line + 1}: more than {_MOST} values, by aliases of aliases; write"
                    " them out"
                )
        elif id(node) in path:
            raise RecipeError(
                f"{file}, line {node.start_mark.line + 1}: an alias within what it stands for; write it out"
            )
        elif id(node) not in sizes:
            path.add(id(node))
            stack += [(node, True), *((part, False) for part in parts)]


def _parts_of(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refuse_repeats(node: yaml.Node | None, file: str) -> None:
    """YAML keeps the last of two equal keys in silence; a second task of one name would vanish."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            _refuse_repeats(value, file)
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise RecipeError(
                    f"{file}, line {line}: {key.value!r} is already there in line {lines[key.value]}; give it another"
                    " name"
                )
            lines[key.value] = line
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_repeats(child, file)


def line_of(text: str, field: Sequence[str]) -> int:
    r"""The line of the deepest part of the field that is there.

    >>> line_of("name: a\ntasks:\n  news: {train: a.csv}", ["tasks", "news", "validation"])
    3
    """
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for part in field:
        if isinstance(node, yaml.MappingNode):
            match = next(((key, value) for key, value in node.value if key.value == part), None)
            if match is None:
                return line
            line, node = match[0].start_mark.line + 1, match[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
    return line
