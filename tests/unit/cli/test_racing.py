"""The preview command's race, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste, refused
from problems import digits_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_recipe(tmp_path_factory.mktemp("race"), finetune_steps="8", preview_methods="[simple]")


def test_survivors_and_those_that_stopped(recipe: Path) -> None:
    command = ["preview", recipe, "--study", recipe.parent / "study", "--race"]
    shown = foretaste(*command)
    assert shown.code == 0, shown.err
    assert "Best by simple: " in shown.out
    assert "were saved." in shown.out
    found = foretaste(*command, "--prefer", "worst", "--floor", "all>=10%", "--json")
    assert found.code == 0, found.err
    (race,) = json.loads(found.out)
    assert race["method"] == "simple"
    assert len(race["rows"]) + len(race["dropped"]) >= 10
    assert race["best"] in [row["weights"] for row in race["rows"]]


def test_only_what_was_asked_for_is_raced(recipe: Path) -> None:
    asked = [word for weights in ("low=1", "uniform", "mid=0.9,low=0.1") for word in ("--weights", weights)]
    found = foretaste("preview", recipe, "--study", recipe.parent / "study", "--race", *asked, "--json")
    (race,) = json.loads(found.out)
    assert len(race["rows"]) + len(race["dropped"]) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--prefer", "worst"], "--prefer only matters in a race; add --race, or leave it out"),
        (["--floor", "all>=97%"], "--floor only matters in a race; add --race"),
        (["--race", "--prefer", "speed"], "preference 'speed' is not understood"),
        (["--race", "--floor", "all>=high"], "floor 'all>=high' is not understood"),
    ],
)
def test_what_cannot_be_is_refused(recipe: Path, options: list[str], told: str) -> None:
    assert told in refused("preview", recipe, "--study", recipe.parent / "study", *options)
