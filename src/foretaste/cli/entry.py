"""Where the command line begins."""

import errno
import io
import sys
import warnings
from typing import TextIO

from rich.console import Console

from foretaste.cli import exploring, searching, studying, transfer
from foretaste.cli.base import app
from foretaste.errors import BadInput, ForetasteError, Stopped

__all__ = ["main"]

_COMMANDS = (studying, searching, exploring, transfer)  # importing them is what adds their commands, in this order


def main() -> None:
    """Run the command line; errors that foretaste raises on purpose end with their exit code."""
    warnings.showwarning = _told
    _print_any_name()
    try:
        app()
    except ForetasteError as error:
        _fail(error, error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        _fail(BadInput(f"{error.filename} cannot be used as a path ({error.strerror}); name another"), BadInput.exit_code)


def _print_any_name() -> None:
    """File names need not be text: print what is not as an escape, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _told(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    """Our own warnings as one line for people; those of libraries as ever."""
    if not category.__module__.startswith("foretaste."):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    console = Console(stderr=True, soft_wrap=True)
    console.print("[yellow]warning:[/] ", end="")
    console.print(str(message), markup=False, highlight=False)


def _fail(error: Exception, code: int) -> None:
    console = Console(stderr=True, soft_wrap=True)
    style = "yellow" if isinstance(error, Stopped) else "bold red"
    console.print(f"[{style}]{'stopped' if isinstance(error, Stopped) else 'error'}:[/] ", end="")
    console.print(str(error), markup=False, highlight=False)
    sys.exit(code)
