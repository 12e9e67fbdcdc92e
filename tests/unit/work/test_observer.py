from pathlib import Path

import pytest
import torch

from engine_studies import StopAfter
from foretaste.errors import Stopped
from foretaste.store.study import StudyStore
from foretaste.train.finetune import finetune
from foretaste.train.training import Training
from foretaste.work.context import Unwatched
from foretaste.work.observer import Observer, stop_if_asked
from problems import blobs, linear

TRAINING = Training(steps=6, batch_size=5)


class Recording(Unwatched):
    """Keeps notes and lines."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[str] = []

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self.notes.append(f"{amount} {note}")

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_piece_is_counted_up_to_its_size() -> None:
    watch = StopAfter(1 << 30)
    observer = Observer(watch, 10)
    observer.advance(3)
    observer.advance_to(7)
    assert watch.count == 7
    observer.complete()
    observer.complete()
    assert watch.count == 10


def test_a_silent_observer_still_speaks_and_stops() -> None:
    watch = Recording()
    silent = Observer(watch, 5).without_progress()
    silent.advance(3, "hidden")
    silent.say("a line")
    assert watch.notes == []
    assert watch.lines == ["a line"]
    with pytest.raises(Stopped):
        Observer(StopAfter(0), 5).without_progress().stop_if_asked()


def test_a_stop_says_that_work_is_kept() -> None:
    with pytest.raises(Stopped, match="stopped as asked; everything finished so far is kept"):
        stop_if_asked(StopAfter(0))


def test_every_step_shows_its_loss_and_number() -> None:
    watch = Recording()
    Observer(watch, 2).on_step(1, 0.12345)
    assert watch.notes == ["1 loss 0.123, step 1"]


def test_training_without_a_study_keeps_no_states() -> None:
    assert not Observer(StopAfter(0), 6).wants_snapshot(1)


def test_states_are_kept_as_often_as_asked(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "study") as study:
        often, seldom = Observer(Unwatched(), 6), Observer(Unwatched(), 6)
        often.keep_snapshots(study, "a", 0.0, 0.0)
        seldom.keep_snapshots(study, "b", 0.0, 1e9)
        assert often.wants_snapshot(1)
        assert not seldom.wants_snapshot(1)
        for observer in (often, seldom):
            finetune(linear(), None, blobs("a", 1), TRAINING, observer=observer)
        state = study.load_snapshot("a")[0]
        assert state is not None
        assert 0 < state.step <= 6
        assert study.load_snapshot("b")[0] is None


def test_a_stop_keeps_the_state_that_training_goes_on_from(tmp_path: Path) -> None:
    whole = finetune(linear(), None, blobs("a", 1), TRAINING)
    with StudyStore.create(tmp_path / "study") as study:
        observer = Observer(StopAfter(2), 6)
        observer.keep_snapshots(study, "a", 0.0, 1e9)
        with pytest.raises(Stopped):
            finetune(linear(), None, blobs("a", 1), TRAINING, observer=observer)
        state = study.load_snapshot("a")[0]
        assert state is not None
        assert state.step == 2
        rest = finetune(linear(), None, blobs("a", 1), TRAINING, start=state)
    assert all(torch.equal(rest.params[name], tensor) for name, tensor in whole.params.items())


def test_seconds_go_on_from_those_before(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "study") as study:
        observer = Observer(Unwatched(), 6)
        observer.keep_snapshots(study, "a", 100.0, 1.0)
        assert 100.0 <= observer.seconds() < 110.0
