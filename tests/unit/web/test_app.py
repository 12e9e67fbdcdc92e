"""The routes, asked without a browser."""

import json
import shutil
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from foretaste.errors import StudyError
from foretaste.store.queue import Kind, State
from foretaste.store.study import StudyStore
from foretaste.web.app import create_app
from foretaste.web.guard import HEADER, Rules
from foretaste.web.reading import Reader

TOKEN = "a" * 32
RULES = Rules(TOKEN, frozenset({"testserver"}), open_reading=True)
EVEN = "low=0.2,mid=0.3,high=0.5"


def test_the_page_holds_the_state_and_no_script_of_its_own(client: TestClient) -> None:
    text = client.get("/").text
    assert "<body data-live>" in text
    assert '<script src="/static/explore.js"></script>' in text
    assert '"name": "small digits"' in text.split('id="state">')[1]
    scripts = [part.split(">")[0] for part in text.split("<script")[1:]]
    assert all("src=" in part or "application/json" in part for part in scripts)


@pytest.mark.parametrize("name", ["plotly.js", "simplex.js", "map.js", "explore.js"])
def test_scripts_are_served(client: TestClient, name: str) -> None:
    found = client.get(f"/static/{name}")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/static/page.html",
        "/static/..%2Fapp.py",
        "/static/%2Fetc%2Fpasswd",
        "/../etc/passwd",
        "/study.db",
        "/api/nothing",
    ],
)
def test_nothing_else_is(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_state_follows_the_wish(client: TestClient) -> None:
    usual = client.get("/api/state").json()
    assert usual["preference"]["kind"] == "mean"
    assert usual["prediction"]["resolution"] == 40
    assert len(usual["prediction"]["median"]) == 861
    wished = json.loads(_when_ready(client, "/api/state", prefer="worst", floor=["all>=10%", "low>=0.1"]))
    assert wished["preference"]["kind"] == "worst"
    assert len(wished["recommendation"]["floors"]) == 2
    assert json.loads(_when_ready(client, "/api/state", floor=""))["floors"] == []
    assert "the worst task" in _when_ready(client, "/api/sections", prefer="worst")


def _when_ready(client: TestClient, path: str, **params: str | list[str]) -> str:
    """Ask until the answer is no longer provisional."""
    while (answer := client.get(path, params=params)).status_code == 202:
        assert path != "/api/state" or answer.json()["pending"]
    assert answer.status_code == 200
    return str(answer.text)


@pytest.mark.parametrize("query", [{"prefer": "best"}, {"floor": "nonsense"}, {"prefer": "<script>"}])
def test_a_wish_that_is_not_understood(client: TestClient, query: dict[str, str]) -> None:
    for path in ("/api/state", "/api/sections", "/"):
        found = client.get(path, params=query)
        assert found.status_code == 400
        assert "is not understood" in found.json()["error"]


def test_predictions_at_any_weights(client: TestClient) -> None:
    found = client.get("/api/predict", params={"weights": [EVEN, "low=1"]}).json()
    assert found["weights"] == [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]
    assert all(
        low <= middle <= high
        for low, middle, high in zip(found["low"][0], found["median"][0], found["high"][0], strict=True)
    )


@pytest.mark.parametrize("query", [{}, {"weights": "low=2"}, {"weights": "other=1"}, {"weights": ["low=1"] * 201}])
def test_predictions_that_cannot_be_made(client: TestClient, query: dict[str, str]) -> None:
    assert client.get("/api/predict", params=query).status_code == 400


def test_work_is_asked_for_cancelled_and_listed(trusted: TestClient, woken: list[str]) -> None:
    first = trusted.post("/api/jobs", json={"kind": "train", "weights": EVEN})
    assert first.status_code == 202
    assert "woken" in woken
    assert first.json()["state"] == "queued"
    assert trusted.post("/api/jobs", json={"kind": "train", "weights": EVEN}).json()["id"] == first.json()["id"]
    other = trusted.post("/api/jobs", json={"kind": "preview", "weights": EVEN}).json()["id"]
    assert trusted.delete(f"/api/jobs/{first.json()['id']}").json()["state"] == "cancelled"
    assert [(job["id"], job["state"]) for job in trusted.get("/api/jobs").json()] == [
        (first.json()["id"], "cancelled"),
        (other, "queued"),
    ]
    assert trusted.delete("/api/jobs/99").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"kind": "train"}',
        b'{"kind": "delete", "weights": "low=1"}',
        b'{"kind": "train", "weights": "../../x=1"}',
        b"\xff",
        b'{"kind": ["train"], "weights": "low=1"}',
        b'{"kind": {"train": 1}, "weights": "low=1"}',
        b'{"kind": "train", "weights": ' + b"9" * 5000 + b"}",
        b"[" * 8000,
        b'{"a":' * 3000,
    ],
)
def test_work_that_makes_no_sense(trusted: TestClient, body: bytes) -> None:
    found = trusted.post("/api/jobs", content=body)
    assert found.status_code == 400
    assert found.json()["error"]
    assert trusted.get("/api/jobs").json() == []


@pytest.mark.parametrize("number", ["9223372036854775807", "9223372036854775808", "9" * 5000, "-1", "1.5", "²", "x"])
def test_jobs_that_cannot_be(trusted: TestClient, number: str) -> None:
    found = trusted.delete(f"/api/jobs/{number}")
    assert found.status_code == 404
    assert found.json() == {"error": "there is no such job"}


def test_waiting_jobs_are_not_started_by_a_look(study: Path, reader: Reader) -> None:
    """They start with the first work that is asked for, or where the server is told to go on with them."""
    woken = list[str]()
    with StudyStore.open_queue(study) as queue:
        queue.add(Kind.TRAIN, EVEN)
    with TestClient(create_app(study, RULES, lambda: woken.append("woken"), reader)) as client:
        client.get("/")
        time.sleep(3)  # longer than the feed waits between two looks
        assert woken == []
        client.post("/api/jobs", json={"kind": "train", "weights": EVEN}, headers={HEADER: TOKEN})
        assert len(client.get("/api/jobs").json()) == 1
        assert woken
    woken.clear()
    with TestClient(create_app(study, RULES, lambda: woken.append("woken"), reader, resume=True)) as client:
        client.get("/")
        assert woken


def test_work_that_may_not_be_asked_for(study: Path, reader: Reader) -> None:
    def check() -> None:
        raise StudyError("the study runs code that is not trusted")

    with TestClient(create_app(study, RULES, lambda: None, reader, check_asking=check)) as client:
        found = client.post("/api/jobs", json={"kind": "train", "weights": EVEN}, headers={HEADER: TOKEN})
        assert (found.status_code, found.json()) == (400, {"error": "the study runs code that is not trusted"})
        assert client.get("/api/jobs").json() == []


@pytest.mark.parametrize("query", [{"floor": ["low>=0.1"] * 101}, {"floor": "x" * 1001}, {"prefer": "x" * 1001}])
def test_wishes_have_bounds(client: TestClient, query: dict[str, str]) -> None:
    found = client.get("/api/state", params=query)
    assert found.status_code == 400
    assert "at most 100 floors" in found.json()["error"]


def test_the_queue_is_of_limited_length(trusted: TestClient, study: Path) -> None:
    with StudyStore.open_queue(study) as queue:
        for place in range(100):
            queue.add(Kind.PREVIEW, f"low={place / 200},mid=0,high={1 - place / 200}")
    found = trusted.post("/api/jobs", json={"kind": "train", "weights": EVEN})
    assert found.status_code == 400
    assert "100 jobs are waiting" in found.json()["error"]


def test_without_the_token_nothing_is_asked_for(client: TestClient, study: Path) -> None:
    assert client.post("/api/jobs", json={"kind": "train", "weights": EVEN}).status_code == 401
    assert client.delete("/api/jobs/1").status_code == 401
    assert client.get("/api/jobs").json() == []


def test_a_study_that_is_deleted_is_told(client: TestClient, study: Path) -> None:
    assert client.get("/api/state").status_code == 200
    while study.exists():  # the server looks into it meanwhile
        shutil.rmtree(study, ignore_errors=True)
    for path in ("/api/jobs", "/api/state?prefer=worst"):
        found = client.get(path)
        assert found.status_code == 400
        assert "is not a study" in found.json()["error"]
    assert client.get("/").status_code == 200  # the last that was read
    with client.stream("GET", "/api/events") as stream:
        assert "event: gone" in "".join(stream.iter_text())


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a study"):
        create_app(tmp_path, Rules("t", frozenset(), open_reading=True), lambda: None)


def test_names_cannot_break_out_of_the_page(client: TestClient, study: Path) -> None:
    with StudyStore.open_queue(study) as queue:
        job = queue.add(Kind.TRAIN, EVEN)
        queue.end(job.id, State.FAILED, "</script><img src=x onerror=alert(1)>")
    assert json.loads(client.get("/api/jobs").text)[0]["message"].startswith("</script>")
    assert "<img" not in client.get("/").text
