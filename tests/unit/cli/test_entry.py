import warnings

import pytest

from commands import foretaste
from foretaste.cli import entry
from foretaste.errors import RunFailed, Stopped, WeightsError
from foretaste.export.manifest import LeakWarning


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (WeightsError("no such task"), 2, "error: no such task"),
        (RunFailed("out of luck"), 1, "error: out of luck"),
        (Stopped("go on"), 130, "stopped: go on"),
    ],
)
def test_errors_end_with_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(entry, "app", failing)
    found = foretaste("show")
    assert (found.code, found.out, found.err.strip()) == (code, "", said)


def test_our_warnings_are_one_line_and_others_are_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned() -> None:
        warnings.showwarning("a row leaks", LeakWarning, "here.py", 3)
        warnings.showwarning("old", DeprecationWarning, "there.py", 4)

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    monkeypatch.setattr(entry, "app", warned)
    found = foretaste("show")
    assert found.err == "warning: a row leaks\nthere.py:4: DeprecationWarning: old\n"
