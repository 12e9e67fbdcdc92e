"""A small study of digits, fitted once for all tests of the workflow."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints import checkpoints, offline
from foretaste.plan import Ensemble, Preview
from foretaste.recipe import read
from foretaste.work.context import Watch
from foretaste.workflow.check import check
from foretaste.workflow.fit import fit
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import digits_recipe

__all__ = ["checkpoints", "offline"]


def begun(recipe: Path, folder: Path, watch: Watch | None = None) -> Session:
    plan, text = read(recipe)
    return start(plan, text, check(plan, text, str(recipe))[1], folder, watch, file=str(recipe))


@pytest.fixture(scope="session")
def fitted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workflow")
    session = begun(digits_recipe(folder, finetune_steps="5"), folder / "study")
    with session.study:
        fit(session)
    return folder


@pytest.fixture
def session(fitted_folder: Path, tmp_path: Path) -> Iterator[Session]:
    """At work on a copy of the fitted study."""
    shutil.copytree(fitted_folder, tmp_path / "work")
    found = begun(tmp_path / "work" / "small.yaml", tmp_path / "work" / "study")
    with found.study:
        yield found


@pytest.fixture
def pairs(session: Session) -> Session:
    """The same with two runs per task in ensembles."""
    return replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=2)}))


@pytest.fixture
def tuning(session: Session) -> Session:
    """The same with a prior precision chosen by validation loss."""
    return replace(session, recipe=session.recipe.model_copy(update={"preview": Preview(prior_precision="auto")}))
