import json
import sqlite3
from pathlib import Path

import pytest

from foretaste.errors import RecipeError, StudyError
from foretaste.store.study import StudyStore
from foretaste.workflow.fit import fit
from foretaste.workflow.reopen import reopen
from foretaste.workflow.session import Session


def test_a_study_goes_on_without_its_recipes_file(session: Session) -> None:
    before = session.study.all_work()
    again = reopen(session.study.path)
    with again.study:
        assert again.recipe == session.recipe
        assert again.base == session.base
        fit(again)
        assert again.study.all_work() == before


def test_an_empty_study(tmp_path: Path) -> None:
    StudyStore.create(tmp_path / "new").close()
    with pytest.raises(StudyError, match="is empty; run `foretaste run RECIPE"):
        reopen(tmp_path / "new")
    with pytest.raises(StudyError, match="is not a study"):
        reopen(tmp_path / "nothing")


def test_a_study_of_an_earlier_version(session: Session) -> None:
    path = session.study.path
    with sqlite3.connect(path / "study.db") as connection:
        plan = json.loads(connection.execute("SELECT plan FROM recipes").fetchone()[0])
        del plan["recipe"]
        connection.execute("UPDATE recipes SET plan = ?", [json.dumps(plan)])
    with pytest.raises(
        StudyError,
        match="was made by an earlier version, which did not keep all of its recipe; run `foretaste run RECIPE",
    ):
        reopen(path)


def test_data_that_is_gone(session: Session) -> None:
    path = session.study.path
    with sqlite3.connect(path / "study.db") as connection:
        plan = json.loads(connection.execute("SELECT plan FROM recipes").fetchone()[0])
        task = {"train": "/nowhere/train.jsonl", "validation": "/nowhere/v.jsonl", "text": "text"}
        model = {"source": "transformers", "path": "/nowhere", "kind": "text-classification"}
        plan["recipe"] |= {"model": model, "tasks": {"a": task, "b": task}}
        connection.execute("UPDATE recipes SET plan = ?", [json.dumps(plan)])
    with pytest.raises(RecipeError, match=r"/nowhere/train\.jsonl does not exist"):
        reopen(path)
