"""Processes that are ended by whoever started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from foretaste.processes import end_with_parent, without_interrupts

PARENT = """
import multiprocessing, sys, time
from foretaste.processes import end_with_parent

def child(path):
    end_with_parent()
    open(path, "w").write(str(multiprocessing.current_process().pid))
    time.sleep(60)

if __name__ == "__main__":
    multiprocessing.get_context("fork").Process(target=child, args=sys.argv[1:]).start()
    time.sleep(60)
"""


def test_signals_are_as_before_outside() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with without_interrupts():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    with pytest.raises(ValueError, match="broken"), without_interrupts():
        raise ValueError("broken")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_process_that_starts_inside_never_hears_an_interrupt() -> None:
    with without_interrupts():
        process = get_context("spawn").Process(target=time.sleep, args=(60,))
        process.start()
    assert process.pid is not None
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    process.join(1)
    assert process.is_alive()
    process.kill()
    process.join()


def test_the_main_process_has_no_parent_to_end_with() -> None:
    before = threading.active_count()
    end_with_parent()
    assert threading.active_count() == before


def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path / "pid"])
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"
