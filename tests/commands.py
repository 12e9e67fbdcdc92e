"""Commands run as a user runs them: in this process, or in one of their own."""

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from typer.testing import CliRunner, Result

from foretaste.cli.app import app
from foretaste.cli.entry import main

__all__ = ["COMMANDS", "ENVIRONMENT", "Ran", "contents", "foretaste", "help_of", "parse_json", "refused", "spawned"]

COMMANDS = [
    "demo",
    "init",
    "check",
    "run",
    "export",
    "import",
    "fit",
    "mergeability",
    "preview",
    "confirm",
    "compare",
    "show",
    "report",
    "search",
    "explore",
    "ask",
    "tell",
    "rows",
]

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def foretaste(*arguments: object) -> Ran:
    """The command line, called in this process; what `main` does not catch goes on to the test."""
    out, err, before = StringIO(), StringIO(), sys.argv
    sys.argv = ["foretaste", *(str(each) for each in arguments)]
    code: object = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as leaving:
        code = leaving.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def help_of(*arguments: str) -> Result:
    """What a command's help says, on a wide terminal; the help of all commands without arguments."""
    return CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})


def parse_json(text: str) -> object:
    """Read JSON as machines read it, without NaN and infinities."""

    def refuse(constant: str) -> object:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def spawned(*arguments: object) -> subprocess.Popen[str]:
    """The command line in a process of its own, on one core and without a network."""
    return subprocess.Popen(
        [sys.executable, "-m", "foretaste", *(str(each) for each in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, byte by byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(*arguments: object) -> str:
    """The message of a command that must end with exit code 2 and one error, before it printed any result."""
    found = foretaste(*arguments)
    assert found.code == 2, found
    assert found.out == ""
    assert len(re.findall("^error: ", found.err, re.MULTILINE)) == 1, found.err
    assert "Traceback" not in found.err
    return found.err
