"""What streams tell."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foretaste.store.queue import Kind
from foretaste.store.study import StudyStore
from foretaste.web import feed as module
from foretaste.web.feed import Feed, job_json, list_jobs
from foretaste.web.reading import PreferenceRequest, Reader


async def told(feed: Feed, count: int, start: str = "") -> list[str]:
    """The first events that begin with ``start``."""
    found: list[str] = []
    async for event in feed.stream():
        found += [event] if event.startswith(start) else []
        if len(found) == count:
            break
    return found


async def watched(study: Path, act: Callable[[], None], wakes: list[int] | None = None) -> list[str]:
    feed = Feed(study, Reader(study), lambda: (wakes if wakes is not None else []).append(1))
    watching = asyncio.create_task(feed.watch())
    try:
        first = await asyncio.wait_for(told(feed, 3, "event"), 60)  # reading a study may take longer than a beat
        listening = asyncio.create_task(told(feed, 4))
        await asyncio.sleep(0.1)
        act()
        return [*first, *(await asyncio.wait_for(listening, 60))]
    finally:
        watching.cancel()


def test_jobs_and_the_study_are_told_once_and_again_when_they_change(study: Path) -> None:
    def ask() -> None:
        with StudyStore.open_queue(study) as queue:
            queue.add(Kind.PREVIEW, "low=1")

    *found, last = asyncio.run(watched(study, ask))
    revision = Reader(study).view(PreferenceRequest()).revision
    said = [
        'event: disk\ndata: {"full": false}\n\n',
        "event: jobs\ndata: []\n\n",
        f'event: study\ndata: {{"revision": "{revision}"}}\n\n',
    ]
    assert sorted(found[:3]) == sorted(found[3:]) == said  # whoever comes later hears all of it
    assert json.loads(last.split("data: ")[1])[0]["weights"] == "low=1"


def test_a_study_that_is_gone_ends_every_stream(study: Path) -> None:
    def delete() -> None:
        while study.exists():
            shutil.rmtree(study, ignore_errors=True)

    *_, last = asyncio.run(watched(study, delete))
    assert last.startswith("event: gone")


def test_a_server_that_is_stopped_ends_every_stream(study: Path) -> None:
    async def found() -> str:
        feed = Feed(study, Reader(study), lambda: None, lambda: True)
        watching = asyncio.create_task(feed.watch())
        said = [event async for event in feed.stream()]
        await watching  # it looks no longer
        return said[-1]

    assert asyncio.run(asyncio.wait_for(found(), 60)).startswith("event: leaving")


def test_a_disk_that_is_full_is_told(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill() -> None:
        monkeypatch.setattr(module, "_ROOM", 2**80)

    *_, last = asyncio.run(watched(study, fill))
    assert last == 'event: disk\ndata: {"full": true}\n\n'


def test_a_silent_stream_says_that_it_lives(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEAT", 0.2)
    *_, last = asyncio.run(watched(study, lambda: None))
    assert last == ": still here\n\n"


def test_a_worker_is_looked_after(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAKE", 0.05)
    monkeypatch.setattr(module, "_BEAT", 0.5)
    wakes: list[int] = []
    asyncio.run(watched(study, lambda: None, wakes))
    assert len(wakes) > 3


def test_jobs_as_json(study: Path) -> None:
    with StudyStore.open_queue(study) as queue:
        job = queue.add(Kind.TRAIN, "low=1")
    assert list_jobs(study) == [job_json(job)]
    assert json.loads(json.dumps(job_json(job)))["state"] == "queued"
