"""What works without any extra: everything but the sources, exporters and commands that need one."""

import subprocess
import sys
from pathlib import Path

import pytest

_EXTRAS = ("transformers", "datasets", "PIL", "pyarrow", "peft", "bitsandbytes", "lm_eval", "sacrebleu", "tensorboard")


def without_extras(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as if the packages of the extras were not installed."""
    text = f"import sys\nsys.modules.update(dict.fromkeys({_EXTRAS}))\n{code}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize("command", ["check", "fit"])
def test_a_study_of_the_digits(tmp_path: Path, command: str) -> None:
    (tmp_path / "study.yaml").write_text("{name: plain, model: {source: digits}, finetune: {steps: 3}}")
    arguments = ["foretaste", command, "study.yaml", *(["--study", "study"] if command == "fit" else [])]
    ran = without_extras(f"sys.argv = {arguments}\nfrom foretaste.cli.entry import main\nmain()\n", tmp_path)
    assert (ran.returncode, "error" in ran.stderr) == (0, False), ran.stderr


@pytest.mark.parametrize("room", ["workflow", "study", "report", "engines", "methods", "work", "surface", "train"])
def test_rooms_above_the_sources_are_imported(tmp_path: Path, room: str) -> None:
    code = f"""
import importlib, pkgutil, foretaste.{room} as room
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
"""
    ran = without_extras(code, tmp_path)
    assert ran.returncode == 0, ran.stderr
