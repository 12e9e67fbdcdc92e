"""What every implementation of the queue's port does. A test class inherits these and says how its queue is opened."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from foretaste.errors import StudyError
from foretaste.store.queue import Job, Kind, Queue, State

__all__ = ["Opener", "QueueContract"]

Opener = Callable[[], Queue]


class QueueContract:
    """Tests of one implementation, whose `opener` opens the same queue each time, as another process would."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, opener: Opener) -> Iterator[Opener]:
        """The opener, whose queues are closed in the end."""
        with ExitStack() as stack:
            yield lambda: stack.enter_context(opener())

    def test_jobs_are_done_in_the_order_they_were_asked_for(self, opener: Opener) -> None:
        with opener() as queue:
            first, second = queue.add(Kind.PREVIEW, "a=1"), queue.add(Kind.TRAIN, "a=1")
            assert (first.id, first.state, first.ended) == (1, State.QUEUED, None)
            assert queue.waiting()
            taken = queue.next()
            assert taken == Job(**{**first.__dict__, "state": State.RUNNING})
            queue.progress(1, "previews", 1, 3)
            queue.end(1, State.DONE, "there")
            following = queue.next()
            assert following is not None
            assert following.id == second.id
            assert queue.next() is None
        with opener() as again:
            done, running = again.jobs()
            told = (done.stage, done.done, done.total, done.message, str(done.state))
            assert told == ("previews", 1, 3, "there", "done")
            assert done.ended is not None
            assert running.state == State.RUNNING

    def test_the_same_work_is_not_asked_for_twice_while_it_is_open(self, opened: Opener) -> None:
        queue = opened()
        first = queue.add(Kind.TRAIN, "a=1")
        assert queue.add(Kind.TRAIN, "a=1") == first
        assert queue.add(Kind.TRAIN, "a=0.5,b=0.5").id != first.id
        queue.end(first.id, State.DONE)
        assert queue.add(Kind.TRAIN, "a=1").id not in (first.id, 2)

    def test_the_same_work_is_one_job_however_many_ask_at_once(self, opener: Opener) -> None:
        opener().close()
        together = Barrier(8)

        def ask(place: int) -> int:
            with opener() as queue:
                together.wait()
                return queue.add(Kind.TRAIN, "a=1").id

        with ThreadPoolExecutor(8) as threads:
            for _ in range(5):
                assert len(set(threads.map(ask, range(8)))) == 1
            with opener() as queue:
                assert len(queue.jobs()) == 1
                taken = list(threads.map(lambda place: queue.next(), range(8)))
                assert len([job for job in taken if job is not None]) == 1

    def test_cancelling(self, opened: Opener) -> None:
        queue = opened()
        waiting, running = queue.add(Kind.TRAIN, "a=1"), queue.add(Kind.PREVIEW, "a=1")
        cancelled = queue.cancel(waiting.id)
        assert cancelled is not None
        assert cancelled.state == State.CANCELLED
        assert queue.next() is not None
        assert not queue.stopping(running.id)
        stopping = queue.cancel(running.id)
        assert stopping is not None
        assert stopping.state == State.STOPPING
        assert queue.stopping(running.id)
        assert queue.stopping(99)
        assert queue.cancel(99) is None
        queue.end(running.id, State.DONE)
        ended = queue.cancel(running.id)
        assert ended is not None
        assert ended.state == State.DONE
        assert not queue.waiting()

    def test_work_that_is_being_stopped_can_be_asked_for_again(self, opened: Opener) -> None:
        queue = opened()
        first = queue.add(Kind.TRAIN, "a=1")
        queue.next()
        queue.cancel(first.id)
        assert queue.add(Kind.TRAIN, "a=1").id != first.id

    def test_a_limit(self, opened: Opener) -> None:
        queue = opened()
        queue.add(Kind.TRAIN, "a=1", most=1)
        with pytest.raises(StudyError, match="1 jobs are waiting"):
            queue.add(Kind.PREVIEW, "a=1", most=1)

    def test_one_worker_at_a_time_and_what_a_dead_one_left(self, opened: Opener) -> None:
        queue, other = opened(), opened()
        left, stopping = queue.add(Kind.TRAIN, "a=1"), queue.add(Kind.PREVIEW, "a=1")
        queue.next()
        queue.next()
        queue.cancel(stopping.id)
        assert not queue.has_worker()
        with queue.at_work() as alone:
            assert alone
            assert [job.state for job in queue.jobs()] == [State.QUEUED, State.CANCELLED]
            assert other.has_worker()
            with other.at_work() as second:
                assert not second
            assert other.next() is not None
            queue.requeue(left.id)
            assert queue.jobs()[0].state == State.QUEUED
        assert not other.has_worker()

    def test_a_job_that_is_queued_again_begins_anew(self, opened: Opener) -> None:
        queue = opened()
        job = queue.add(Kind.TRAIN, "a=1")
        queue.next()
        queue.progress(job.id, "joint runs", 3, 9)
        queue.requeue(job.id)
        assert queue.jobs() == [job]

    def test_the_last_jobs_and_all_open_ones_are_listed(self, opened: Opener) -> None:
        queue = opened()
        for place in range(5):
            queue.add(Kind.PREVIEW, f"a={place}")
        for number in (2, 3, 4):
            queue.end(number, State.DONE)
        assert [job.id for job in queue.jobs(last=2)] == [1, 4, 5]
