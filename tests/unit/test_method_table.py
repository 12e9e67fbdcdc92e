import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import foretaste
from foretaste.errors import RecipeError
from foretaste.method_table import METHOD_TABLE, MethodRow, add_method, check_method_name, with_controls
from foretaste.methods.registry import find_method
from foretaste.plan import Preview
from foretaste.recipe import parse
from problems import digits_recipe
from toy_method import MOVED, Moved


def test_controls_are_in_the_table_and_none_has_controls() -> None:
    controls = {name for name, row in METHOD_TABLE.items() if row.is_control}
    assert controls == {"average", "weighted", "factors"}
    assert {name for row in METHOD_TABLE.values() for name in row.controls} == controls - {"factors"}
    assert not any(METHOD_TABLE[name].controls for name in controls)


def test_every_row_is_shown_by_its_name_and_title() -> None:
    assert all(row.name == name and row.title for name, row in METHOD_TABLE.items())


def test_a_method_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretaste.method_table.METHOD_TABLE", dict(METHOD_TABLE))
    add_method(MethodRow("mine", "a method of mine", "module:Class"))
    add_method(MethodRow("mine", "a method of mine", "module:Class"))
    assert check_method_name("mine") == "mine"
    with pytest.raises(
        RecipeError, match=r"there is a method called mine already \(a method of mine\); choose another name"
    ):
        add_method(MethodRow("mine", "another method", "module:Other"))


def test_an_unknown_method_in_a_recipe_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match=r"there is no method 'kroneker'; did you mean kronecker\?"):
        parse("{name: a, model: {source: digits}, preview: {methods: [simple, kroneker]}}")


def test_a_mixture_is_never_without_its_controls() -> None:
    assert with_controls(["simple", "mixture"]) == ["simple", "mixture", "average", "weighted"]
    assert with_controls(["average", "mixture", "diagonal"]) == ["average", "mixture", "weighted", "diagonal"]
    assert with_controls(["simple", "kronecker"]) == ["simple", "kronecker"]


@pytest.fixture
def moved() -> Iterator[MethodRow]:
    """A method of another module, in the table for one test."""
    add_method(MOVED)
    yield MOVED
    del METHOD_TABLE[MOVED.name]
    find_method.cache_clear()


@pytest.mark.usefixtures("moved")
def test_a_method_is_one_file_and_one_row(tmp_path: Path) -> None:
    """Recipes, options, previews, comparisons, recommendations and reports take a new method as it is."""
    recipe = digits_recipe(tmp_path, finetune_steps="5", preview_methods="[simple, moved]", preview_points="6")
    study = tmp_path / "small.study"
    assert foretaste("check", recipe).code == 0
    ran = foretaste("run", recipe, "--study", study, "--json")
    assert ran.code == 0, ran.err
    shown = json.loads(foretaste("show", study, "--json").out)
    weights = {
        method: [row["weights"] for row in shown["rows"] if row["method"] == method] for method in ("simple", "moved")
    }
    assert len(weights["moved"]) >= 6
    assert weights["moved"] == weights["simple"]
    metrics = {
        method: [row["metrics"] for row in shown["rows"] if row["method"] == method] for method in ("simple", "moved")
    }
    assert metrics["moved"] != metrics["simple"]
    compared = foretaste("compare", recipe, "--study", study, "--method", "moved", "--json")
    assert compared.code == 0, compared.err
    assert '"moved"' in compared.out
    assert shown["recommendation"]["weights"] in weights["moved"]
    assert foretaste("report", study).code == 0


def test_without_its_row_a_method_is_unknown() -> None:
    with pytest.raises(RecipeError, match="there is no method 'moved'"):
        parse("{name: a, model: {source: digits}, preview: {methods: [moved]}}")


@pytest.mark.usefixtures("moved")
def test_a_recipe_takes_a_method_that_was_added() -> None:
    assert parse("{name: a, model: {source: digits}, preview: {methods: [moved]}}").preview == Preview(
        methods=["moved"]
    )
    assert isinstance(find_method("moved"), Moved)
