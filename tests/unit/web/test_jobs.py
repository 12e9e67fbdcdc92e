"""Jobs are done by the use cases of the commands."""

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from checkpoints import Checkpoints, sentences, table, transformers_recipe
from foretaste.errors import Diverged
from foretaste.evaluation import Fidelity
from foretaste.recipe import read
from foretaste.store.queue import Kind, Queue, State
from foretaste.store.study import StudyStore
from foretaste.study.study import Study
from foretaste.web import jobs as module
from foretaste.web.jobs import do_waiting_jobs, folder_name
from foretaste.weights import TaskWeights
from foretaste.work.context import Unwatched
from foretaste.workflow.check import check
from foretaste.workflow.export import EXPORTS
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.points import Points
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

HERE = "low=0.2,mid=0.3,high=0.5"
WEIGHTS = TaskWeights(("low", "mid", "high"), (0.2, 0.3, 0.5))


@pytest.fixture
def simple(session: Session) -> Session:
    preview = session.recipe.preview.model_copy(update={"methods": ["simple", "predictive"]})
    return replace(session, recipe=session.recipe.model_copy(update={"preview": preview}))


@pytest.fixture
def queue(session: Session) -> Iterator[Queue]:
    with StudyStore.open_queue(session.study.path) as found:
        yield found


def made(session: Session) -> set[tuple[str, str]]:
    return {
        (str(row.fidelity), row.label) for row in read_outcome(session.study).surface.rows if row.weights == WEIGHTS
    }


def test_each_kind(simple: Session, queue: Queue) -> None:
    queue.add(Kind.PREVIEW, HERE)
    assert do_waiting_jobs(Study.of(simple), queue) == 1
    assert made(simple) == {("preview", "simple"), ("preview", "predictive")}
    queue.add(Kind.SHARPEN, HERE)
    queue.add(Kind.TRAIN, HERE)
    assert do_waiting_jobs(Study.of(simple), queue) == 2
    assert made(simple) == {
        ("preview", "simple"),
        ("preview", "predictive"),
        ("sharpened", "simple+1"),
        ("joint", "joint"),
    }
    assert [job.state for job in queue.jobs()] == [State.DONE] * 3
    rows = {row.label: row.metrics for row in read_outcome(simple.study).surface.rows if row.weights == WEIGHTS}
    for job, method in zip(queue.jobs(), ("predictive", "simple+1", "joint"), strict=True):  # what was found is told
        assert job.message == ", ".join(f"{task} {rows[method][task]['accuracy']:.3f}" for task in simple.problem.names)
    assert queue.jobs()[2].total > 0
    assert do_waiting_jobs(Study.of(simple), queue) == 0


def test_exports_go_to_a_folder_of_the_study(simple: Session, queue: Queue) -> None:
    for kind in (Kind.EXPORT_PREVIEW, Kind.EXPORT_JOINT, Kind.EXPORT_PREVIEW):
        queue.add(kind, HERE)
        assert do_waiting_jobs(Study.of(simple), queue) == 1
    messages = [job.message for job in queue.jobs()]
    assert messages == [
        f"{EXPORTS}/simple-0.2-0.3-0.5",
        f"{EXPORTS}/joint-0.2-0.3-0.5",
        f"{EXPORTS}/simple-0.2-0.3-0.5",
    ]
    for message, method in zip(messages, ("simple", "joint"), strict=False):
        facts = json.loads((simple.study.path / message / "foretaste.json").read_text())
        assert (facts["method"], facts["at"]) == (method, WEIGHTS.key)


def test_a_mixture_needs_tasks_from_files(simple: Session, queue: Queue) -> None:
    queue.add(Kind.EXPORT_MIXTURE, HERE)
    assert do_waiting_jobs(Study.of(simple), queue) == 0
    assert queue.jobs()[0].state == State.FAILED
    assert "have no rows to write" in queue.jobs()[0].message


def test_a_mixture_of_tasks_from_files(tmp_path: Path, checkpoints: Checkpoints, offline: None) -> None:
    files = {
        name: tuple(table(tmp_path / f"{name}-{part}.jsonl", sentences(8, part)) for part in (0, 1))
        for name in ("a", "b")
    }
    recipe = transformers_recipe(tmp_path / "r.yaml", checkpoints.bert, files)  # type: ignore[arg-type]
    plan, text = read(recipe)
    with (
        (session := start(plan, text, check(plan, text, str(recipe))[1], tmp_path / "study")).study,
        StudyStore.open_queue(tmp_path / "study") as queue,
    ):
        names = session.problem.names
        queue.add(Kind.EXPORT_MIXTURE, ",".join(f"{name}={1 / len(names)}" for name in names))
        assert do_waiting_jobs(Study.of(session), queue) == 1, queue.jobs()
        folder = tmp_path / "study" / queue.jobs()[0].message
        assert folder.name.startswith("data-mixture-")
        assert any(path.suffix == ".jsonl" for path in folder.iterdir())


def test_a_full_disk_fails_the_job_and_leaves_nothing_half_done(
    simple: Session, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    queue.add(Kind.EXPORT_PREVIEW, HERE)
    monkeypatch.setattr("foretaste.sources.problem.save_file", full)
    assert do_waiting_jobs(Study.of(simple), queue) == 0
    assert queue.jobs()[0].state == State.FAILED
    assert "No space left on device" in queue.jobs()[0].message
    assert list((simple.study.path / EXPORTS).iterdir()) == []


def test_a_job_that_fails_does_not_keep_others(simple: Session, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise Diverged("the loss became NaN at step 3")

    monkeypatch.setattr(Study, "train", fails)
    queue.add(Kind.TRAIN, HERE)
    queue.add(Kind.PREVIEW, HERE)
    queue.add(Kind.PREVIEW, "nonsense=1")
    assert do_waiting_jobs(Study.of(simple), queue) == 1
    assert [job.state for job in queue.jobs()] == [State.FAILED, State.DONE, State.FAILED]
    assert queue.jobs()[0].message == "the loss became NaN at step 3"
    assert "unknown task 'nonsense'" in queue.jobs()[2].message


def test_a_cancelled_job_stops_and_what_it_had_stays(
    simple: Session, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Study.train
    monkeypatch.setattr(module, "_EVERY", 0.0)
    job = queue.add(Kind.TRAIN, HERE)

    def cancels(study: Study, points: Points) -> object:
        queue.cancel(job.id)
        return train(study, points)

    monkeypatch.setattr(Study, "train", cancels)
    assert do_waiting_jobs(Study.of(simple), queue) == 0
    assert queue.jobs()[0].state == State.CANCELLED
    assert made(simple) == set()


def test_a_worker_that_leaves_lets_the_job_wait(simple: Session, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.0)
    queue.add(Kind.TRAIN, HERE)
    asked = iter([False, False, True, True, True, True])
    assert do_waiting_jobs(Study.of(simple), queue, lambda: next(asked, True)) == 0
    assert queue.jobs()[0].state == State.QUEUED
    assert do_waiting_jobs(Study.of(simple), queue) == 1
    assert ("joint", "joint") in made(simple)


def test_the_recipe_is_left_as_it_was(simple: Session, queue: Queue) -> None:
    queue.add(Kind.PREVIEW, HERE)
    do_waiting_jobs(Study.of(simple), queue)
    assert isinstance(simple.watch, Unwatched)
    assert read_outcome(simple.study).surface.where(Fidelity.PREVIEW).rows


def test_exports_at_almost_the_same_weights_have_folders_of_their_own() -> None:
    weights = [TaskWeights("ab", [share, 1 - share]) for share in (1 / 3, 0.3333)]
    assert len({folder_name("simple", each) for each in weights}) == 2
