from pathlib import Path

import pytest
import torch

from foretaste.engine import Unwatched, do, do_evaluation, do_training
from foretaste.errors import Diverged, Stopped
from foretaste.store.study import Study
from foretaste.task import Evaluation, Fidelity
from foretaste.train.finetune import finetune
from foretaste.train.run import Observer, Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import uniform
from problems import blobs, linear

TRAINING = Training(steps=6, batch_size=5)


class Looker(Unwatched):
    """Counts progress, and asks to stop after so much of it."""

    def __init__(self, until: int = 1 << 30) -> None:
        self.until, self.seen = until, 0

    def advance(self, amount: int, note: str = "") -> None:
        self.seen += amount

    def stopping(self) -> bool:
        return self.seen >= self.until


def run(start: Snapshot | None, observer: Observer) -> Trained:
    return finetune(linear(), None, blobs("a", 1), TRAINING, start=start, observer=observer)


def test_work_is_done_once(tmp_path: Path) -> None:
    calls = []

    def make() -> tuple[dict[str, int], dict[str, torch.Tensor]]:
        calls.append(1)
        return {"n": 1}, {"w": torch.ones(1)}

    with Study.create(tmp_path / "s") as study:
        first = do(study, "site", {"a": 1}, make, Unwatched())
        again = do(study, "site", {"a": 1}, make, Unwatched())
        other = do(study, "site", {"a": 2}, make, Unwatched())
    assert (first.key, first.artefact) == (again.key, again.artefact)
    assert first.key != other.key
    assert len(calls) == 2


def test_stopped_training_goes_on_where_it_was(tmp_path: Path) -> None:
    with Study.create(tmp_path / "whole") as study:
        whole = do_training(study, "finetune", {}, run, Unwatched(), 6, every=1e9)
    with Study.create(tmp_path / "parts") as study:
        with pytest.raises(Stopped, match="kept"):
            do_training(study, "finetune", {}, run, Looker(until=4), 6, every=1e9)
        looker = Looker()
        state, _ = study.load_snapshot(whole.key)
        assert state is not None
        assert state.step == 4
        parts = do_training(study, "finetune", {}, run, looker, 6, every=1e9)
        assert looker.seen == 6  # four found, two made
        assert do_training(study, "finetune", {}, run, looker, 6, every=1e9).artefact == parts.artefact
        assert looker.seen == 12
        assert study.load_snapshot(whole.key) == (None, 0.0)
    assert whole.artefact == parts.artefact
    assert whole.result == parts.result


def test_a_run_that_diverges_keeps_its_last_good_state(tmp_path: Path) -> None:
    def fails(start: Snapshot | None, observer: Observer) -> Trained:
        task = blobs("a", 1)
        task.train.inputs[7] = float("inf")  # type: ignore[attr-defined]
        return finetune(linear(), None, task, Training(steps=50, batch_size=2), observer=observer)

    with Study.create(tmp_path / "s") as study:
        with pytest.raises(Diverged):
            do_training(study, "finetune", {}, fails, Unwatched(), 50, every=0)
        assert study.all_work() == []
        kept = list((tmp_path / "s" / "running").glob("*.safetensors"))
        assert len(kept) == 1
        state, seconds = study.load_snapshot(kept[0].stem)
        assert state is not None
        assert 0 < state.step < 50
        assert seconds > 0
        assert all(bool(torch.isfinite(tensor).all()) for name, tensor in state.tensors.items() if name.startswith("params/"))


def test_evaluations_are_made_once(tmp_path: Path) -> None:
    row = Evaluation(uniform(["a"]), {"a": {"loss": 1.0}}, Fidelity.JOINT, "joint")
    calls = []

    def make() -> tuple[Evaluation, dict[str, torch.Tensor]]:
        calls.append(1)
        return row, {"a/losses": torch.ones(1)}

    with Study.create(tmp_path / "s") as study:
        assert do_evaluation(study, {"x": 1}, make, Unwatched()) == row
        assert do_evaluation(study, {"x": 1}, make, Unwatched()) == row
        with pytest.raises(Stopped):
            do_evaluation(study, {"x": 2}, make, Looker(until=0))
    assert len(calls) == 1
