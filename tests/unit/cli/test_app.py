import subprocess
import sys

from commands import COMMANDS, ENVIRONMENT, foretaste, help_of
from foretaste import __version__
from foretaste.cli.app import app


def test_the_commands_are_those() -> None:
    found = help_of().output
    assert {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    } == set(COMMANDS)
    assert all(command in found for command in COMMANDS)
    assert "Start with: foretaste demo" in found


def test_version() -> None:
    found = foretaste("--version")
    assert (found.code, found.out) == (0, f"foretaste {__version__}\n")
    module = subprocess.run(
        [sys.executable, "-m", "foretaste", "--version"], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert module.stdout == found.out
