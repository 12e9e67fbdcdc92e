"""What every engine does, held for `here` and `pool`: the same keys and bits, whatever dies, fails or is stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_studies import NAMES, StopAfter, empty_study, long_study
from foretaste.engines.engine import Engine
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import Diverged, RunFailed, Stopped
from foretaste.simplex import lattice
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Unwatched
from foretaste.work.curvature import task_curvature
from foretaste.work.joint_evaluations import JointEvaluation
from foretaste.work.runs import JointRun
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session


@pytest.fixture(params=["here", "pool"], scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "here":
        yield Here()
        return
    with Pool(2) as pool:
        yield pool


def kept(session: Session) -> set[tuple[str, str, str | None]]:
    return {(done.kind, done.key, done.artefact) for done in session.study.all_work() if done.kind != "evaluation"}


def rows(session: Session) -> dict[str, dict[str, dict[str, float]]]:
    works = [done.key for done in session.study.all_work("evaluation")]
    return {
        key: {task: dict(own) for task, own in row.metrics.items()}
        for key, row in session.study.evaluations(works).items()
    }


def test_keys_and_artefacts_are_those_of_serial_work(session: Session, tmp_path: Path, engine: Engine) -> None:
    points = lattice(NAMES, 4)
    serial, other = empty_study(session, tmp_path / "serial", Here()), empty_study(session, tmp_path / "other", engine)
    for each in (serial, other):
        each.finish([task_curvature(each, task) for task in NAMES])
        assert [row.weights for row in preview(each, ["simple"], points)] != []
        each.finish([JointEvaluation(uniform(NAMES)), JointEvaluation(points[1])])
    assert kept(other) == kept(serial)
    assert rows(other) == rows(serial)
    serial.study.close()
    other.study.close()


def test_results_come_for_what_was_asked_alone(session: Session, tmp_path: Path, engine: Engine) -> None:
    other = empty_study(session, tmp_path / "study", engine)
    works = [task_curvature(other, task) for task in NAMES]
    results = dict(engine.run(works, other, Unwatched()))
    assert set(results) == set(works)
    again = dict(engine.run(works, other, Unwatched()))
    assert {work: result.done.key for work, result in again.items()} == {
        work: result.done.key for work, result in results.items()
    }
    assert len(other.study.all_work("finetune")) == len(NAMES)
    other.study.close()


def test_progress_adds_up(session: Session, tmp_path: Path, engine: Engine) -> None:
    class Counting(Unwatched):
        def __init__(self) -> None:
            self.stages: list[tuple[str, int]] = []
            self.count = 0

        def begin(self, label: str, total: int) -> None:
            self.stages.append((label, total))

        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
            self.count += amount

    other = empty_study(session, tmp_path / "study", engine)
    counting = Counting()
    list(engine.run([task_curvature(other, task) for task in NAMES], other, counting))
    assert [label for label, _ in counting.stages] == ["single-task finetuning", "curvature"]
    assert counting.count == sum(total for _, total in counting.stages)
    other.study.close()


def test_a_failed_piece_ends_it_after_the_others_and_is_named(session: Session, tmp_path: Path, engine: Engine) -> None:
    hot = session.recipe.finetune.model_copy(update={"learning_rate": 1e25, "optimizer": "sgd"})
    other = empty_study(session, tmp_path / "study", engine, finetune=hot)
    with pytest.raises(Diverged, match="joint finetuning at low=1,mid=0,high=0: "):
        other.finish([JointRun(corners(NAMES)[0])])
    with pytest.raises(
        RunFailed, match=r"2 pieces of work failed(.|\n)*at low=0,mid=1,high=0: (.|\n)*at low=0,mid=0,high=1: "
    ):
        other.finish([JointRun(weights) for weights in corners(NAMES)[1:]])
    other.study.close()


def test_what_needs_failed_work_is_left_out(session: Session, tmp_path: Path, engine: Engine) -> None:
    hot = session.recipe.finetune.model_copy(update={"learning_rate": 1e25, "optimizer": "sgd"})
    other = empty_study(session, tmp_path / "study", engine, finetune=hot)
    with pytest.raises(RunFailed, match="3 pieces of work failed"):
        preview(other, ["diagonal"], [uniform(NAMES)])
    assert other.study.all_work() == []
    other.study.close()


def test_a_stop_keeps_states_and_goes_on(session: Session, tmp_path: Path, engine: Engine) -> None:
    other = long_study(session, tmp_path / "study", engine)
    points = [TaskWeights(NAMES, [0.5, 0.5, 0.0]), TaskWeights(NAMES, [0.0, 0.5, 0.5])]
    works = [JointRun(weights) for weights in points]
    with pytest.raises(Stopped):
        list(engine.run(works, other, StopAfter(after=150)))
    states = [other.study.load_snapshot(work.key(other))[0] for work in works]
    assert any(state is not None and 0 < state.step < 500 for state in states)
    runs = other.finish(works)
    whole = long_study(session, tmp_path / "whole", Here())
    assert [run.done.artefact for run in runs] == [run.done.artefact for run in whole.finish(works)]
    other.study.close()
    whole.study.close()
