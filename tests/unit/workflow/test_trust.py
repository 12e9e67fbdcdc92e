"""A study of somebody else runs none of its code until this user says so."""

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from commands import foretaste, refused
from foretaste.errors import StudyError
from foretaste.plan import Recipe
from foretaste.recipe import parse
from foretaste.store.queue import Kind, State
from foretaste.store.study import StudyStore
from foretaste.web import worker
from foretaste.workflow import trust
from foretaste.workflow.reopen import reopen
from foretaste.workflow.trust import check_stored_recipe, code_run_by, is_trusted, remember_trust

FUNCTION = """
from pathlib import Path
from foretaste.sources.digits import digits

def problem():
    (Path(__file__).parent / "ran").touch()
    found = digits()
    return found.model, found.tasks
"""
TEXT = (
    "{name: a, model: {source: function, call: '%s'}, finetune: {steps: 1}, curvature: {max_examples: 1}, preview:"
    " {points: 3}}"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def studied(folder: Path, name: str) -> Path:
    """A study of a function, made by this user from a recipe."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(FUNCTION)
    (folder / "r.yaml").write_text(TEXT % f"{name}:problem")
    found = foretaste("fit", folder / "r.yaml", "--study", folder / "study")
    assert found.code == 0, found.err
    (folder / "ran").unlink()
    return folder / "study"


def test_a_study_of_ones_own_goes_on(tmp_path: Path) -> None:
    study = studied(tmp_path / "mine", "own_problem")
    check_stored_recipe(study)
    with reopen(study).study:
        assert (tmp_path / "mine" / "ran").exists()


def test_a_study_from_elsewhere_runs_nothing(tmp_path: Path) -> None:
    theirs = studied(tmp_path / "theirs", "their_problem")
    got = tmp_path / "got"
    shutil.copytree(theirs.parent, got)
    with pytest.raises(
        StudyError, match=r"runs the Python function their_problem:problem, .*`foretaste explore .*/got/study --trust`"
    ):
        check_stored_recipe(got / "study")
    with StudyStore.open_queue(got / "study") as queue:
        queue.add(Kind.PREVIEW, "low=1,mid=0,high=0")
        assert worker.main(got / "study") == 2
        assert queue.jobs()[0].state == State.FAILED
        assert "has not run that here before" in queue.jobs()[0].message
    assert not (got / "ran").exists()
    assert foretaste("show", got / "study").code in (0, 2)
    assert not (got / "ran").exists()
    del sys.modules["their_problem"]  # as in a process of its own
    with reopen(got / "study", trust=True).study:
        assert (got / "ran").exists()
    check_stored_recipe(got / "study")  # trusted once, it stays so in this folder


def test_another_recipe_in_a_trusted_study_is_not_trusted(tmp_path: Path) -> None:
    study = studied(tmp_path / "mine", "third_problem")
    with sqlite3.connect(study / "study.db") as connection:
        plan = json.loads(connection.execute("SELECT plan FROM recipes").fetchone()[0])
        plan["recipe"]["model"]["call"] = "subprocess:call"
        connection.execute("UPDATE recipes SET plan = ?", [json.dumps(plan)])
    connection.close()
    with pytest.raises(StudyError, match="runs the Python function subprocess:call"):
        reopen(study)
    with pytest.raises(Exception, match="is part of Python itself"):
        reopen(study, trust=True)


def test_exploring_an_untrusted_study_with_resume_is_refused(tmp_path: Path) -> None:
    theirs = studied(tmp_path / "theirs", "fourth_problem")
    got = shutil.copytree(theirs.parent, tmp_path / "got") / "study"
    assert "--trust" in refused("explore", got, "--no-open", "--resume")
    assert not (got.parent / "ran").exists()


def test_what_runs_code() -> None:
    assert code_run_by(parse("{name: a, model: {source: digits}}")) is None
    model = {"source": "transformers", "path": "x", "kind": "causal-lm"}
    task = {"train": "t", "validation": "v"}
    plain = {"name": "a", "model": model, "tasks": {"a": task, "b": task}}
    assert code_run_by(Recipe.model_validate(plain)) is None
    plain["model"] = model | {"harness": {"limit": 3}}
    assert code_run_by(Recipe.model_validate(plain)) is None
    plain["model"] = model | {"harness": {"tasks": "/their/tasks"}}
    assert code_run_by(Recipe.model_validate(plain)) == "the lm-evaluation-harness tasks in /their/tasks"


def test_trust_is_noted_for_one_folder_and_one_call(tmp_path: Path, state: Path) -> None:
    recipe, other = parse(TEXT % "a:b"), parse(TEXT % "a:c")
    assert not is_trusted(tmp_path / "one", recipe)
    remember_trust(tmp_path / "one", recipe)
    assert is_trusted(tmp_path / "one", recipe)
    assert not is_trusted(tmp_path / "two", recipe)
    assert not is_trusted(tmp_path / "one", other)
    assert state.stat().st_mode & 0o077 == 0 or (state / "foretaste" / "trusted").stat().st_mode & 0o077 == 0


def test_nothing_is_noted_for_recipes_without_code(tmp_path: Path, state: Path) -> None:
    remember_trust(tmp_path, parse("{name: a, model: {source: digits}}"))
    assert not state.exists()


def test_where_nothing_can_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").touch()
    remember_trust(tmp_path, parse(TEXT % "a:b"))
    assert not is_trusted(tmp_path, parse(TEXT % "a:b"))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # which the specification says to ignore
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    remember_trust(tmp_path, parse(TEXT % "a:b"))
    assert len(list((tmp_path / "home" / ".local" / "state" / "foretaste" / "trusted").iterdir())) == 1


def test_an_empty_study(tmp_path: Path) -> None:
    StudyStore.create(tmp_path / "new").close()
    check_stored_recipe(tmp_path / "new")
    assert trust.is_trusted(tmp_path / "new", parse("{name: a, model: {source: digits}}"))
