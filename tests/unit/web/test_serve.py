"""The server, in a thread or a process of its own, asked over a real socket."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn

from commands import ENVIRONMENT
from disks import read_only
from earlier import earlier_study
from foretaste.errors import StudyError
from foretaste.store.study import StudyStore
from foretaste.store.tables import SCHEMA
from foretaste.web import serve as module
from foretaste.web.serve import serve


def _served(study: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, uvicorn.Server, threading.Thread]:
    servers: list[uvicorn.Server] = []

    class Kept(module._Server):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            servers.append(self)

    monkeypatch.setattr(module, "_Server", Kept)
    addresses: list[str] = []
    thread = threading.Thread(target=serve, args=(study, host, 0, addresses.append), daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not addresses:
        assert time.monotonic() < end
        time.sleep(0.05)
    return addresses[0], servers[0], thread


@pytest.mark.parametrize("writable", [True, False])
def test_a_study_of_an_earlier_version_is_moved_where_the_disk_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    study = earlier_study(tmp_path)
    with nullcontext() if writable else read_only(study):
        address, server, thread = _served(study, "127.0.0.1", monkeypatch)
        assert httpx.get(address).status_code == 200
        server.should_exit = True
        thread.join(15)
    with sqlite3.connect(study / "study.db") as connection:
        assert connection.execute("SELECT schema FROM study").fetchone() == (SCHEMA if writable else 1,)
    connection.close()


def test_the_printed_address_opens_the_page(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, server, thread = _served(study, "127.0.0.1", monkeypatch)
    base, token = address.split("/?token=")
    assert base.startswith("http://127.0.0.1:")
    assert httpx.get(address).status_code == 200
    assert httpx.get(f"{base}/api/state").status_code == 200  # this machine may read
    assert httpx.post(f"{base}/api/jobs").status_code == 401
    assert httpx.get(base, headers={"host": "evil.example"}).status_code == 421
    with httpx.stream("GET", f"{base}/api/events?token={token}") as stream:
        first = next(stream.iter_text())
        assert "event: jobs" in first
        server.should_exit = True
    thread.join(15)
    assert not thread.is_alive()


def test_where_others_can_ask_everything_needs_the_token(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, server, thread = _served(study, "0.0.0.0", monkeypatch)  # noqa: S104
    port, token = address.removeprefix("http://0.0.0.0:").split("/?token=")
    base = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{base}/api/state").status_code == 401
    assert httpx.get(f"{base}/static/explore.js").status_code == 200  # a browser asks for it without the token
    assert httpx.get(f"{base}/").status_code == 401
    assert httpx.get(f"{base}/api/state", params={"token": token}).status_code == 200
    server.should_exit = True
    thread.join(15)


def test_the_printed_address_of_ipv6(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    address, server, thread = _served(study, "::1", monkeypatch)
    assert address.startswith("http://[::1]:")
    assert httpx.get(address).status_code == 200
    assert httpx.get(address, headers={"host": "evil.example"}).status_code == 421
    server.should_exit = True
    thread.join(15)


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_address_is_not_every_address(study: Path, host: str) -> None:
    with pytest.raises(StudyError, match=r"--host is empty; name an address to listen on, such as 127\.0\.0\.1"):
        serve(study, host, 0, lambda address: None)


@pytest.mark.parametrize("host", ["0.0.0.0", "203.0.113.7", "example.org"])  # noqa: S104
def test_a_page_that_other_machines_reach_is_not_framed(
    study: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    listened: list[str] = []
    monkeypatch.setattr(module, "_listen", lambda host, port: listened.append(host))
    with pytest.raises(StudyError, match=r"^--framed is for this machine alone; leave out --host$"):
        serve(study, host, 0, lambda address: None, framed=True)
    assert listened == []


def test_an_address_that_is_taken(study: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StudyError, match="name others with --host and --port"),
    ):
        serve(study, "127.0.0.1", taken.getsockname()[1], lambda address: None)
    with pytest.raises(StudyError, match=r"cannot listen on 203\.0\.113\.7"):
        serve(study, "203.0.113.7", 0, lambda address: None)


def test_this_machines_own_addresses() -> None:
    assert all(module._is_local(host) for host in ("127.0.0.1", "localhost", "::1"))
    assert not any(module._is_local(host) for host in ("0.0.0.0", "192.168.0.1", "example.org"))  # noqa: S104


def _below(number: int) -> set[int]:
    """The processes that a process started, and those that they did."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    own = {child for child, parent in parents.items() if parent == number}
    return own.union(*(_below(child) for child in own))


def _command(number: int) -> str:
    """Of a process; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{number}/cmdline").read_text()
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kill", [os.kill, os.killpg])  # as `kill` does, and as a terminal does
def test_a_signal_ends_the_server_and_not_the_work(
    study: Path, tmp_path: Path, number: int, kill: Callable[[int, int], None]
) -> None:
    command, said = [sys.executable, "-m", "foretaste", "explore", str(study), "--no-open", "--json"], tmp_path / "said"
    with said.open("wb") as errors, StudyStore.open_queue(study) as queue:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT, start_new_session=True
        )
        assert process.stdout is not None
        with process.stdout as printed:
            address = json.loads(printed.readline())["address"]
        with httpx.stream("GET", address.replace("/?", "/api/events?")) as stream:
            text = stream.iter_text()
            assert "event: " in next(text)
            base, token = address.split("/?token=")
            asked = {"kind": "train", "weights": "low=0.6,mid=0.2,high=0.2"}
            assert httpx.post(f"{base}/api/jobs", json=asked, headers={"x-foretaste-token": token}).status_code == 202
            while not queue.has_worker():
                time.sleep(0.05)
            children = _below(process.pid)
            kill(process.pid, number)
            end = time.monotonic() + 5
            assert "event: leaving" in "".join(text)  # to its end
        assert process.wait(max(0, end - time.monotonic())) == 0
    while [found for each in children if (found := _command(each)) and "foretaste.web.worker" not in found]:
        assert time.monotonic() < end
        time.sleep(0.05)
    (worker,) = [each for each in children if _command(each)]
    os.kill(worker, signal.SIGKILL)
    assert said.read_text() == ""
