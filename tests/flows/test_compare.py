"""Preview methods side by side, as a user compares them."""

import json
from pathlib import Path

import pytest

from commands import Ran, foretaste, refused, spawned
from problems import digits_recipe

METHODS = ["simple", "diagonal", "mixture", "average", "weighted"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_recipe(tmp_path_factory.mktemp("compare"), finetune_steps="8", joint_points="3")


def asked(recipe: Path, *more: object) -> list[object]:
    methods = [word for name in METHODS[:3] for word in ("--method", name)]
    return ["compare", recipe, "--study", recipe.parent / "study", *methods, "--sharpen", 2, *more]


@pytest.fixture(scope="module")
def ran(recipe: Path) -> Ran:
    """In a process of its own, as a user runs it first."""
    with spawned(*asked(recipe, "--json")) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return Ran(process.returncode, out, err)


def test_every_method_has_its_agreement_and_its_price(ran: Ran) -> None:
    found = {each["method"]: each for each in json.loads(ran.out)["methods"]}
    assert list(found) == [
        "simple",
        "simple+2",
        "diagonal",
        "diagonal+2",
        "mixture",
        "mixture+2",
        "average",
        "weighted",
        "pretrained+2",
    ]
    assert {each["points"] for each in found.values()} == {3}
    assert all(0 <= each["mean_error"] <= 1 for each in found.values())
    assert all(each["regret_mean"] >= 0 and each["regret_worst"] >= 0 for each in found.values())
    once = {name: each["cost_once"] for name, each in found.items()}
    assert 0 == once["pretrained+2"] < once["simple"] < once["diagonal"] < once["mixture"]
    assert once["average"] < once["mixture"] == once["mixture+2"] == once["weighted"]


def test_weights_without_a_preview_are_rivals(ran: Ran) -> None:
    found = json.loads(ran.out)
    assert list(found["rivals"]) == ["uniform", "proportional"]
    assert found["rivals"]["uniform"] == found["rivals"]["proportional"]  # the tasks have as much data as each other
    assert found["best"] in METHODS[:3]


def test_the_table_has_the_same_numbers_and_a_next_command_that_works(recipe: Path, ran: Ran) -> None:
    shown = foretaste(*asked(recipe))
    assert shown.code == 0, shown.err
    found = json.loads(ran.out)
    lines = {line.split()[0]: line.split() for line in reversed(shown.out.splitlines()) if line.strip()}
    for each in found["methods"]:
        assert lines[each["method"]][1] == f"{each['mean_error']:.3f}"
    assert "uniform weights" in shown.out
    assert "weights by data" in shown.out
    following = shown.out.splitlines()[-1]
    assert following.startswith("next: foretaste preview ")
    assert foretaste(*following.removeprefix("next: foretaste ").split()).code == 0


def test_what_was_compared_is_in_the_study(recipe: Path, ran: Ran) -> None:
    found = json.loads(foretaste("show", recipe.parent / "study", "--json").out)
    assert {each["method"] for each in found["agreements"]} == set(METHODS)


def test_a_recipe_without_joint_runs_is_refused(tmp_path: Path) -> None:
    message = refused("compare", digits_recipe(tmp_path, joint_points="0"), "--study", tmp_path / "study")
    assert "nothing to compare previews with: joint.points is 0; set it to 3 or more in the recipe" in message
