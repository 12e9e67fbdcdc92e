"""A small finished study of digits, copied for every test that changes it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from commands import foretaste
from foretaste.store.study import StudyStore
from foretaste.web.app import create_app
from foretaste.web.guard import Rules
from foretaste.web.reading import PreferenceRequest, Reader, StudyView, view_study
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


@pytest.fixture(scope="session")
def view_once() -> Callable[[Path, PreferenceRequest], StudyView]:
    """A function that works out the view of equal copies of a study once."""
    views = dict[tuple[str, PreferenceRequest], StudyView]()

    def view(folder: Path, request: PreferenceRequest) -> StudyView:
        with StudyStore.open(folder) as study:
            place = (study.revision(), request)
        if place not in views:
            views[place] = view_study(folder, request)
        return views[place]

    return view


@pytest.fixture
def reader(study: Path, view_once: Callable[[Path, PreferenceRequest], StudyView]) -> Reader:
    return Reader(study, view_once)


@pytest.fixture
def client(study: Path, woken: list[str], reader: Reader) -> Iterator[TestClient]:
    with TestClient(create_app(study, RULES, lambda: woken.append("woken"), reader)) as found:
        yield found


@pytest.fixture
def trusted(client: TestClient) -> TestClient:
    client.headers["x-foretaste-token"] = TOKEN
    return client
