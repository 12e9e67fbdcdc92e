import sys
from pathlib import Path

import pytest

from foretaste.errors import DataError, Stopped, TaskError
from foretaste.sources.function import call, users_fault

GOOD = """
import sys, torch
from torch import nn
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

def problem(classes=2):
    rows = Rows(torch.eye(4), torch.arange(4) % classes)
    return nn.Linear(4, classes), [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]

def wrong():
    return "a model"

def half():
    return nn.Linear(4, 2), ["not a task"]

def fails():
    raise RuntimeError("no such GPU")

def deep():
    return nn.Linear("four", 2)

def leaves():
    sys.exit("no data")

def interrupted():
    raise KeyboardInterrupt

class Broken(Rows):
    def __getitem__(self, index):
        if index == 3:
            raise OSError("row 3 is gone")
        return super().__getitem__(index)

def broken_rows():
    rows = Broken(torch.eye(4), torch.arange(4) % 2)
    return nn.Linear(4, 2), [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]

def no_rows():
    rows = Rows(torch.zeros(0, 4), torch.zeros(0))
    return nn.Linear(4, 2), [Task("a", rows, rows, [METRICS["accuracy"]])]
"""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    name = f"problem_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(GOOD)
    return tmp_path, name


def test_a_function_beside_the_recipe(folder: tuple[Path, str]) -> None:
    path, name = folder
    problem = call(f"{name}:problem", {"classes": 3}, path)
    assert problem.names == ["a", "b"]
    assert all(len(task.fingerprint) == 64 for task in problem.tasks)
    assert [task.fingerprint for task in call(f"{name}:problem", {}, path).tasks] != [
        task.fingerprint for task in problem.tasks
    ]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", r"returned str; it must return \(model, \[Task, ...\]\)"),
        ("half", "it must return"),
        ("fails", r"failed: RuntimeError: no such GPU \(.*problem_\d+\.py, line 18, in fails\)$"),
        ("deep", r"failed: TypeError: .* \(.*problem_\d+\.py, line 21, in deep\)$"),
        (
            "leaves",
            (
                r"called sys\.exit\('no data'\) \(.*problem_\d+\.py, line 24, in leaves\); return the model and its"
                r" tasks, or raise an error$"
            ),
        ),
        ("broken_rows", r"failed: OSError: row 3 is gone \(.*problem_\d+\.py, line 32, in __getitem__\)$"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_faults_are_named(folder: tuple[Path, str], function: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call(f"{folder[1]}:{function}", {}, folder[0])


def test_a_missing_module_and_our_own_errors(folder: tuple[Path, str]) -> None:
    looked = (
        rf"No module named 'nowhere_at_all'; it was looked for in {folder[0]}, the recipe's folder, and where Python"
        r" looks; write nowhere"
    )
    with pytest.raises(DataError, match=looked):
        call("nowhere_at_all:problem", {}, folder[0])
    (folder[0] / "imports_another.py").write_text("\nimport nowhere_at_all\n")
    with pytest.raises(
        DataError, match=r"No module named 'nowhere_at_all' \(.*imports_another\.py, line 2, in <module>\)$"
    ):
        call("imports_another:problem", {}, folder[0])
    with pytest.raises(TaskError, match="no training examples"):
        call(f"{folder[1]}:no_rows", {}, folder[0])


@pytest.mark.parametrize("target", ["subprocess:call", "os:system", "builtins:eval", "shutil:rmtree"])
def test_nothing_of_python_itself_is_called(tmp_path: Path, target: str) -> None:
    (tmp_path / "kept").mkdir()
    arguments = (
        {"args": ["touch", str(tmp_path / "ran")]} if target == "subprocess:call" else {"path": str(tmp_path / "kept")}
    )
    with pytest.raises(DataError, match=f"'{target}' is part of Python itself; name a function of your own"):
        call(target, arguments, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_function_is_defined_in_the_module_that_is_named(folder: tuple[Path, str]) -> None:
    path, name = folder
    (path / f"{name}_again.py").write_text(f"from {name} import problem\nfrom subprocess import call\nvalue = 3\n")
    with pytest.raises(
        DataError, match=f"is not defined in {name}_again but in {name}; name the module that defines it"
    ):
        call(f"{name}_again:problem", {}, path)
    with pytest.raises(DataError, match=f"is not defined in {name}_again but in subprocess"):
        call(f"{name}_again:call", {"args": ["touch", str(path / "ran")]}, path)
    with pytest.raises(DataError, match=r"is not a function; name a function that returns \(model, \[Task, \.\.\.\]\)"):
        call(f"{name}_again:value", {}, path)
    assert not (path / "ran").exists()


def test_an_interruption_is_no_fault(folder: tuple[Path, str]) -> None:
    with pytest.raises(Stopped, match=r"interrupted while 'problem_\d+:interrupted' was at work; nothing was written"):
        call(f"{folder[1]}:interrupted", {}, folder[0])


def test_errors_at_work_are_told_from_ours(folder: tuple[Path, str]) -> None:
    path, name = folder
    (path / f"beside_{name}.py").write_text(
        "import sys\n\ndef bad():\n    raise KeyError('x')\n\ndef leaves():\n    sys.exit(3)\n"
    )
    with (path / f"{name}.py").open("a") as file:
        file.write(f"\ndef made():\n    import beside_{name} as beside\n    return nn.Linear(4, 2), [beside, beside]\n")
    with pytest.raises(DataError, match="it must return"):
        call(f"{name}:made", {}, path)
    beside = sys.modules[f"beside_{name}"]
    for function, said in (
        (beside.bad, "line 4, failed: KeyError: 'x'"),
        (beside.leaves, r"line 7, called sys.exit(3)"),
    ):
        with pytest.raises((KeyError, SystemExit)) as caught:
            function()
        fault = users_fault(caught.value)
        assert (
            str(fault) == f"{function.__name__} in {path}/beside_{name}.py, {said}; everything finished before is kept"
        )
    with pytest.raises(ZeroDivisionError) as ours:
        _ = 1 / 0
    assert users_fault(ours.value) is None
