"""What every engine does, by the engines `here` and `pool`: the same keys and bits, whatever dies, fails or is stopped."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.engines.engine import Engine, stages_of
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import Diverged, RunFailed, Stopped, StorageError
from foretaste.methods.previews import Previews
from foretaste.store.study import Study
from foretaste.weights import TaskWeights, corners, lattice, uniform
from foretaste.work.context import Context, Unwatched
from foretaste.work.curvature import task_curvature
from foretaste.work.joint_evaluations import JointEvaluation
from foretaste.work.runs import JointRun, SingleTaskRun
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session

NAMES = ["low", "mid", "high"]


@pytest.fixture(params=["here", "pool"], scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "here":
        yield Here()
        return
    with Pool(2) as pool:
        yield pool


def fresh(session: Session, folder: Path, engine: Engine, **changes: object) -> Session:
    """The same recipe in an empty study."""
    text, plan = session.study.recipe() or ("", {})
    study = Study.create(folder)
    study.add_recipe(text, plan)
    recipe = session.recipe.model_copy(update=changes)
    return replace(session, study=study, recipe=recipe, engine=engine, origin=session.origin)


def kept(session: Session) -> set[tuple[str, str, str | None]]:
    return {(done.kind, done.key, done.artefact) for done in session.study.all_work() if done.kind != "evaluation"}


def rows(session: Session) -> dict[str, dict[str, dict[str, float]]]:
    works = [done.key for done in session.study.all_work("evaluation")]
    return {key: {task: dict(own) for task, own in row.metrics.items()} for key, row in session.study.evaluations(works).items()}


def test_keys_and_artefacts_are_those_of_serial_work(session: Session, tmp_path: Path, engine: Engine) -> None:
    points = lattice(NAMES, 4)
    serial, other = fresh(session, tmp_path / "serial", Here()), fresh(session, tmp_path / "other", engine)
    for each in (serial, other):
        each.finish([task_curvature(each, task) for task in NAMES])
        assert [row.weights for row in preview(each, ["simple"], points)] != []
        each.finish([JointEvaluation(uniform(NAMES)), JointEvaluation(points[1])])
    assert kept(other) == kept(serial)
    assert rows(other) == rows(serial)
    serial.study.close()
    other.study.close()


def test_results_come_for_what_was_asked_alone(session: Session, tmp_path: Path, engine: Engine) -> None:
    other = fresh(session, tmp_path / "study", engine)
    works = [task_curvature(other, task) for task in NAMES]
    results = dict(engine.run(works, other, Unwatched()))
    assert set(results) == set(works)
    again = dict(engine.run(works, other, Unwatched()))
    assert {work: result.done.key for work, result in again.items()} == {work: result.done.key for work, result in results.items()}
    assert len(other.study.all_work("finetune")) == len(NAMES)
    other.study.close()


def test_progress_adds_up(session: Session, tmp_path: Path, engine: Engine) -> None:
    class Counting(Unwatched):
        def __init__(self) -> None:
            self.stages: list[tuple[str, int]] = []
            self.count = 0

        def begin(self, label: str, total: int) -> None:
            self.stages.append((label, total))

        def advance(self, amount: int, note: str = "") -> None:
            self.count += amount

    other = fresh(session, tmp_path / "study", engine)
    counting = Counting()
    list(engine.run([task_curvature(other, task) for task in NAMES], other, counting))
    assert [label for label, _ in counting.stages] == ["single-task finetuning", "curvature"]
    assert counting.count == sum(total for _, total in counting.stages)
    other.study.close()


def test_a_failed_piece_ends_it_after_the_others_and_is_named(session: Session, tmp_path: Path, engine: Engine) -> None:
    hot = session.recipe.finetune.model_copy(update={"learning_rate": 1e25, "optimizer": "sgd"})
    other = fresh(session, tmp_path / "study", engine, finetune=hot)
    with pytest.raises(Diverged, match="joint finetuning at low=1,mid=0,high=0: "):
        other.finish([JointRun(corners(NAMES)[0])])
    with pytest.raises(RunFailed, match=r"2 pieces of work failed(.|\n)*at low=0,mid=1,high=0: (.|\n)*at low=0,mid=0,high=1: "):
        other.finish([JointRun(weights) for weights in corners(NAMES)[1:]])
    other.study.close()


def test_what_needs_failed_work_is_left_out(session: Session, tmp_path: Path, engine: Engine) -> None:
    hot = session.recipe.finetune.model_copy(update={"learning_rate": 1e25, "optimizer": "sgd"})
    other = fresh(session, tmp_path / "study", engine, finetune=hot)
    with pytest.raises(RunFailed, match="3 pieces of work failed"):
        preview(other, ["diagonal"], [uniform(NAMES)])
    assert other.study.all_work() == []
    other.study.close()


class Once(Unwatched):
    """Stops after so much progress."""

    def __init__(self, after: int) -> None:
        self.after, self.count = after, 0

    def advance(self, amount: int, note: str = "") -> None:
        self.count += amount

    def stopping(self) -> bool:
        return self.count >= self.after


def longer(session: Session, folder: Path, engine: Engine) -> Session:
    """Runs of a few seconds."""
    finetune = session.recipe.finetune.model_copy(update={"steps": 1500})
    return fresh(session, folder, engine, finetune=finetune)


def test_a_stop_keeps_states_and_goes_on(session: Session, tmp_path: Path, engine: Engine) -> None:
    other = longer(session, tmp_path / "study", engine)
    points = [TaskWeights(NAMES, [0.5, 0.5, 0.0]), TaskWeights(NAMES, [0.0, 0.5, 0.5])]
    works = [JointRun(weights) for weights in points]
    with pytest.raises(Stopped):
        list(engine.run(works, other, Once(after=300)))
    states = [other.study.load_snapshot(work.key(other))[0] for work in works]
    assert any(state is not None and 0 < state.step < 1500 for state in states)
    runs = other.finish(works)
    whole = longer(session, tmp_path / "whole", Here())
    assert [run.done.artefact for run in runs] == [run.done.artefact for run in whole.finish(works)]
    other.study.close()
    whole.study.close()


def test_a_full_disk_ends_it_at_once(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = fresh(session, tmp_path / "study", Here())
    begun: list[str] = []

    def full(work: SingleTaskRun, *_: object) -> None:
        begun.append(work.task)
        raise StorageError("the disk is full")

    monkeypatch.setattr(SingleTaskRun, "finish", full)
    with pytest.raises(StorageError):
        other.finish([SingleTaskRun(task) for task in NAMES])
    assert begun == ["low"]
    other.study.close()


def test_stages_begin_with_what_is_needed(session: Session) -> None:
    works = [Previews("diagonal", (uniform(NAMES),)), JointRun(uniform(NAMES))]
    labels = [label for label, _ in stages_of(works, session)]
    assert labels.index("single-task finetuning") < labels.index("curvature") < labels.index("previews by diagonal")
    counts = {label: len(stage) for label, stage in stages_of(works, session)}
    assert counts == {"single-task finetuning": 3, "joint finetuning": 1, "curvature": 3, "previews by diagonal": 1}


class TestPool:
    def test_a_killed_worker_s_piece_goes_to_another_and_on_from_its_state(self, session: Session, tmp_path: Path) -> None:
        with Pool(2) as pool:
            often = longer(session, tmp_path / "study", pool)
            often = replace(often, recipe=often.recipe.model_copy(update={"snapshot_seconds": 0.1}), engine=pool)
            works = [JointRun(weights) for weights in lattice(NAMES, 2)[:3]]
            killed: list[int] = []

            def kill() -> None:
                key = works[0].key(often)
                with Study.open(often.study.path) as study:
                    while study.load_snapshot(key)[0] is None:
                        time.sleep(0.02)
                process = next(iter(pool._executors[0]._processes.values()))
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

            thread = threading.Thread(target=kill)
            thread.start()
            counting = Once(after=1 << 30)
            results = dict(pool.run(works, often, counting))
            thread.join()
            assert killed
            assert counting.count == 3 * 1500
            whole = longer(session, tmp_path / "whole", Here())
            assert [results[work].done.artefact for work in works] == [run.done.artefact for run in whole.finish(works)]
            often.study.close()
            whole.study.close()

    def test_a_problem_that_was_made_in_memory_is_refused(self, session: Session, tmp_path: Path) -> None:
        with Pool(2) as pool:
            other = replace(fresh(session, tmp_path / "study", pool), origin=None)
            with pytest.raises(Exception, match="were made in memory, where other processes cannot load them; use 1 worker"):
                other.finish([SingleTaskRun("low")])
            other.study.close()

    def test_a_worker_that_loads_other_content_refuses(self, session: Session, tmp_path: Path) -> None:
        with Pool(2) as pool:
            other = replace(fresh(session, tmp_path / "study", pool), base="another")
            with pytest.raises(Exception, match=r"a worker loaded the model of .* and found other content"):
                other.finish([SingleTaskRun("low")])
            other.study.close()

    def test_previews_are_parted_among_the_workers(self) -> None:
        points = lattice(NAMES, 3)
        parts = Pool(2).split(points)
        assert len(parts) == 4
        assert sorted(str(weights) for part in parts for weights in part) == sorted(map(str, points))
        assert Pool(2).split(points[:1]) == [(points[0],)]

    @pytest.mark.parametrize("workers", [0, -1])
    def test_a_pool_of_nobody_is_refused(self, workers: int) -> None:
        with pytest.raises(Exception, match="a pool needs at least 1 worker"):
            Pool(workers)


def test_a_context_remembers_one_value_a_slot(session: Session) -> None:
    assert isinstance(session, Context)
    built: list[int] = []

    def build(number: int) -> int:
        built.append(number)
        return number

    assert [session.remember("a", number, lambda number=number: build(number)) for number in (1, 1, 2, 1)] == [1, 1, 2, 1]  # type: ignore[misc]
    assert built == [1, 2, 1]
