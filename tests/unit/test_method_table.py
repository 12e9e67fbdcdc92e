import pytest

from foretaste.errors import RecipeError
from foretaste.method_table import METHOD_TABLE, MethodRow, add_method, check_method_name, with_controls
from foretaste.recipe import parse


def test_controls_are_in_the_table_and_none_has_controls() -> None:
    controls = {name for name, row in METHOD_TABLE.items() if row.is_control}
    assert controls == {"average", "weighted"}
    assert {name for row in METHOD_TABLE.values() for name in row.controls} == controls
    assert not any(METHOD_TABLE[name].controls for name in controls)


def test_every_row_is_shown_by_its_name_and_title() -> None:
    assert all(row.name == name and row.title for name, row in METHOD_TABLE.items())


def test_a_method_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretaste.method_table.METHOD_TABLE", dict(METHOD_TABLE))
    add_method(MethodRow("mine", "a method of mine", "module:Class"))
    add_method(MethodRow("mine", "a method of mine", "module:Class"))
    assert check_method_name("mine") == "mine"
    with pytest.raises(RecipeError, match=r"there is a method called mine already \(a method of mine\); choose another name"):
        add_method(MethodRow("mine", "another method", "module:Other"))


def test_an_unknown_method_in_a_recipe_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match=r"there is no method 'kroneker'; did you mean kronecker\?"):
        parse("{name: a, model: {source: digits}, preview: {methods: [simple, kroneker]}}")


def test_a_mixture_is_never_without_its_controls() -> None:
    assert with_controls(["simple", "mixture"]) == ["simple", "mixture", "average", "weighted"]
    assert with_controls(["average", "mixture", "diagonal"]) == ["average", "mixture", "weighted", "diagonal"]
    assert with_controls(["simple", "kronecker"]) == ["simple", "kronecker"]
