"""The page to start with, and every example: run as a user runs them, in a copy of the folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands import ENVIRONMENT

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = {"finetune": {"steps": 8}, "curvature": {"max_examples": 20}, "preview": {"points": 5}, "joint": {"points": 1}}
# `python` and `foretaste` of the pages are those that run the tests.
SHELL = {**ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
NOTEBOOK = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the examples, whose recipes ask for little work."""
    folder = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("data", "model", "*.study"))
    for recipe in folder.glob("*/study.yaml"):
        content = yaml.safe_load(recipe.read_text())
        for part, fields in SMALL.items():
            content[part] = {**content.get(part, {}), **fields}
        recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def run(folder: Path, *words: str, **variables: str) -> str:
    """Run a program that must end well, and return what it prints."""
    finished = subprocess.run(
        words, cwd=folder, env={**SHELL, **variables}, capture_output=True, text=True, check=False, timeout=600
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def commands_of(page: str) -> list[list[str]]:
    """The commands of a page that run in the folder of the examples: none that installs, and none of templates."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words[0] in ("python", "foretaste") and words[1] != "init"]


@pytest.mark.parametrize(("page", "result"), [("start.md", "text-model"), ("lora.md", "lora-adapter")])
def test_the_commands_of(page: str, result: str, place: Path) -> None:
    commands = commands_of(page)
    assert len(commands) >= 3
    for words in commands:
        assert run(place, *words)
    assert list((place / result).rglob("*.safetensors"))


def test_the_loop_around_a_command_goes_on_after_a_stop(place: Path) -> None:
    loop = [sys.executable, "ask_and_tell.py", "swarm.study"]
    assert run(place, *loop, "2", "./my_trainer.sh").count("run ") == 2
    lines = run(place, *loop, "5", "./my_trainer.sh").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("run ")] == ["3", "4", "5"]
    assert re.fullmatch(r"code=\S+,chat=\S+,web=\S+", lines[-1])


def test_the_job_of_a_cluster(place: Path) -> None:
    (place / "digits.yaml").write_text(yaml.safe_dump({"name": "a", "model": {"source": "digits"}, **SMALL}))
    assert "Highest expected" in run(place, "bash", "slurm.sh", "digits.yaml", SLURM_GPUS_ON_NODE="1")
    assert (place / "digits.study" / "report.html").is_file()


def test_the_notebook(place: Path) -> None:
    """In a process of its own, where a kernel that dies takes no test with it."""
    content = json.loads((place / "notebook.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in content["cells"])
    run(place, sys.executable, "-c", NOTEBOOK, "notebook.ipynb")
    outputs = [
        cell["outputs"] for cell in json.loads((place / "notebook.ipynb").read_text())["cells"] if "outputs" in cell
    ]
    assert sum(output["output_type"] == "execute_result" for own in outputs for output in own) >= 4
