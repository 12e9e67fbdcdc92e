"""A small study that a command made, for the tests of commands."""

from pathlib import Path

import pytest

from commands import foretaste
from problems import digits_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small recipe, small.yaml, and its finished study."""
    folder = tmp_path_factory.mktemp("cli")
    recipe = digits_recipe(folder, finetune_steps="5", preview_points="3", joint_points="1")
    assert foretaste("run", recipe, "--study", folder / "study").code == 0
    return folder
