from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from foretaste.engine import REVISION, Unwatched, do, do_evaluation, do_evaluations, do_training
from foretaste.errors import Diverged, Stopped
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.store.study import Study, key_of
from foretaste.train.finetune import finetune
from foretaste.train.run import Observer, Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import lattice, uniform
from problems import blobs, linear
from statements import recorded_queries

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


ROWS = [Evaluation(weights, {"a": {"loss": weights["a"]}}, Fidelity.PREVIEW, "simple") for weights in lattice("ab", 6)]
NAMED = [{"weights": row.weights.key} for row in ROWS]
Made = list[tuple[Evaluation, dict[str, torch.Tensor]]]


def making(asked: list[list[int]]) -> Callable[[Sequence[int]], Made]:
    def make(places: Sequence[int]) -> Made:
        asked.append(list(places))
        return [(ROWS[place], {"a/losses": torch.full((2,), float(place))}) for place in places]

    return make


def test_some_evaluations_are_made_at_once_and_others_found(tmp_path: Path) -> None:
    asked: list[list[int]] = []
    told: list[int] = []
    with Study.create(tmp_path / "s") as study:
        for place in (2, 5):
            do_evaluation(study, NAMED[place], lambda place=place: making([])([place])[0], Unwatched())  # type: ignore[misc]
        assert do_evaluations(study, NAMED, making(asked), Unwatched(), at_once=2, on_row=told.append) == ROWS
        assert asked == [[0, 1], [3, 4], [6]]
        assert told == [2, 5, 0, 1, 3, 4, 6]
        assert do_evaluations(study, NAMED, making(asked), Unwatched(), at_once=9) == ROWS
        assert len(asked) == 3
        assert [row.weights for row in study.surface({}).rows] == [ROWS[place].weights for place in (2, 5, 0, 1, 3, 4, 6)]
        works = study.all_work("evaluation")
        assert len({done.artefact for done in works}) == 7
        assert float(study.tensors(works[-1].artefact)["a/losses"][0]) == 6.0


def test_what_is_done_is_found_by_one_query(tmp_path: Path) -> None:
    with Study.create(tmp_path / "s") as study:
        do_evaluations(study, NAMED, making([]), Unwatched(), at_once=9)
        with recorded_queries() as queries:
            assert do_evaluations(study, NAMED, making([]), Unwatched()) == ROWS
    assert len(queries) == 1


def test_asking_twice_for_one_makes_it_once(tmp_path: Path) -> None:
    asked: list[list[int]] = []
    told: list[int] = []
    with Study.create(tmp_path / "s") as study:
        found = do_evaluations(study, [NAMED[0], NAMED[1], NAMED[0]], making(asked), Unwatched(), at_once=9, on_row=told.append)
    assert found == [ROWS[0], ROWS[1], ROWS[0]]
    assert asked == [[0, 1]]
    assert sorted(told) == [0, 1, 2]


def test_it_stops_between_groups_and_goes_on(tmp_path: Path) -> None:
    asked: list[list[int]] = []
    looker = Looker(until=2)
    with Study.create(tmp_path / "s") as study:
        with pytest.raises(Stopped):
            do_evaluations(study, NAMED, making(asked), looker, at_once=2, on_row=lambda place: looker.advance(1))
        assert asked == [[0, 1]]
        assert do_evaluations(study, NAMED, making(asked), Unwatched(), at_once=3) == ROWS
        assert asked == [[0, 1], [2, 3, 4], [5, 6]]


def test_what_fails_keeps_what_was_made_before(tmp_path: Path) -> None:
    def fails(places: Sequence[int]) -> Made:
        if 2 in places:
            raise ValueError("broken")
        return making([])(places)

    with Study.create(tmp_path / "s") as study:
        with pytest.raises(ValueError, match="broken"):
            do_evaluations(study, NAMED, fails, Unwatched(), at_once=2)
        assert len(study.surface({}).rows) == 2
        assert do_evaluations(study, NAMED, making([]), Unwatched(), at_once=2) == ROWS


def test_another_process_s_rows_are_found_while_one_waits(tmp_path: Path) -> None:
    """Rows that appear between looking and claiming are not made again."""
    asked: list[list[int]] = []

    class Late(Unwatched):
        def stopping(self) -> bool:
            key = key_of("evaluation", {**NAMED[1], "revision": REVISION["evaluation"]})
            study.add_evaluation(key, NAMED[1], ROWS[1], {"a/losses": torch.zeros(2)})
            return False

    with Study.create(tmp_path / "s") as study:
        assert do_evaluations(study, NAMED[:3], making(asked), Late(), at_once=3) == ROWS[:3]
    assert asked == [[0, 2]]
