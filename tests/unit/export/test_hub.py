"""Uploads to a hub on this machine, by the client of the Hugging Face hub, in a process with an address of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretaste.errors import StorageError
from foretaste.export.folder import FACTS
from foretaste.export.hub import check_hub, upload
from hub import Hub, hub

WRONG = {"HF_TOKEN": "hf_wrong"}
CODE = """
import sys
from pathlib import Path
from foretaste.errors import StorageError
from foretaste.export.hub import check_hub, upload
try:
    check_hub(sys.argv[2], overwrite=sys.argv[3] == "overwrite")
    print(upload(Path(sys.argv[1]), sys.argv[2], private=True))
except StorageError as error:
    print(error)
"""


@pytest.fixture
def served() -> Iterator[Hub]:
    with hub() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    (out / FACTS).write_text("{}")
    (out / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    return out


def pushed(served: Hub, folder: Path, name: str, *more: str, **environment: str) -> str:
    env = {**os.environ, **served.environment, **environment}
    done = subprocess.run(
        [sys.executable, "-c", CODE, folder, name, *(more or ("",))],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_a_new_repository_holds_the_folder(served: Hub, folder: Path) -> None:
    assert pushed(served, folder, "mix") == f"{served.address}/ann/mix"
    assert served.files == {"ann/mix": {path.name: path.read_bytes() for path in folder.iterdir()}}
    assert served.private == {"ann/mix": True}


def test_a_repository_of_somebody_else_stays(served: Hub, folder: Path) -> None:
    served.files["ann/mix"] = {"thesis.txt": b"mine"}
    for more in ("", "overwrite"):
        said = pushed(served, folder, "mix", more)
        assert said == "the hub has a repository ann/mix already; foretaste did not write it; choose another name"
    assert served.files == {"ann/mix": {"thesis.txt": b"mine"}}


def test_what_foretaste_wrote_is_replaced_on_request(served: Hub, folder: Path) -> None:
    served.files["team/mix"] = {FACTS: b"{}", "gone.safetensors": b"old"}
    said = pushed(served, folder, "team/mix")
    assert said == "the hub has a repository team/mix already; add --overwrite to give it new files"
    assert pushed(served, folder, "team/mix", "overwrite") == f"{served.address}/team/mix"
    assert set(served.files["team/mix"]) == {FACTS, "adapter_model.safetensors"}


def test_without_a_token(served: Hub, folder: Path, tmp_path: Path) -> None:
    said = pushed(served, folder, "mix", HF_TOKEN="", HF_HOME=str(tmp_path / "home"))
    assert said == "uploading mix needs a token of the hub: log in with 'hf auth login', or set HF_TOKEN"


def test_with_a_wrong_token(served: Hub, folder: Path) -> None:
    said = pushed(served, folder, "mix", **WRONG)
    assert said.startswith("mix cannot be uploaded: ")
    assert "check the name, the token and the network" in said


def test_a_wrong_name(served: Hub, folder: Path) -> None:
    assert "cannot be uploaded: " in pushed(served, folder, "a b")


def test_without_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves run without one."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_ann")
    with pytest.raises(StorageError, match=r"mix cannot be uploaded: .*offline"):
        check_hub("mix")
    with pytest.raises(
        StorageError, match=r"is complete, but could not be uploaded: .*; try again with: hf upload mix"
    ):
        upload(folder, "mix")
