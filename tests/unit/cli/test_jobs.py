"""What `foretaste ask --to` does before it opens a model, and what it says."""

from pathlib import Path

import pytest

from foretaste.cli.jobs import ask_jobs
from foretaste.errors import BadInput
from problems import digits_recipe
from swarms import swarm


def test_a_study_without_a_recipe_has_no_jobs(tmp_path: Path) -> None:
    swarm(tmp_path / "s").close()
    with pytest.raises(BadInput, match="has no recipe"):
        ask_jobs(tmp_path / "s", tmp_path / "mix", "trl", 1, None, None, None, pending=False, as_json=False)
    assert not (tmp_path / "mix").exists()


def test_a_model_that_the_trainer_cannot_train_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput):
        ask_jobs(digits_recipe(tmp_path), tmp_path / "mix", "trl", 1, None, None, None, pending=False, as_json=False)
    assert not (tmp_path / "mix").exists()
