"""The worker: a process that does a study's jobs, and ends when none is left for a while.

It outlives the server that started it, and the page; a second worker of the same study ends at once.
"""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from foretaste.engines.here import Here
from foretaste.errors import ForetasteError, StorageError
from foretaste.store.queue import State
from foretaste.store.study import StudyStore
from foretaste.study.study import Study
from foretaste.web.jobs import do_waiting_jobs
from foretaste.workflow.reopen import reopen

__all__ = ["Waker", "main"]

_IDLE = 30.0  # seconds without a job after which the worker ends
_POLL_SECONDS = 0.3
_FULL = 2.0  # seconds between two attempts while the disk is full
_PATIENCE = 600.0  # with a full disk


class Waker:
    """Starts a worker where jobs wait and none is alive.

    Args:
        folder: The study's.
        trust: Whether the study's recipe may run code, whoever made the study.
    """

    def __init__(self, folder: Path, *, trust: bool = False) -> None:
        self._folder, self._trust, self._lock = folder, trust, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        with self._lock, StudyStore.open_queue(self._folder) as queue:
            if self._process is not None and self._process.poll() is not None:
                self._process = None
            if self._process is None and queue.waiting() and not queue.has_worker():
                command = [
                    sys.executable,
                    "-m",
                    "foretaste.web.worker",
                    str(self._folder),
                    *(["--trust"] if self._trust else []),
                ]
                none = subprocess.DEVNULL
                self._process = subprocess.Popen(  # noqa: S603 (ourselves)
                    command, stdin=none, stdout=none, start_new_session=True
                )


def main(folder: Path, *, trust: bool = False) -> int:
    """Do jobs until none has been waiting for a while.

    SIGTERM stops after the step in hand, and the job goes on with the next worker. Where the disk refuses even to note
    down how a job ended, it is done again once there is room.
    """
    leaving = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        leaving.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    last = time.monotonic() + _PATIENCE
    while True:
        try:
            return _work(folder, leaving, trust=True) if trust else _work(folder, leaving)
        except StorageError as error:
            if leaving.wait(_FULL) or time.monotonic() > last:
                return error.exit_code


def _work(folder: Path, leaving: threading.Event, *, trust: bool = False) -> int:
    with StudyStore.open_queue(folder) as queue, queue.at_work() as alone:
        if not alone:
            return 0
        try:
            study = Study.of(reopen(folder, trust=trust, engine=Here()))
        except ForetasteError as error:
            while job := queue.next():
                queue.end(job.id, State.FAILED, str(error))
            return error.exit_code
        with study:
            last = time.monotonic()
            while not leaving.is_set() and time.monotonic() - last < _IDLE:
                if do_waiting_jobs(study, queue, leaving.is_set):
                    last = time.monotonic()
                leaving.wait(_POLL_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), trust="--trust" in sys.argv[2:]))
