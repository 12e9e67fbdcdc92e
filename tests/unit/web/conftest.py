"""A small finished study of digits, copied for every test that changes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from commands import foretaste
from foretaste.web.app import create_app
from foretaste.web.guard import Rules
from problems import digits_recipe

TOKEN = "a" * 32
HOST = "testserver"
RULES = Rules(TOKEN, frozenset({HOST}), open_reading=True)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    recipe = digits_recipe(folder, finetune_steps="5", preview_points="6", preview_methods="[simple]", joint_points="1")
    assert foretaste("run", recipe, "--study", folder / "study").code == 0
    return folder / "study"


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


@pytest.fixture
def woken() -> list[str]:
    """An entry for every time a worker was asked for."""
    return []


@pytest.fixture
def client(study: Path, woken: list[str]) -> Iterator[TestClient]:
    with TestClient(create_app(study, RULES, lambda: woken.append("woken"))) as found:
        yield found


@pytest.fixture
def trusted(client: TestClient) -> TestClient:
    client.headers["x-foretaste-token"] = TOKEN
    return client
