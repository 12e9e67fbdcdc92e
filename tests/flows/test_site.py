"""The site: its reference pages are made from the program, its table from the formula, and all pages have a place."""

import re
from pathlib import Path

import yaml

import foretaste
from commands import COMMANDS
from cost_table import cost_table
from foretaste.recipe import schema
from reference import api_page, commands_page, recipe_page

ROOT = Path(__file__).parents[2]
MADE = {"changelog.md", "contributing.md", "reference/commands.md", "reference/recipe.md", "reference/api.md"}


def pages_of(nav: object) -> list[str]:
    """The pages that a navigation names, in their order."""
    if isinstance(nav, str):
        return [nav]
    inner = nav.values() if isinstance(nav, dict) else nav
    assert isinstance(inner, list | type({}.values()))
    return [page for part in inner for page in pages_of(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    pages = pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(pages) == sorted({path.name for path in (ROOT / "docs").glob("*.md")} | MADE)


def test_every_command_is_in_the_reference_with_its_options() -> None:
    page = commands_page()
    assert sorted(re.findall(r"^## foretaste (\w+)$", page, re.MULTILINE)) == sorted(COMMANDS)
    assert page.count("```sh\nforetaste ") == len(COMMANDS)
    assert page.count("| `--json` |") == len(COMMANDS)
    assert "[bold]" not in page


def test_every_field_of_a_recipe_is_in_the_reference() -> None:
    page, whole = recipe_page(), schema()
    for part in (whole, *whole["$defs"].values()):
        assert all(f"| `{name}` |" in page for name in part["properties"])
    assert "| `path` | text | required | checkpoint folder (relative to this file) or hub id |" in page
    links = set(re.findall(r"\]\(#(\w+)\)", page))
    assert links <= {name.lower() for name in whole["$defs"]}


def test_every_public_name_is_in_the_reference() -> None:
    named = {line.rpartition(".")[2] for line in api_page().splitlines() if line.startswith("::: ")}
    assert named == set(foretaste.__all__) - {"errors", "__version__"}


def test_the_table_of_costs_is_what_the_formula_gives() -> None:
    assert cost_table() in (ROOT / "docs" / "cost.md").read_text()


def test_the_glossary_has_the_words_of_the_architecture() -> None:
    """But for those that only the code needs."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("## Words") : page.index("## Floors")]
    words = {word for row in re.findall(r"^\| ([\w, ]+) \| ", table, re.MULTILINE) for word in row.split(", ")}
    words -= {"word", "alpha", "work", "key", "context", "engine", "session", "method", "anchored", "evaluation"}
    assert len(words) > 15
    glossary = (ROOT / "docs" / "concepts.md").read_text()
    assert {word for word in words if f"| {word} |" not in glossary} == set()
