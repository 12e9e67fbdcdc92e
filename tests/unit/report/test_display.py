"""Progress is shown where the program runs: by a terminal's watch, or by a notebook's, which ends with the work."""

import signal

import pytest

from foretaste.report import display
from foretaste.report.display import display_progress
from foretaste.report.notebook import NotebookWatch
from foretaste.report.progress import TerminalWatch


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[NotebookWatch]:
    """This process as a notebook; the list holds the watches that ended."""
    ended: list[NotebookWatch] = []
    monkeypatch.setattr(display, "in_notebook", lambda: True)

    def end(watch: NotebookWatch) -> None:
        ended.append(watch)

    monkeypatch.setattr(NotebookWatch, "end", end)
    return ended


def test_a_program_has_a_terminal_s_watch() -> None:
    with display_progress() as watch:
        assert isinstance(watch, TerminalWatch)


def test_a_notebook_has_its_own_watch_which_ends_with_the_work(ended: list[NotebookWatch]) -> None:
    with display_progress() as watch:
        assert isinstance(watch, NotebookWatch)
        assert ended == []
    assert ended == [watch]


def test_a_notebook_s_watch_ends_when_the_work_fails(ended: list[NotebookWatch]) -> None:
    with pytest.raises(ValueError, match="no such thing"), display_progress():
        raise ValueError("no such thing")
    assert len(ended) == 1


def test_an_interrupted_cell_stops_after_its_step(ended: list[NotebookWatch], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(NotebookWatch, "say", lambda _, text: said.append(text))
    before = signal.getsignal(signal.SIGINT)
    with display_progress() as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.stopping()
    assert said == ["stopping after the current step; interrupt again to stop at once"]
    assert signal.getsignal(signal.SIGINT) is before
    assert len(ended) == 1
