"""Commands run as a user runs them: in this process, or in one of their own."""

import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from foretaste.cli.entry import main

__all__ = ["ENVIRONMENT", "Ran", "contents", "foretaste", "refused", "spawned"]

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
