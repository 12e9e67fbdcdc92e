"""A function that runs in a process of its own, one call at a time.

Unlike a pool, the process can be ended while it works, leaves nothing behind, and is started again if it dies.
"""

import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Generic, ParamSpec, TypeVar

from foretaste.errors import RunFailed
from foretaste.processes import without_interrupts

__all__ = ["WorkerProcess"]

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class WorkerProcess(Generic[_Arguments, _Answer]):
    """Calls a function in another process, which starts with the first call; safe to call from several threads.

    Args:
        work: The function. It can be imported, and its arguments, results and errors can be pickled.

    >>> process = WorkerProcess(divmod)
    >>> process.close()
    """

    def __init__(self, work: Callable[_Arguments, _Answer]) -> None:
        self._work, self._closed = work, False
        self._calling, self._changing = (
            threading.Lock(),
            threading.Lock(),
        )  # one call at a time; start or end the process
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        """Return what the function returns; raise what it raises.

        Raises:
            RunFailed: It is closed, or the process has died; the next call starts another one.
        """
        with self._calling:
            line = self._open()
            try:
                line.send((args, kwargs))
                answer, error = line.recv()
            except (EOFError, OSError) as broken:
                self._line = None
                raise RunFailed(_ENDED if self._closed else _DIED) from broken
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process whatever it is doing; waiting and later calls fail."""
        with self._changing:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def _open(self) -> Connection:
        with self._changing:
            if self._closed:
                raise RunFailed(_ENDED)
            if self._line is None:
                context = get_context("spawn")
                self._line, theirs = context.Pipe()
                self._process = context.Process(target=_answer_calls, args=(theirs, self._work), daemon=True)
                with without_interrupts():
                    self._process.start()
                theirs.close()
            return self._line


_ENDED = "the server is being stopped"
_DIED = "the process that prepares the page has died, perhaps for lack of memory; it is started again"


def _answer_calls(line: Connection, work: Callable[..., object]) -> None:
    """Answer calls until the other end is closed."""
    with suppress(EOFError, OSError):
        while True:
            args, kwargs = line.recv()
            try:
                answer, failed = work(*args, **kwargs), None
            except Exception as error:  # whatever it is, the caller gets it
                error.add_note(traceback.format_exc())
                answer, failed = None, error
            line.send((answer, failed))
