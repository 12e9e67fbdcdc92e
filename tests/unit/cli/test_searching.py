"""The search command, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste, refused
from problems import digits_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_recipe(tmp_path_factory.mktemp("search"), finetune_steps="5", preview_methods="[simple]")


def test_a_search_ends_with_a_report_and_goes_on_with_more(recipe: Path) -> None:
    study = recipe.parent / "study"
    first = foretaste("search", recipe, "--study", study, "--budget", "joint=1,previews=6", "--explain")
    assert first.code == 0, first.err
    assert "Each joint run: what was predicted, and what it gave" in first.out
    assert "Recommended: " in first.out
    assert "joint runs 1/1, previews 6/6 | best so far" in first.err
    assert (study / "report.html").is_file()
    more = foretaste(
        "search",
        recipe,
        "--study",
        study,
        "--budget",
        "joint=2,previews=16",
        "--prefer",
        "front",
        "--tolerance",
        "0",
        "--json",
    )
    assert more.code == 0, more.err
    document = json.loads(more.out)
    assert document["search"]["spent"]["joint"] == 2
    assert len(document["search"]["foretold"]) == 2
    assert document["preference"].startswith("the knee of the front")
    shown = foretaste("show", study, "--explain", "--prefer", "worst", "--floor", "all>=50%")
    assert "All floors" not in shown.out
    assert "all>=50% of its single-task metric holds with probability" in shown.out
    assert json.loads(foretaste("show", study, "--explain", "--json").out)["explanation"][0].startswith("Recommended: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--budget", "joint=five"), "write for example joint=5,previews=100,sharpened=10"),
        (("--budget", "previews=2"), "write at least previews=3"),
        (("--prefer", "best"), "write mean, worst, knee, or for example"),
        (("--floor", "low>0.5"), "write low>=0.85 or all>=97%"),
    ],
)
def test_bad_input(recipe: Path, options: tuple[str, str], told: str) -> None:
    assert told in refused("search", recipe, "--study", recipe.parent / "other", *options)
