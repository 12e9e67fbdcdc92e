"""Disks that refuse: a folder that is read-only, for root too, and a small disk that is full."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["fill", "read_only", "small_disk"]


def _run(*command: object) -> str:
    """Run a program; what it says is wrong."""
    words = [str(each) for each in command]
    found = subprocess.run(
        [shutil.which(words[0]) or words[0], *words[1:]], capture_output=True, text=True, check=False
    )
    return found.stderr.strip() if found.returncode else ""


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder on a disk that cannot be written: the folder mounted over itself."""
    if wrong := _run("mount", "--bind", folder, folder):
        pytest.skip(f"nothing can be mounted here: {wrong}")
    try:
        assert _run("mount", "-o", "remount,bind,ro", folder) == ""
        yield
    finally:
        assert _run("umount", "--lazy", folder) == ""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, of 8 MiB."""
    folder.mkdir()
    if wrong := _run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder):
        pytest.skip(f"no disk can be mounted here: {wrong}")
    try:
        yield folder
    finally:
        assert _run("umount", "--lazy", folder) == ""


def fill(folder: Path) -> Path:
    """Write until the disk is full, to the last byte."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as writing:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while writing.write(bytes(size)):
                    pass
    return file
