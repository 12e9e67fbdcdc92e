"""Names of temporary files and folders, and removal of those that killed writers left behind.

A name says who writes: the host together with its PID namespace, the process, when that process started, and random
bits. Two containers that share a volume have processes of the same number, so only a leftover of the same host and PID
namespace is judged by its process. Any other leftover is judged by its age.
"""

import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["OLD_AGE", "sweep", "temporary_path"]

OLD_AGE = 7 * 24 * 3600.0  # seconds without a change after which a leftover of an unknown writer is removed

_LONGEST = 150  # bytes of a name that are repeated in the temporary name; file systems allow 255 in all
_PATTERN = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-(?P<start>\d{1,20})-[0-9a-f]{8}(?P<old>\.old)?\.tmp",
    re.DOTALL,
)
_EARLIER = re.compile(
    r"\.(?P<name>.+?)(?P<old>\.old)?\.\d+\.tmp", re.DOTALL
)  # names of earlier versions, by process number alone


def temporary_path(path: Path, *, old: bool = False) -> Path:
    """A hidden path beside another one, which no other writer uses.

    Args:
        path: What is written.
        old: Whether the temporary path holds what was at ``path`` before.

    >>> temporary_path(Path("a.txt")).name.startswith(".a.txt.")
    True
    >>> temporary_path(Path("a.txt")) == temporary_path(Path("a.txt"))
    False
    """
    writer = f"{_host()}-{os.getpid()}-{_start_of('self') or 0}-{secrets.token_hex(4)}"
    return path.with_name(f".{_short(path.name)}.{writer}{'.old' if old else ''}.tmp")


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers left in a folder; what another host or container may still be writing stays.

    A folder that was moved aside to be replaced goes back to its place if its replacement never arrived.

    Args:
        folder: Where they wrote.
        name: What they wrote; None for anything, in a folder that only foretaste writes to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     left, running = Path(folder, f".a.{_host()}-999999999-1-00000000.tmp"), temporary_path(Path(folder, "a"))
    ...     left.touch()
    ...     running.touch()
    ...     sweep(Path(folder))
    ...     [path == running for path in Path(folder).iterdir()]
    [True]
    """
    for path in list(folder.iterdir()):
        current = _PATTERN.fullmatch(path.name)
        match = current or _EARLIER.fullmatch(path.name)
        if match is None or (name is not None and match["name"] != _short(name)):
            continue
        own = current is not None and current["host"] == _host()
        dead = not _is_running(int(match["pid"]), int(match["start"])) if own else _age(path) > OLD_AGE
        if dead:
            _remove(
                path, folder / match["name"] if match["old"] and len(os.fsencode(match["name"])) <= _LONGEST else None
            )


def _short(name: str) -> str:
    """A name that leaves room for the rest of a temporary name."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else f"{hashlib.sha256(encoded).hexdigest()}{'0' * _LONGEST}"[:_LONGEST]


def _remove(path: Path, original: Path | None) -> None:
    if original is not None and not original.exists():
        path.rename(original)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since a file, or anything in a folder, last changed."""
    newest = 0.0
    for content in [path, *(path.rglob("*") if path.is_dir() else ())]:
        try:
            newest = max(newest, content.lstat().st_mtime)
        except FileNotFoundError:
            return 0.0  # somebody is at work there
    return time.time() - newest


@cache
def _host() -> str:
    """This host, since it was last started, together with this PID namespace."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _is_running(pid: int, start: int) -> bool:
    """Whether a process of this host and PID namespace lives; True in doubt."""
    if sys.platform == "win32":
        return True  # signal 0 would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return True
    except PermissionError:
        pass  # it lives, under another user
    try:
        visible = os.readlink("/proc/self") == str(os.getpid())  # /proc may belong to another PID namespace
    except OSError:
        visible = False
    started = _start_of(str(pid)) if visible else None
    return started is None or start in (0, started)


def _start_of(process: str) -> int | None:
    """When a process started, in clock ticks since the host did; None where the system does not say."""
    try:
        return int(
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None
