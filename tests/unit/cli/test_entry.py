import pytest

from commands import foretaste
from foretaste.cli import entry
from foretaste.errors import RunFailed, Stopped, WeightsError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (WeightsError("no such task"), 2, "error: no such task"),
        (RunFailed("out of luck"), 1, "error: out of luck"),
        (Stopped("go on"), 130, "stopped: go on"),
    ],
)
def test_errors_end_with_their_exit_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(entry, "app", failing)
    found = foretaste("show")
    assert (found.code, found.out, found.err.strip()) == (code, "", said)
