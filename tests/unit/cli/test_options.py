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
    result = foretaste("preview", "r.yaml", "--method", "kroneker")
    assert result.code == 2
    assert "there is no method 'kroneker'" in result.err
    assert "kronecker?" in result.err
