"""Where the command line begins."""

import errno
import io
import sys
import warnings
from typing import TextIO

from rich.console import Console

from foretaste.cli import (
    asking,
    exploring,
    exporting,
    importing,
    running,
    searching,
    showing,
    studying,
    telling,
    templates,
)
from foretaste.cli.app import app
from foretaste.errors import BadInput, ForetasteError, Stopped

__all__ = ["ORDER", "main", "plain"]

_COMMANDS = (
    running,
    studying,
    showing,
    templates,
    searching,
    exploring,
    importing,
    exporting,
    asking,
    telling,
)  # importing them adds their commands
ORDER = (
    "demo",
    "init",
    "check",
    "mergeability",
    "run",
    "fit",
    "preview",
    "confirm",
    "search",
    "compare",
    "show",
    "report",
    "explore",
    "export",
    "import",
    "tell",
    "ask",
    "rows",
)  # of commands in the help, as a newcomer meets them
app.registered_commands.sort(key=lambda command: ORDER.index(command.name or getattr(command.callback, "__name__", "")))


def main() -> None:
    """Run the command line; errors that foretaste raises on purpose end with their exit code."""
    warnings.showwarning = _show_warning
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
    """Return an error about a name that no file system can hold, wherever it was used."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
        return None
    return BadInput(f"{error.filename} cannot be used as a path ({error.strerror}); name another")


def _print_any_name() -> None:
    """Print characters that are no text as escapes instead of failing: file names may hold any."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _users_fault(error: BaseException) -> ForetasteError | None:
    """Return the error as a fault of the user's own code, if a recipe called some and it comes from there."""
    module = sys.modules.get("foretaste.sources.function")  # imported if such code was called
    fault = None if module is None else module.users_fault(error)
    assert fault is None or isinstance(fault, ForetasteError)
    return fault


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print our own warnings as one line; show those of libraries as usual."""
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
    r"""Return the text with escapes for characters that a terminal would obey or hide.

    >>> print(plain("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )
