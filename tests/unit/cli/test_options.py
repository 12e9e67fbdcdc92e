"""Options that several commands take."""

import pytest

from commands import foretaste
from foretaste.method_table import METHOD_TABLE


@pytest.mark.parametrize("command", ["preview", "compare"])
def test_help_lists_every_method(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = " ".join(foretaste(command, "--help").out.split())
    assert all(name in shown for name in METHOD_TABLE)


def test_an_unknown_method_gets_a_suggestion() -> None:
    assert "did you mean kronecker?" in " ".join(refused_usage("preview", "r.yaml", "--method", "kroneker").split())


def refused_usage(*arguments: object) -> str:
    """What is said of arguments that no command takes."""
    found = foretaste(*arguments)
    assert found.code == 2
    return found.err
