"""Options that are refused leave nothing behind: no study, no file."""

from pathlib import Path

import pytest

from commands import refused
from problems import digits_recipe

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "fit without models": (("fit", "--estimate", "fisher"), "there is no model yet of low, mid, high"),
    "weights of other tasks": (("preview", "--weights", "low=1,other=1"), "other"),
    "an empty preference": (("preview", "--race", "--prefer", ""), "preference '' is not understood"),
    "a race for a task that is not there": (
        ("preview", "--race", "--floor", "other>=1"),
        "floor 'other>=1' is not understood",
    ),
    "joint weights that add up to 2": (("confirm", "--weights", "low=1,mid=1,high=0"), "sum"),
    "a method twice": (
        ("compare", "--method", "simple", "--method", "simple"),
        "simple is named twice; name each method once",
    ),
    "corners of a method twice": (
        ("mergeability", "--method", "simple", "--method", "simple"),
        "simple is named twice; name each method once",
    ),
    "a search for nothing": (("search", "--prefer", ""), "preference '' is not understood"),
    "a search for a task twice": (("search", "--prefer", "low=1,low=2"), "names a task twice"),
    "a search with too small a budget": (
        ("search", "--budget", "previews=2"),
        "does not cover the 3 single-task models",
    ),
    "a search with a floor of no task": (("search", "--floor", "other>=1"), "floor 'other>=1' is not understood"),
    "an export of what has no params": (("export", "--to", "out", "--method", "predictive"), "predictive"),
    "an export of two things": (("export", "--to", "out", "--joint", "--method", "simple"), "leave one of them out"),
    "an export over a file": (("export", "--to", "thesis.tex"), "is a file"),
    "an export of empty weights": (("export", "--to", "out", "--weights", ""), "weights"),
    "rows that there are not": (("export", "--to", "out", "--mixture", "jsonl"), "have no rows to write"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_nothing_is_left_behind(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command, *options), words = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    recipe = digits_recipe(tmp_path)
    Path("thesis.tex").write_text("mine")
    before = sorted(tmp_path.iterdir())
    message = refused(command, recipe, *options)
    assert words in message
    assert sorted(tmp_path.iterdir()) == before
    assert Path("thesis.tex").read_text() == "mine"


def test_a_comparison_with_no_joint_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Path("r.yaml")
    recipe.write_text("name: a\nmodel: {source: digits}\njoint: {points: 0}\n")
    assert "joint.points is 0" in refused("compare", recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]
