import subprocess
import sys

from commands import COMMANDS, ENVIRONMENT, foretaste, help_of
from foretaste import __version__
from foretaste.cli.app import app
from foretaste.cli.entry import ORDER


def test_the_commands_are_those() -> None:
    found = help_of().output
    assert {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    } == set(COMMANDS)
    listed = [line.split()[1] for line in found.splitlines() if line.strip("│ ").startswith(tuple(COMMANDS))]
    assert listed == list(ORDER)  # whichever module was imported first
    assert "Start with: foretaste demo" in found


def test_version() -> None:
    found = foretaste("--version")
    assert (found.code, found.out) == (0, f"foretaste {__version__}\n")
    module = subprocess.run(
        [sys.executable, "-m", "foretaste", "--version"], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert module.stdout == found.out
