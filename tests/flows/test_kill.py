"""Killed at any moment and run again, a study ends as if nothing had happened."""

import json
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from commands import foretaste, spawned
from problems import digits_recipe

Facts = tuple[dict[str, tuple[str, str]], dict[str, tuple[object, ...]]]

_PATIENCE = 120


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_recipe(tmp_path_factory.mktemp("recipe"), snapshots=0, finetune_steps="60")


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """What a run that is never interrupted keeps."""
    study = tmp_path_factory.mktemp("whole") / "study"
    assert foretaste("run", recipe, "--study", study, "--json").code == 0
    return facts(study)


def facts(study: Path) -> Facts:
    """Work and evaluations of a sound database, without what time changes."""
    with sqlite3.connect(study / "study.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        work = connection.execute("SELECT key, kind, artefact FROM work").fetchall()
        rows = connection.execute("SELECT key, weights, fidelity, method, seed, metrics FROM evaluations").fetchall()
    connection.close()
    for _, kind, artefact in work:
        assert kind == "choice" if artefact is None else (study / "tensors" / f"{artefact}.safetensors").is_file()
    return (
        {key: (kind, artefact) for key, kind, artefact in work},
        {key: (json.loads(weights), *how, json.loads(metrics)) for key, weights, *how, metrics in rows},
    )


def count(study: Path, table: str) -> int:
    """Rows of a table that another process writes; 0 while there is none."""
    try:
        connection = sqlite3.connect(f"file:{study / 'study.db'}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def in_training(study: Path) -> bool:
    return any((study / "running").glob("*.safetensors"))


def wait(process: subprocess.Popen[str], moment: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not moment():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_many_moments_it_ends_the_same(recipe: Path, whole: Facts, tmp_path: Path) -> None:
    """Each run goes on from the ruins of the one before, and is killed a little later."""
    study = tmp_path / "study"
    previews = sum(row[1] == "preview" for row in whole[1].values())
    moments: list[Callable[[], bool]] = [
        (study / "study.db").exists,
        lambda: in_training(study),
        lambda: count(study, "work") >= 2,
        lambda: count(study, "evaluations") >= previews // 2,
        lambda: count(study, "evaluations") >= previews and in_training(study),
        lambda: count(study, "evaluations") > previews,
    ]
    for moment in moments:
        with spawned("run", recipe, "--study", study, "--json") as process:
            wait(process, moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert count(study, "work") < len(whole[0])
    found = foretaste("run", recipe, "--study", study, "--json")
    assert found.code == 0, found.err
    assert facts(study) == whole
    assert not in_training(study)


@pytest.mark.parametrize(
    ("number", "command", "options"),
    [(signal.SIGINT, "run", []), (signal.SIGTERM, "confirm", ["--weights", "low=0.2,mid=0.3,high=0.5"])],
    ids=["Ctrl-C", "SIGTERM"],
)
@pytest.mark.slow
def test_stopped_it_names_the_command_that_goes_on(
    recipe: Path, whole: Facts, tmp_path: Path, number: int, command: str, options: list[str]
) -> None:
    study = tmp_path / "a study"
    with spawned(command, recipe, "--study", study, "--json", *options) as process:
        wait(process, lambda: in_training(study))
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "stopping after the current step" in err
    words = shlex.split(err.rpartition("go on with: ")[2])
    assert words == ["foretaste", command, str(recipe), "--study", str(study), *options]
    assert in_training(study)
    assert foretaste(*words[1:]).code == 0
    assert not [
        path
        for path in study.rglob("*")
        if path.name.endswith(".tmp") or (path.parent.name == "running" and path.stat().st_size)
    ]
    work, rows = facts(study)
    if command == "run":
        assert (work, rows) == whole
    else:
        assert [row[0] for row in rows.values() if row[1] == "joint"] == [{"low": 0.2, "mid": 0.3, "high": 0.5}]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_workers_end_with_their_command_and_leave_their_states(tmp_path: Path, number: int, code: int) -> None:
    """Two workers are in the middle of training; none of them is left, and run again it ends as if undisturbed."""
    study = tmp_path / "study"
    long = digits_recipe(tmp_path, snapshots=0.1, finetune_steps="1000", preview_points="3", joint_points="1")
    with spawned("run", long, "--study", study, "--workers", "2", "--json") as process:
        wait(process, lambda: in_training(study))
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(others) >= 2
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert psutil.wait_procs(others, timeout=_PATIENCE)[1] == []
    assert in_training(study)
    done = tmp_path / "done"
    for workers in ("2", "1"):
        folder = study if workers == "2" else done
        again = foretaste("run", long, "--study", folder, "--workers", workers, "--json")
        assert again.code == 0, again.err
    assert facts(study) == facts(done)
