"""Leftovers of killed writers go; what another container, host or process may still be writing stays."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foretaste import temporary
from foretaste.temporary import OLD_AGE, sweep, temporary_path

DEAD = 999_999_999  # above the kernel's largest process number


def named(folder: Path, host: str, pid: int, start: int = 1, end: str = "") -> Path:
    path = folder / f".a.txt.{host}-{pid}-{start}-00112233{end}.tmp"
    path.write_text("half")
    return path


def aged(path: Path) -> Path:
    """A file whose last change is longer ago than any writer rests."""
    then = time.time() - OLD_AGE - 60
    os.utime(path, (then, then))
    return path


def own_start() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def test_a_dead_process_of_this_host_leaves_nothing(tmp_path: Path) -> None:
    named(tmp_path, temporary._host(), DEAD)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_is_left_alone(tmp_path: Path) -> None:
    path = temporary_path(tmp_path / "a.txt")
    path.write_text("half")
    assert f"-{os.getpid()}-{own_start()}-" in path.name
    sweep(tmp_path)
    assert path.exists()


def test_a_process_number_that_was_given_anew_does_not_protect_a_leftover(tmp_path: Path) -> None:
    named(tmp_path, temporary._host(), os.getpid(), start=own_start() - 1)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_container_is_writing(tmp_path: Path) -> None:
    """Its process numbers mean nothing here: a file of a number that is dead here stays until it is old."""
    other = named(tmp_path, "0123abcd", DEAD)
    earlier = tmp_path / f".a.txt.{DEAD}.tmp"  # as earlier versions named them
    earlier.touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([other, earlier])
    aged(other)
    aged(earlier)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_as_old_as_what_changed_last_in_it(tmp_path: Path) -> None:
    folder = tmp_path / f".model.0123abcd-{DEAD}-1-00112233.tmp"
    folder.mkdir()
    shard = folder / "shard.safetensors"
    shard.touch()
    aged(folder)
    sweep(tmp_path)
    assert shard.exists()
    aged(shard)
    aged(folder)
    sweep(tmp_path)
    assert not folder.exists()


def test_only_the_name_that_is_asked_for(tmp_path: Path) -> None:
    """A name is compared as it is: its stars and brackets are no pattern, and `a` is no beginning of `a.txt`."""
    other, wanted = (
        named(tmp_path, temporary._host(), DEAD),
        tmp_path / f".a[1]*.{temporary._host()}-{DEAD}-1-00112233.tmp",
    )
    wanted.touch()
    sweep(tmp_path, "*")
    sweep(tmp_path, "a")
    assert wanted.exists()
    sweep(tmp_path, "a[1]*")
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize(
    "name", [".a.txt.tmp", ".a.txt.editor.tmp", "a.txt", ".a.txt.swp", ".notes.2024-1-1-00112233.tmp"]
)
def test_files_of_others_stay_whatever_their_age(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    aged(tmp_path / name)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_was_moved_aside_comes_back_if_its_replacement_never_came(tmp_path: Path) -> None:
    named(tmp_path, temporary._host(), DEAD, end=".old")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    named(tmp_path, temporary._host(), DEAD, end=".old")
    (tmp_path / "a.txt").write_text("new")
    sweep(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


def test_a_long_name_leaves_room(tmp_path: Path) -> None:
    path = temporary_path(tmp_path / ("ä" * 120))
    path.touch()
    assert len(os.fsencode(path.name)) <= 255
    sweep(tmp_path, "ä" * 120)
    assert path.exists()


def test_a_real_second_pid_namespace(tmp_path: Path) -> None:
    """A process of another PID namespace sweeps a folder that this one writes to, and the other way round."""
    inside = ["unshare", "--fork", "--pid", "--mount-proc"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no PID namespace can be made here")
    mine = temporary_path(tmp_path / "a.txt")
    mine.write_text("half")
    code = (
        "import sys; from pathlib import Path; from foretaste.temporary import sweep, temporary_path; folder ="
        " Path(sys.argv[1]);sweep(folder); path = temporary_path(folder / 'b.txt'); path.touch(); print(path.name)"
    )
    found = subprocess.run(
        [*inside, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    theirs = tmp_path / found.stdout.strip()
    assert mine.exists()
    assert int(theirs.name.split("-")[-3]) < 100  # a number of its own namespace, which has ended since
    sweep(tmp_path)
    assert theirs.exists()
    sweep(aged(theirs).parent)
    assert not theirs.exists()
