"""Studies of earlier versions, as a user goes on with them."""

import json
import shutil
import sqlite3
from pathlib import Path

from commands import foretaste
from earlier import EARLIER, earlier_recipe, earlier_study, shown_earlier


def schema(study: Path) -> int:
    connection = sqlite3.connect(study / "study.db")
    try:
        return int(connection.execute("SELECT schema FROM study").fetchone()[0])
    finally:
        connection.close()


def test_it_is_shown_as_it_is_and_gone_on_with_by_its_recipe(tmp_path: Path) -> None:
    study, shown = earlier_study(tmp_path), shown_earlier()
    for _ in range(2):
        found = json.loads(foretaste("show", study, "--json").out)
        assert (found["recommendation"]["weights"], found["rows"]) == (shown["recommended"], shown["rows"])
        again = foretaste("run", earlier_recipe(), "--study", study, "--json")
        assert again.code == 0, again.err
        assert json.loads(again.out)["rows"] == shown["rows"]
        assert schema(study) == 2
    assert foretaste("preview", earlier_recipe(), "--weights", "low=0.2,mid=0.3,high=0.5", "--study", study).code == 0
    assert len(json.loads(foretaste("show", study, "--json").out)["rows"]) > len(shown["rows"])


def test_another_recipe_leaves_it_as_it_was(tmp_path: Path) -> None:
    study, recipe = earlier_study(tmp_path), Path(shutil.copy(earlier_recipe(), tmp_path / "other.yaml"))
    recipe.write_text(recipe.read_text().replace("steps: 5", "steps: 6"))
    found = foretaste("run", recipe, "--study", study)
    assert found.code == 2
    assert "finetune.steps: was 5, is 6" in found.err
    assert "the study is untouched" in found.err
    assert (study / "study.db").read_bytes() == (EARLIER / "study.db").read_bytes()
    assert sorted(path.name for path in study.iterdir()) == ["study.db", "tensors"]


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    with sqlite3.connect(study / "study.db") as connection:
        plan = json.loads(connection.execute("SELECT plan FROM recipes").fetchone()[0])
        plan["identity"]["revisions"]["factors"] = 99
        plan["versions"] = plan["versions"].replace("foretaste 0.1", "foretaste 99.1")
        connection.execute("UPDATE recipes SET plan = ?", [json.dumps(plan)])
    connection.close()
    found = foretaste("run", earlier_recipe(), "--study", study)
    assert found.code == 2
    assert "was made by foretaste 99.1" in found.err
    assert "upgrade foretaste" in found.err
    assert "another recipe" not in found.err
    assert schema(study) == 1
