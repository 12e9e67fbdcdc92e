"""A process of its own, and every way in which it ends."""

import os
import signal
import threading
import time
from multiprocessing import active_children

import pytest

from foretaste.errors import RunFailed, WeightsError
from foretaste.web.process import WorkerProcess
from foretaste.weights import TaskWeights


def test_answers_come_from_one_other_process() -> None:
    apart = WorkerProcess(os.getpid)
    first = apart()
    assert first == apart() != os.getpid()
    apart.close()
    assert active_children() == []
    with pytest.raises(RunFailed, match="is being stopped"):
        apart()


def test_errors_are_those_of_the_function() -> None:
    apart = WorkerProcess(TaskWeights.parse)
    with pytest.raises(WeightsError, match="unknown task 'c'") as told:
        apart("c=1", ("a", "b"))
    assert "in parse" in told.value.__notes__[0]  # where it was raised
    assert apart("a=1", tasks=("a", "b")) == TaskWeights.parse("a=1", ("a", "b"))
    apart.close()


def test_one_that_dies_is_started_again() -> None:
    apart = WorkerProcess(os.getpid)
    os.kill(first := apart(), signal.SIGKILL)
    with pytest.raises(RunFailed, match="has died"):
        apart()
    assert apart() != first
    apart.close()


def test_it_does_not_hear_what_a_terminal_tells_everyone() -> None:
    apart = WorkerProcess(os.getpid)
    os.kill(number := apart(), signal.SIGINT)
    assert apart() == number
    apart.close()


def test_closing_does_not_wait_for_what_it_is_at() -> None:
    apart, failed = WorkerProcess(time.sleep), list[RunFailed]()

    def ask() -> None:
        with pytest.raises(RunFailed, match="is being stopped") as found:
            apart(600)
        failed.append(found.value)

    thread = threading.Thread(target=ask)
    thread.start()
    while not active_children():
        time.sleep(0.01)
    apart.close()
    thread.join(10)
    assert len(failed) == 1


def test_one_that_was_never_asked_is_closed() -> None:
    WorkerProcess(os.getpid).close()
    assert active_children() == []
