from pathlib import Path

import pytest

from foretaste.errors import RecipeError
from foretaste.workflow.example import small_study
from foretaste.workflow.fit import fit


def test_an_example_is_a_study_whose_training_is_one_step() -> None:
    with small_study() as session:
        assert session.training_of("low").steps == session.joint_training.steps == 1
        assert len(fit(session)["low"].run.result["history"]) == 1


def test_parts_of_the_recipe_are_taken() -> None:
    with small_study("preview: {points: 3}, seed: 4") as session:
        assert (session.recipe.preview.points, session.recipe.seed) == (3, 4)
    with pytest.raises(RecipeError, match="poinst"), small_study("preview: {poinst: 3}"):
        pass


def test_nothing_is_left_behind() -> None:
    with small_study("") as session:
        folder: Path = session.study.path
        assert folder.is_dir()
    assert not folder.exists()
