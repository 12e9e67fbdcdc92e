"""Where the command line begins."""

import errno
import io
import sys
import warnings
from typing import TextIO

from rich.console import Console

from foretaste.cli import exploring, running, searching, showing, studying, templates, transfer
from foretaste.cli.base import app
from foretaste.errors import BadInput, ForetasteError, Stopped

__all__ = ["main", "plain"]

_COMMANDS = (running, studying, showing, templates, searching, exploring, transfer)  # importing them adds their commands, in this order


def main() -> None:
    """Run the command line; errors that foretaste raises on purpose end with their exit code."""
    warnings.showwarning = _told
    _print_any_name()
    try:
        app()
    except ForetasteError as error:
        _fail(error, error.exit_code)
    except (Exception, SystemExit) as error:
        fault = _users_fault(error) or _path_fault(error)
        if fault is None:
            raise
        _fail(fault, fault.exit_code)


def _path_fault(error: BaseException) -> BadInput | None:
    """A name that no file system can hold, wherever it was used."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
        return None
    return BadInput(f"{error.filename} cannot be used as a path ({error.strerror}); name another")


def _print_any_name() -> None:
    """File names need not be text: print what is not as an escape, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _users_fault(error: BaseException) -> ForetasteError | None:
    """The error as one of the user's own code, where a recipe called some and it comes from there."""
    module = sys.modules.get("foretaste.sources.function")  # imported by whoever called such code
    found = None if module is None else module.users_fault(error)
    assert found is None or isinstance(found, ForetasteError)
    return found


def _told(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    """Our own warnings as one line for people; those of libraries as ever."""
    if not category.__module__.startswith("foretaste."):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    console = Console(stderr=True, soft_wrap=True)
    console.print("[yellow]warning:[/] ", end="")
    console.print(plain(str(message)), markup=False, highlight=False)


def _fail(error: Exception, code: int) -> None:
    console = Console(stderr=True, soft_wrap=True)
    style = "yellow" if isinstance(error, Stopped) else "bold red"
    console.print(f"[{style}]{'stopped' if isinstance(error, Stopped) else 'error'}:[/] ", end="")
    console.print(plain(str(error)), markup=False, highlight=False)
    sys.exit(code)


def plain(text: str) -> str:
    r"""The text with escapes in place of what a terminal would obey or hide.

    >>> print(plain("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)
