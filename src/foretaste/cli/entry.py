"""Where the command line begins."""

import sys

from rich.console import Console

from foretaste.cli import studying, transfer
from foretaste.cli.base import app
from foretaste.errors import ForetasteError, Stopped

__all__ = ["main"]

_COMMANDS = (studying, transfer)  # importing them is what adds their commands, in this order


def main() -> None:
    """Run the command line; errors that foretaste raises on purpose end with their exit code."""
    try:
        app()
    except ForetasteError as error:
        _fail(error, error.exit_code)


def _fail(error: Exception, code: int) -> None:
    console = Console(stderr=True, soft_wrap=True)
    style = "yellow" if isinstance(error, Stopped) else "bold red"
    console.print(f"[{style}]{'stopped' if isinstance(error, Stopped) else 'error'}:[/] ", end="")
    console.print(str(error), markup=False, highlight=False)
    sys.exit(code)
