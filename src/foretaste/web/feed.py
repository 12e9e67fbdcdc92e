"""The feed: polls the queue and the study once for everyone who listens."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from shutil import disk_usage

from starlette.concurrency import run_in_threadpool

from foretaste.errors import ForetasteError
from foretaste.report.json import plain
from foretaste.store.queue import Job
from foretaste.store.study import StudyStore
from foretaste.web.reading import Reader

__all__ = ["Feed", "job_json", "list_jobs"]

_NAMES = ("jobs", "study", "disk", "gone", "leaving")
_LAST = frozenset({"gone", "leaving"})  # after these nothing else is sent
_EVERY = 0.3  # seconds between two checks
_ROOM = 2**20  # bytes; with less the disk is as good as full
_WAKE = 2.0  # seconds between two checks whether a worker is needed
_BEAT = 15.0  # after which a silent stream says that it lives


class Feed:
    """Polls the study while the server runs, and sends every stream what is new.

    Args:
        folder: The study's.
        reader: Refreshed before a change of the study is announced.
        wake: Sees to it that a worker does the queue's jobs.
        leaving: Whether the server is being stopped.
    """

    def __init__(
        self, folder: Path, reader: Reader, wake: Callable[[], None], leaving: Callable[[], bool] = lambda: False
    ) -> None:
        self._folder, self._reader, self._wake, self._leaving = folder, reader, wake, leaving
        self._news, self._changed = dict[str, str](), asyncio.Condition()

    async def watch(self) -> None:
        """Poll until cancelled, or until the study is gone or the server is stopped."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(_EVERY, self._look_at_server))
            tasks.create_task(self._poll(_EVERY, self._look_at_jobs))
            tasks.create_task(self._poll(_EVERY, self._look_at_study))
            tasks.create_task(self._poll(_EVERY, self._look_at_disk))
            tasks.create_task(self._poll(_WAKE, lambda: run_in_threadpool(self._wake)))

    async def _poll(self, every: float, check: Callable[[], Awaitable[None]]) -> None:
        while _LAST.isdisjoint(self._news):
            try:
                await check()
            except (ForetasteError, OSError):
                if not StudyStore.exists(self._folder):
                    error = f"{self._folder} is not a study any more: it was moved or deleted"
                    await self._tell("gone", json.dumps({"error": error}))
            await asyncio.sleep(every)

    async def _look_at_server(self) -> None:
        if self._leaving():
            await self._tell("leaving", "{}")

    async def _look_at_disk(self) -> None:
        room = await run_in_threadpool(disk_usage, self._folder)
        await self._tell("disk", json.dumps({"full": room.free < _ROOM}))

    async def _look_at_jobs(self) -> None:
        await self._tell("jobs", json.dumps(await run_in_threadpool(list_jobs, self._folder)))

    async def _look_at_study(self) -> None:
        if await run_in_threadpool(self._reader.revision) != self._news.get("revision"):
            self._news["revision"] = await run_in_threadpool(self._reader.refresh_all)
            await self._tell("study", json.dumps({"revision": self._news["revision"]}))

    async def _tell(self, name: str, data: str) -> None:
        if self._news.get(name) != data:
            async with self._changed:
                self._news[name] = data
                self._changed.notify_all()

    async def stream(self) -> AsyncIterator[str]:
        """Stream the news as server-sent events.

        ``jobs`` has the list, ``study`` the revision, ``disk`` whether it is full; ``gone`` (the study is) and
        ``leaving`` (the server is) end the stream.
        """
        sent: dict[str, str] = {}
        while _LAST.isdisjoint(sent):
            news = {name: self._news[name] for name in _NAMES if self._news.get(name) != sent.get(name)}
            for name, data in news.items():
                yield f"event: {name}\ndata: {data}\n\n"
            sent |= news
            if not news:
                try:
                    async with self._changed:
                        await asyncio.wait_for(self._changed.wait(), _BEAT)
                except TimeoutError:
                    yield ": still here\n\n"


def list_jobs(folder: Path) -> list[Mapping[str, object]]:
    """List the queue's jobs, ready for `json.dumps`.

    Raises:
        StudyError: The folder is no study.
    """
    with StudyStore.open_queue(folder) as queue:
        return [job_json(job) for job in queue.jobs()]


def job_json(job: Job) -> Mapping[str, object]:
    """A job, ready for `json.dumps`."""
    return {name: str(value) if name in ("kind", "state") else plain(value) for name, value in asdict(job).items()}
