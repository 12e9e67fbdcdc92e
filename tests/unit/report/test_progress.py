import os
import re
import signal
import time
from collections.abc import Callable, Iterator
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


def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, seconds)


def test_a_line_every_half_minute_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 steps are found in the study at once; then a step takes a second."""
    place, out = console(terminal=False)
    set_clock = clock(monkeypatch)
    with watching(place) as watch:
        watch.begin("joint finetuning", 150)
        watch.advance(50)
        for step in range(1, 101):
            set_clock(float(step))
            watch.advance(1, f"loss {1 / step:.3f}, step {step}")
    assert out.getvalue().splitlines() == [
        "joint finetuning: 99 of 150 to do",
        "joint finetuning: 81/150, 1 min 9 s left, loss 0.032, step 31",
        "joint finetuning: 111/150, 39 s left, loss 0.016, step 61",
        "joint finetuning: 141/150, 9 s left, loss 0.011, step 91",
        "joint finetuning: finished in 1 min 40 s",
    ]


def test_each_stage_has_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    place, out = console(terminal=False)
    set_clock = clock(monkeypatch)
    with watching(place) as watch:
        watch.begin("joint finetuning", 10)
        watch.begin("previews", 10)
        for seconds in (1.0, 32.0):
            set_clock(seconds)
            watch.advance(1, stage="joint finetuning")
            watch.advance(2, stage="previews")
    assert out.getvalue().splitlines() == [
        "joint finetuning: 9 of 10 to do",
        "previews: 8 of 10 to do",
        "joint finetuning: 2/10, 4 min 8 s left",
        "previews: 4/10, 1 min 33 s left",
    ]


def test_work_that_is_begun_again_after_a_worker_died_has_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    place, out = console(terminal=False)
    set_clock = clock(monkeypatch)
    with watching(place) as watch:
        watch.begin("previews", 10)
        for seconds, amount in ((1.0, 3), (40.0, -3)):
            set_clock(seconds)
            watch.advance(amount)
    assert out.getvalue().splitlines() == ["previews: 7 of 10 to do", "previews: 0/10"]


@pytest.mark.parametrize("setting", [("TERM", "dumb"), ("FORCE_COLOR", "1"), ("NO_COLOR", "1")])
def test_logs_have_no_control_characters(monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]) -> None:
    """A dumb terminal is one that cannot draw again; forced colours do not make a file a terminal."""
    monkeypatch.setenv(*setting)
    out = StringIO()
    place = Console(file=out, width=80, force_terminal=True if setting[0] == "TERM" else None, color_system=None)
    set_clock = clock(monkeypatch)
    with watching(place) as watch:
        watch.begin("a stage with a name that is longer than most", 3)
        for seconds in (1.0, 40.0, 80.0):
            set_clock(seconds)
            watch.advance(1, "a note that is much longer than there is room for in one line")
        watch.say("found [brackets] in the data")
    text = out.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert len(text.splitlines()) == 4
    assert all(len(line) <= 80 for line in text.splitlines())


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
