"""A worker in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import ENVIRONMENT
from foretaste.errors import StorageError
from foretaste.store.queue import Kind, Queue, State
from foretaste.store.study import StudyStore
from foretaste.web import worker as module
from foretaste.web.worker import Waker, main

HERE = "low=0.2,mid=0.3,high=0.5"


def until(queue: Queue, state: State, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while queue.jobs()[-1].state != state:
        assert time.monotonic() < end, queue.jobs()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_waker_starts_one_worker_which_does_the_jobs(study: Path) -> None:
    waker = Waker(study)
    waker()
    assert waker._process is None  # nothing to do
    with StudyStore.open_queue(study) as queue:
        queue.add(Kind.PREVIEW, HERE)
        waker()
        process = waker._process
        assert process is not None
        waker()
        assert waker._process is process
        until(queue, State.DONE)
        assert queue.has_worker()
        queue.add(Kind.TRAIN, HERE)
        until(queue, State.DONE)
        process.terminate()
        assert process.wait(30) == 0
        queue.add(Kind.PREVIEW, "low=0.5,mid=0.3,high=0.2")
        waker()
        assert waker._process is not process
        until(queue, State.DONE)
        assert waker._process is not None
        waker._process.terminate()
        waker._process.wait(30)


@pytest.mark.slow
def test_a_killed_workers_job_is_done_by_the_next(study: Path) -> None:
    with StudyStore.open_queue(study) as queue:
        queue.add(Kind.TRAIN, HERE)
        first = subprocess.Popen([sys.executable, "-m", "foretaste.web.worker", str(study)], env=ENVIRONMENT)
        while queue.jobs()[0].state == State.QUEUED:
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(30)
        second = subprocess.Popen([sys.executable, "-m", "foretaste.web.worker", str(study)], env=ENVIRONMENT)
        until(queue, State.DONE)
        second.terminate()
        assert second.wait(30) == 0


def test_a_second_worker_leaves_at_once(study: Path) -> None:
    with StudyStore.open_queue(study) as queue, queue.at_work() as alone:
        assert alone
        assert main(study) == 0


def test_a_worker_ends_when_nothing_comes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE", 0.0)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main(study) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_worker_waits_while_the_disk_refuses(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back once there is room, and gives up in the end."""
    monkeypatch.setattr(module, "_FULL", 0.01)
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    tries = list[Path]()

    def full(folder: Path, leaving: object) -> int:
        tries.append(folder)
        if len(tries) == room:
            return 0
        raise StorageError("the study's database refuses (database or disk is full)")

    monkeypatch.setattr(module, "_work", full)
    try:
        room = 3
        assert (main(study), len(tries)) == (0, 3)
        room = 0
        assert main(study) == StorageError.exit_code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_study_that_cannot_be_opened_fails_its_jobs(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    (study / "study.db").write_bytes(b"not a database at all, but long enough to be looked at")
    try:
        with StudyStore.open_queue(study) as queue:
            queue.add(Kind.TRAIN, HERE)
            assert main(study) == 2
            assert queue.jobs()[0].state == State.FAILED
            assert "is not a study's database" in queue.jobs()[0].message
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
