"""Work in a process of its own: one question at a time, and an end at any moment.

Unlike a pool, it can be ended while it works, holds nothing that outlives it, and is started again if it dies.
"""

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Generic, ParamSpec, TypeVar

from foretaste.errors import RunFailed

__all__ = ["Apart"]

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


class Apart(Generic[_Asked, _Answer]):
    """A function that is called in another process, which starts with the first call; may be called from several threads.

    Args:
        work: The function; it can be imported, and what it takes, returns and raises can be pickled.

    >>> apart = Apart(divmod)
    >>> apart.close()
    """

    def __init__(self, work: Callable[_Asked, _Answer]) -> None:
        self._work, self._closed = work, False
        self._one, self._life = threading.Lock(), threading.Lock()  # one call at a time; starting and ending
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None

    def __call__(self, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        """What the function returns; raises what it raises.

        Raises:
            RunFailed: Closed, or the process has died; the next call starts another.
        """
        with self._one:
            line = self._opened()
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
        """End the process, whatever it is at; calls that wait for it fail, as later ones do."""
        with self._life:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def _opened(self) -> Connection:
        with self._life:
            if self._closed:
                raise RunFailed(_ENDED)
            if self._line is None:
                context = get_context("spawn")
                self._line, theirs = context.Pipe()
                self._process = context.Process(target=_answers, args=(theirs, self._work), daemon=True)
                with _deaf():
                    self._process.start()
                theirs.close()
            return self._line


_ENDED = "the server is being stopped"
_DIED = "the process that works out what is shown has died, perhaps for want of memory; it is started again"


def _answers(line: Connection, work: Callable[..., object]) -> None:
    """Answer questions until nobody is left to ask."""
    with suppress(EOFError, OSError):
        while True:
            args, kwargs = line.recv()
            try:
                answer, failed = work(*args, **kwargs), None
            except Exception as error:  # whatever it is, who asked is told
                error.add_note(traceback.format_exc())
                answer, failed = None, error
            line.send((answer, failed))


@contextmanager
def _deaf() -> Iterator[None]:
    """A process that starts here never hears Ctrl-C, which a terminal tells it too: its parent ends it."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it would start with the process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
