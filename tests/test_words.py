"""The words of the house: names, summaries of docstrings and messages are plain English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "foretaste"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
TREES = {path: ast.parse(path.read_text()) for path in MODULES}

# What a value, a function or a class must not be called: none of these says what it is.
DIALECT = frozenset(
    word
    for line in (
        "asked brought each foretold found given jointly judged kept known listed look made",
        "named raced said seen shown some told tellable usable wanted whose wish",
    )
    for word in line.split()
)
# Names of the dialect that are right where they are.
RIGHT = {
    ("field", "judged"): "a task's metrics that its judge computes, beside those that are computed from predictions",
    ("surface", "kept"): "the share of its metric that a pair of tasks keeps, a key of the JSON report",
    ("surface", "each"): "the cost of each further weighting, beside that of all together",
    ("surface", "usable"): "rows that are usable, inside one function",
    ("workflow", "named"): "whether methods were named by the user",
}


def room_of(path: Path) -> str:
    """The first part of a module's name."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


ROOMS = sorted({room_of(path) for path in MODULES})


def is_right(room: str, name: str) -> bool:
    return (room, name) in RIGHT or ("field", name) in RIGHT


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names of functions, classes, arguments and variables, without underscores in front, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name.strip("_").lower(), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg.strip("_"), node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.strip("_").lower(), node.lineno


def dialect_in(room: str) -> list[str]:
    """Every name of the dialect in a room, with its place."""
    paths = [path for path in MODULES if room_of(path) == room]
    found = ((path, name, line) for path in paths for name, line in names_in(TREES[path]))
    return [
        f"{path.relative_to(SOURCE)}:{line} {name}"
        for path, name, line in found
        if name in DIALECT and not is_right(room, name)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_names_say_what_things_are(room: str) -> None:
    assert dialect_in(room) == []


def test_every_exception_is_needed() -> None:
    used = {(room_of(path), name) for path, tree in TREES.items() for name, _ in names_in(tree) if name in DIALECT}
    for room, name in RIGHT:
        assert any(name == other and room in ("field", place) for place, other in used), (
            f"nothing in {room} is called {name}"
        )


def public_things(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and public methods of the classes, that have a docstring."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
                yield from (
                    method for method in methods if not method.name.startswith("_") and ast.get_docstring(method)
                )


SUMMARY_FAULTS = {
    "does not begin with a capital letter, a digit or a code": re.compile(r"^(?![A-Z0-9`'\"+]|sum_|d\b)"),
    "does not end with a period": re.compile(r"[^.]$"),
    "points at what stands elsewhere": re.compile(r"^(The same|Of (it|its|the same)|Its|And|Their|As above|Also)\b"),
    "has fewer than three words": re.compile(r"^\S*( \S+)?$"),
}


def summary_faults_in(room: str) -> list[str]:
    """Every summary in a room that does not stand alone."""
    things = [(path, node) for path in MODULES if room_of(path) == room for node in public_things(TREES[path])]
    summaries = [
        (path, node, " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())) for path, node in things
    ]
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno} {fault}: {summary}"
        for path, node, summary in summaries
        for fault, pattern in SUMMARY_FAULTS.items()
        if pattern.search(summary)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_summaries_stand_alone(room: str) -> None:
    assert summary_faults_in(room) == []


def text_of(node: ast.AST) -> str | None:
    """A text as far as it is written in the code: what is filled in stands as {}."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or "{}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text_of(left) or "{}") + (text_of(right) or "{}")
        case _:
            return None


def messages_of(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """The line, the kind and the text of each message: errors that are raised, what is said or warned of, and help."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            calls = [call for call in ast.walk(node.exc) if isinstance(call, ast.Call)]
            errors = [
                call for call in calls if isinstance(call.func, ast.Name) and call.func.id[0].isupper() and call.args
            ]
            yield from (
                (call.lineno, "error", text) for call in errors[:1] if (text := text_of(call.args[0])) is not None
            )
        elif isinstance(node, ast.Call):
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else node.func.id
                if isinstance(node.func, ast.Name)
                else ""
            )
            if name in ("say", "warn") and node.args and (text := text_of(node.args[0])) is not None:
                yield node.lineno, "notice", text
            if name in ("Option", "Argument", "command"):
                helps = [text_of(keyword.value) for keyword in node.keywords if keyword.arg == "help"]
                yield from ((node.lineno, "help", text) for text in helps if text is not None)


MESSAGES = [(path, *message) for path, tree in TREES.items() for message in messages_of(tree)]
LONGEST = 420  # characters, before anything is filled in
PRIVATE = re.compile(
    r"\b(foretold|tellable|brought|bring (a|an|all|the|checkpoints|models)|is no (ordinary|folder|function|JSON)|there"
    r" twice|"
    r"taken of|mend|anew|beyond all means)\b"
)
# Beginnings that keep their capital: names of things and of classes.
CAPITAL = re.compile(r"^([A-Z]{2,}\b|[A-Z][a-z]+[A-Z]|LoRA\b|Adam\b)")


def test_messages_are_collected() -> None:
    """A collector that finds nothing would pass every test below."""
    kinds = {kind: sum(kind == other for _, _, other, _ in MESSAGES) for kind in ("error", "notice", "help")}
    assert kinds["error"] > 250
    assert kinds["notice"] > 3
    assert kinds["help"] > 20


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("two spaces in a row", re.compile(r"\S  +\S")),
        ("a space at an end", re.compile(r"^ | $")),
        ("a private word", PRIVATE),
        ("an unfinished sentence", re.compile(r"(,|;|:|\()\s*$")),
        ("shouting", re.compile(r"!$")),
    ],
)
def test_no_message_has(fault: str, pattern: re.Pattern[str]) -> None:
    faulty = [f"{path.relative_to(SOURCE)}:{line} {text}" for path, line, _, text in MESSAGES if pattern.search(text)]
    assert faulty == [], fault


def test_messages_are_short() -> None:
    assert [
        f"{path.relative_to(SOURCE)}:{line} {text}" for path, line, _, text in MESSAGES if len(text) > LONGEST
    ] == []


def test_errors_begin_in_lower_case() -> None:
    """The command line puts "error:" in front of them."""
    errors = [(path, line, text) for path, line, kind, text in MESSAGES if kind == "error"]
    faulty = [(path, line, text) for path, line, text in errors if text[:1].isupper() and not CAPITAL.match(text)]
    assert [f"{path.relative_to(SOURCE)}:{line} {text}" for path, line, text in faulty] == []


def test_help_is_a_sentence() -> None:
    """It ends with a period; some begin with an example of what to write."""
    helps = [(path, line, text) for path, line, kind, text in MESSAGES if kind == "help"]
    faulty = [(path, line, text) for path, line, text in helps if not re.search(r"\.$", text)]
    assert [f"{path.relative_to(SOURCE)}:{line} {text}" for path, line, text in faulty] == []
