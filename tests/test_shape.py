"""The shape of the house: sizes, names and promises that hold for every file."""

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretaste.cli.app import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "foretaste"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = tuple(SETTINGS["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])
FILE_LINES, FUNCTION_LINES, COLUMNS = 300, 40, 120


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE).with_suffix("")).replace("/", ".")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= FILE_LINES, "two rooms in one?"
    assert max(len(line) for line in text.splitlines() if "https://" not in line) <= COLUMNS
    for node in functions(tree):
        assert body_lines(node) <= FUNCTION_LINES, f"{node.name} is too long"
        inner = [each.module or "" for each in ast.walk(node) if isinstance(each, ast.ImportFrom)]
        own = [module for module in inner if module.startswith("foretaste") and not module.startswith(HEAVY)]
        assert not own, f"imports inside {node.name}, and the modules are not listed as heavy in pyproject.toml"


LARGE = {
    "Tensor",
    "Params",
    "Array",
    "Mapping",
    "Sequence",
    "list",
    "dict",
    "Module",
    "Task",
    "Evaluation",
    "Recipe",
    "Problem",
}


def words_of(annotation: ast.expr) -> Iterator[str]:
    """The names that a type is made of, also where it is written as a text."""
    tree = (
        ast.parse(annotation.value, mode="eval")
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
        else annotation
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_public_value_is_shown_in_one_line(path: Path) -> None:
    """A dataclass that holds tensors, rows or mappings says ``__repr__ = one_line``, or writes its own."""
    classes = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    for node in classes:
        if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue
        large = {
            word for each in node.body if isinstance(each, ast.AnnAssign) for word in words_of(each.annotation)
        } & LARGE
        own = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        own |= {
            target.id
            for each in node.body
            if isinstance(each, ast.Assign)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        assert not large or "__repr__" in own, f"{node.name} may print pages: give it __repr__ = one_line"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__main__.py"], ids=name_of)
def test_every_module_has_its_test_file(path: Path) -> None:
    expected = ROOT / "tests" / "unit" / path.relative_to(SOURCE).with_name(f"test_{path.name}")
    assert expected.is_file(), f"write {expected.relative_to(ROOT)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_is_complete(path: Path) -> None:
    """``__all__`` lists exactly the public functions and classes that the module defines, and its public constants."""
    module = importlib.import_module(f"foretaste.{name_of(path)}")
    tree = ast.parse(path.read_text())
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    promised = set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__, key=_isort_order)
    assert all(hasattr(module, name) for name in promised)
    assert defined <= promised, f"not in __all__: {defined - promised}"


def _isort_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_things_are_documented(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_init_files_are_for_outsiders() -> None:
    """Inside the package nothing is imported through an ``__init__``, which would make cycles."""
    for path in SOURCE.rglob("__init__.py"):
        imported = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [node.module or "."]
                if isinstance(node, ast.ImportFrom)
                else [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        ]
        own = [name for name in imported if name.startswith((".", "foretaste"))]
        assert not own, path
        assert not imported or path == SOURCE / "__init__.py"  # makes the public names


def test_the_floors_hold() -> None:
    """import-linter: layers, exhaustive, no cycles between siblings."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent != SOURCE / "store" and path.name != "target.py"], ids=name_of
)
def test_only_the_store_knows_what_lies_in_a_study(path: Path) -> None:
    tree = ast.parse(path.read_text())
    joined = [node.right for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    names = {node.value for node in joined if isinstance(node, ast.Constant)} & {
        "study.db",
        "queue.db",
        "tensors",
        "running",
        "study.lock",
    }
    assert not names, f"{names} lie behind the ports of foretaste.store"
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    behind = imported & {f"foretaste.store.{name}" for name in ("folder_artefacts", "sql_queue", "sql_rows")}
    assert not behind, f"{behind} are opened by foretaste.store.study"


def test_every_command_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert "Example" in shown, name
        assert "--json" in shown, name
        assert f"foretaste {name}" in readme, f"README does not mention foretaste {name}"
