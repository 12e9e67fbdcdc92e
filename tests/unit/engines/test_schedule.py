"""In which order work is handed out, and what waits for what."""

from pathlib import Path
from typing import Any

from engine_studies import NAMES, empty_study
from foretaste.engines.here import Here
from foretaste.engines.schedule import Schedule, stages_of
from foretaste.methods.previews import Previews
from foretaste.weights import corners, uniform
from foretaste.work.context import Unwatched
from foretaste.work.curvature import task_curvature
from foretaste.work.joint_evaluations import JointEvaluation
from foretaste.work.observer import Observer
from foretaste.work.runs import JointRun
from foretaste.work.work import Work
from foretaste.workflow.session import Session


class Stages(Unwatched):
    """A watch that notes the stages that begin."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []

    def begin(self, label: str, total: int) -> None:
        self.begun.append((label, total))


def test_stages_begin_with_what_is_needed(session: Session) -> None:
    works: list[Work[Any]] = [Previews("diagonal", (uniform(NAMES),)), JointRun(uniform(NAMES))]
    labels = [label for label, _ in stages_of(works, session)]
    assert labels.index("single-task finetuning") < labels.index("curvature") < labels.index("previews by diagonal")
    counts = {label: len(stage) for label, stage in stages_of(works, session)}
    assert counts == {"single-task finetuning": 3, "joint finetuning": 1, "curvature": 3, "previews by diagonal": 1}


def test_a_worker_without_work_begins_what_needs_nothing_that_is_still_being_done(
    session: Session, tmp_path: Path
) -> None:
    """The previews need all curvature, the joint run needs nothing."""
    other, watch = empty_study(session, tmp_path / "study", Here()), Stages()
    works: list[Work[Any]] = [Previews("diagonal", (uniform(NAMES),)), JointRun(uniform(NAMES))]
    schedule = Schedule(works, other, watch, set(works))
    runs = [schedule.take() for _ in NAMES]
    assert [work.stage for work in runs if work] == ["single-task finetuning"] * 3
    assert schedule.take() == JointRun(uniform(NAMES))
    assert schedule.take() is None
    assert runs[1] is not None
    runs[1].finish(other, Observer(watch, 0))
    schedule.end(runs[1])
    curvature = schedule.take()
    assert curvature == task_curvature(other, NAMES[1])
    assert schedule.take() is None
    steps = other.training_of("low").steps
    assert watch.begun[:2] == [("single-task finetuning", 3 * steps), ("joint finetuning", other.joint_training.steps)]
    other.study.close()


def test_after_a_failure_only_the_rest_of_its_stage_is_handed_out(session: Session, tmp_path: Path) -> None:
    other = empty_study(session, tmp_path / "study", Here())
    schedule = Schedule([Previews("diagonal", tuple(corners(NAMES)))], other, Unwatched(), set())
    first = schedule.take()
    assert first is not None
    schedule.end(first, failed=True)
    left = [schedule.take(), schedule.take()]
    for work in left:
        assert work is not None
        work.finish(other, Observer(Unwatched(), 0))
        schedule.end(work)
    assert schedule.take() is None  # the other two tasks' curvature is of a stage that had not begun
    other.study.close()


def test_finished_work_is_passed_over_unless_its_result_is_wanted(session: Session) -> None:
    session.finish([task_curvature(session, NAMES[0])])
    work, watch = task_curvature(session, NAMES[0]), Stages()
    assert Schedule([work], session, watch, set()).take() is None
    assert watch.begun == []
    assert Schedule([work], session, watch, {work}).take() == work


def test_no_two_workers_are_at_the_same_joint_run(session: Session, tmp_path: Path) -> None:
    """Anchored previews need the joint run at uniform weights; its evaluation would train it too."""
    other = empty_study(session, tmp_path / "study", Here())
    works: list[Work[Any]] = [JointRun(uniform(NAMES)), JointEvaluation(uniform(NAMES))]
    schedule = Schedule(works, other, Unwatched(), set())
    run = schedule.take()
    assert run == works[0]
    assert schedule.take() is None
    run.finish(other, Observer(Unwatched(), 0))
    schedule.end(run)
    assert schedule.take() == works[1]
    assert Schedule(works[1:], other, Unwatched(), set()).take() == works[1]
    other.study.close()
