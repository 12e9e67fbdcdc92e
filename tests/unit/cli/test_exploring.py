"""The explorer's command ends with an error before it serves what cannot be served."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import ENVIRONMENT, foretaste, refused
from problems import digits_recipe


def test_what_is_no_study(tmp_path: Path) -> None:
    assert "is not a study" in refused("explore", tmp_path, "--no-open")


def test_it_prints_its_address_and_stops_on_a_signal(tmp_path: Path) -> None:
    recipe = digits_recipe(
        tmp_path, finetune_steps="2", preview_points="3", preview_methods="[simple]", joint_points="0"
    )
    assert foretaste("preview", recipe, "--study", tmp_path / "s").code == 0
    command = [sys.executable, "-m", "foretaste", "explore", str(tmp_path / "s"), "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["address"].startswith("http://127.0.0.1:")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) in (0, 130, -signal.SIGINT)


def test_nothing_stays_behind_when_it_is_killed(tmp_path: Path) -> None:
    recipe = digits_recipe(
        tmp_path, finetune_steps="2", preview_points="3", preview_methods="[simple]", joint_points="0"
    )
    assert foretaste("preview", recipe, "--study", tmp_path / "s").code == 0
    command = [sys.executable, "-m", "foretaste", "explore", str(tmp_path / "s"), "--no-open", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        children = [
            int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
        assert children
        process.kill()
        process.wait(20)
    end = time.monotonic() + 20
    while any(
        Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]
        for child in children
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
