"""The port is one that another store than a database can implement: a list passes its contract."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import pytest

from contracts.queue import Opener, QueueContract
from foretaste.errors import StudyError
from foretaste.store.queue import Job, Kind, Queue, State


def test_states_that_have_not_ended() -> None:
    assert {state for state in State if state.open} == {State.QUEUED, State.RUNNING, State.STOPPING}


@dataclass
class _Memory:
    jobs: list[Job] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    worker: Lock = field(default_factory=Lock)


class _MemoryQueue(Queue):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def close(self) -> None:
        pass

    def add(self, kind: Kind, weights: str, most: int = 100) -> Job:
        with self._memory.lock:
            waiting = [job for job in self._memory.jobs if job.state.open]
            for job in waiting:
                if (job.kind, job.weights) == (kind, weights) and job.state != State.STOPPING:
                    return job
            if len(waiting) >= most:
                raise StudyError(f"{len(waiting)} jobs are waiting")
            number = len(self._memory.jobs) + 1
            self._memory.jobs.append(Job(number, kind, weights, State.QUEUED, "", 0, 0, "", "now", None))
            return self._memory.jobs[-1]

    def jobs(self, last: int = 50) -> list[Job]:
        jobs = list(self._memory.jobs)
        return [job for place, job in enumerate(jobs) if job.state.open or place >= len(jobs) - last]

    def next(self) -> Job | None:
        with self._memory.lock:
            waiting = [job for job in self._memory.jobs if job.state == State.QUEUED]
            return self._change(waiting[0].id, lambda job: replace(job, state=State.RUNNING)) if waiting else None

    def progress(self, number: int, stage: str, done: int, total: int) -> None:
        self._change(number, lambda job: replace(job, stage=stage, done=done, total=total))

    def end(self, number: int, state: State, message: str = "") -> None:
        self._change(number, lambda job: replace(job, state=state, message=message, ended="now"))

    def requeue(self, number: int) -> None:
        self._change(number, lambda job: replace(job, state=State.QUEUED, stage="", done=0, total=0))

    def cancel(self, number: int) -> Job | None:
        if number > len(self._memory.jobs):
            return None
        following = {State.QUEUED: State.CANCELLED, State.RUNNING: State.STOPPING}
        return self._change(number, lambda job: replace(job, state=following.get(job.state, job.state)))

    def stopping(self, number: int) -> bool:
        return number > len(self._memory.jobs) or self._memory.jobs[number - 1].state == State.STOPPING

    @contextmanager
    def at_work(self) -> Iterator[bool]:
        alone = self._memory.worker.acquire(blocking=False)
        following = {State.RUNNING: State.QUEUED, State.STOPPING: State.CANCELLED}
        for each in self.jobs() if alone else []:
            self._change(each.id, lambda job: replace(job, state=following.get(job.state, job.state)))
        try:
            yield alone
        finally:
            if alone:
                self._memory.worker.release()

    def has_worker(self) -> bool:
        return self._memory.worker.locked()

    def _change(self, number: int, change: Callable[[Job], Job]) -> Job:
        self._memory.jobs[number - 1] = job = change(self._memory.jobs[number - 1])
        return job


class TestMemory(QueueContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        memory = _Memory()
        return lambda: _MemoryQueue(memory)
