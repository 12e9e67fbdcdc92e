"""Starting processes that never hear Ctrl-C themselves: whoever starts them also ends them."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker

__all__ = ["end_with_parent", "without_interrupts"]


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes that start inside never get Ctrl-C, which a terminal sends to all processes of a command."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it would start with the process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process when the one that started it is gone, even if that was killed."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
