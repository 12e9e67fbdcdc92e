import os
import signal
import time
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from foretaste.report.progress import TerminalWatch, watching


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever happens here, the tests' own handlers come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def console(terminal: bool) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, force_terminal=terminal, width=140, color_system=None, legacy_windows=False), out


def work(watch: TerminalWatch) -> None:
    watch.advance(1, "before any stage")
    watch.begin("single-task finetuning", 3)
    for step in range(3):
        watch.advance(1, f"loss {step}")
    watch.begin("previews", 2)
    watch.advance(2, "a note that is much longer than there is room for in one line")


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is work that takes time: of what is found at once there is nothing to tell."""
    place, out = console(terminal=False)
    now = iter([0.0, 0.1, 0.7, 0.9, 1.0, 1.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with watching(place) as watch:
        work(watch)
    assert out.getvalue() == "single-task finetuning: 1 of 3 to do\n"


def test_bars_where_there_is_a_terminal() -> None:
    place, out = console(terminal=True)
    with watching(place) as watch:
        work(watch)
        watch.progress.refresh()
        during = out.getvalue()
    assert "to do" not in during
    assert "a note that is much longer than th" in during
    assert "there is room" not in during
    last = out.getvalue()[len(during) :]
    for text in ("single-task finetuning", "3/3", "previews", "2/2", "✓"):
        assert text in last
    assert "a note" not in last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_does_not_wait(number: int) -> None:
    place, out = console(terminal=False)
    with watching(place) as watch:
        assert not watch.stopping()
        os.kill(os.getpid(), number)
        assert watch.stopping()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert out.getvalue() == "stopping after the current step; press Ctrl-C again to stop at once\n"


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_come_back(fails: bool) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    place, _ = console(terminal=False)
    try:
        with watching(place) as watch:
            assert signal.getsignal(signal.SIGINT) == watch.stop
            assert signal.getsignal(signal.SIGTERM) == watch.stop
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert {number: signal.getsignal(number) for number in before} == before


def test_stages_that_overlap_have_a_bar_each_and_one_label_has_one_bar() -> None:
    """Two workers: a joint run that others need goes on while the other joint runs begin."""
    watch = TerminalWatch(Console(file=StringIO(), force_terminal=True))
    watch.begin("joint finetuning", 10)
    watch.advance(4, stage="joint finetuning")
    watch.begin("previews", 3)
    watch.begin("joint finetuning", 20)
    watch.advance(1, stage="previews")
    watch.advance(26, stage="joint finetuning")
    assert [(bar.description, bar.completed, bar.total) for bar in watch.progress.tasks] == [
        ("joint finetuning", 30, 30),
        ("previews", 1, 3),
    ]
    watch.begin("joint finetuning", 5)
    assert [bar.total for bar in watch.progress.tasks] == [30, 3, 5]
