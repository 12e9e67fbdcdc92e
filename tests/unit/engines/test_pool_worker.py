"""What a worker does, called in this process."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from engine_studies import empty_study
from foretaste.engines import pool_worker
from foretaste.engines.here import Here
from foretaste.engines.pool_worker import Progress, Ticket, begin_worker, do_work
from foretaste.errors import Stopped, StudyError
from foretaste.method_table import METHOD_TABLE, MethodRow, check_method_name
from foretaste.sources.kinds import kinds
from foretaste.work.results import Run
from foretaste.work.runs import SingleTaskRun
from foretaste.work.work import to_json
from foretaste.workflow.session import Session

LOW = SingleTaskRun("low")


@pytest.fixture
def ticket(session: Session, tmp_path: Path) -> Ticket:
    """What a worker loads to work on an empty study."""
    with empty_study(session, tmp_path / "study", Here()).study as study:
        assert session.origin is not None
        recipe = session.recipe.model_dump(mode="json", exclude_unset=True)
        return Ticket(study.path, recipe, session.origin, session.base, session.data)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, "Queue[Progress]"]]:
    """This process as a worker: what stops it, and where it reports."""
    monkeypatch.setattr(pool_worker, "_Worker", type("_Worker", (), {"ticket": None, "context": None, "stage": ""}))
    spawn = multiprocessing.get_context("spawn")
    stop, progress = spawn.Event(), spawn.Queue()
    begin_worker(stop, progress, None, torch.get_num_threads())
    yield stop, progress
    if pool_worker._Worker.context is not None:
        pool_worker._Worker.context.study.close()
    progress.close()


def test_a_worker_keeps_what_it_makes_and_returns_it(ticket: Ticket, worker: tuple[Event, "Queue[Progress]"]) -> None:
    result = do_work(ticket, to_json(LOW), 7)
    assert isinstance(result, Run)
    context = pool_worker._Worker.context
    assert context is not None
    assert context.study.find(LOW.key(context)) == result.done
    counted = 0
    while counted < 5:  # steps
        number, amount, _ = worker[1].get(timeout=10)
        assert number == 7
        counted += amount
    assert counted == 5


@pytest.mark.usefixtures("worker")
def test_a_worker_loads_once(ticket: Ticket) -> None:
    do_work(ticket, to_json(LOW), 0)
    context = pool_worker._Worker.context
    do_work(ticket, to_json(SingleTaskRun("mid")), 1)
    assert pool_worker._Worker.context is context


def test_a_worker_stops_when_all_are_to_stop(ticket: Ticket, worker: tuple[Event, "Queue[Progress]"]) -> None:
    worker[0].set()
    with pytest.raises(Stopped):
        do_work(ticket, to_json(LOW), 0)


def test_other_content_is_refused(ticket: Ticket) -> None:
    with pytest.raises(StudyError, match=r"a worker loaded the model of .* with other content"):
        replace(ticket, base="another").load()
    with pytest.raises(StudyError, match=r"a worker loaded the data of .* with other content"):
        replace(ticket, data={}).load()


def test_methods_that_were_added_are_known_to_workers(
    ticket: Ticket, worker: tuple[Event, "Queue[Progress]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretaste.method_table.METHOD_TABLE", dict(METHOD_TABLE))
    row = MethodRow("mine", "a method of mine", "foretaste.methods.simple:Simple")
    do_work(replace(ticket, methods=(*METHOD_TABLE.values(), row), kinds=kinds()), to_json(LOW), 0)
    assert check_method_name("mine") == "mine"
