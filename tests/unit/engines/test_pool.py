"""What only worker processes can do: die, load other content, and share previews."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine_studies import NAMES, StopAfter, empty_study, long_study
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import StudyError
from foretaste.simplex import lattice
from foretaste.store.study import StudyStore
from foretaste.work.runs import JointRun, SingleTaskRun
from foretaste.workflow.session import Session


@pytest.mark.slow
def test_a_killed_worker_s_piece_goes_to_another_and_on_from_its_state(session: Session, tmp_path: Path) -> None:
    with Pool(2) as pool:
        often = long_study(session, tmp_path / "study", pool)
        often = replace(often, recipe=often.recipe.model_copy(update={"snapshot_seconds": 0.1}), engine=pool)
        works = [JointRun(weights) for weights in lattice(NAMES, 2)[:3]]
        killed: list[int] = []

        def kill() -> None:
            key = works[0].key(often)
            with StudyStore.open(often.study.path) as study:
                while study.load_snapshot(key)[0] is None:
                    time.sleep(0.02)
            process = next(iter(pool._executors[0]._processes.values()))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

        thread = threading.Thread(target=kill)
        thread.start()
        counting = StopAfter(after=1 << 30)
        results = dict(pool.run(works, often, counting))
        thread.join()
        assert killed
        assert counting.count == 3 * 500
        whole = long_study(session, tmp_path / "whole", Here())
        assert [results[work].done.artefact for work in works] == [run.done.artefact for run in whole.finish(works)]
        often.study.close()
        whole.study.close()


def test_a_problem_that_was_made_in_memory_is_refused(session: Session, tmp_path: Path) -> None:
    with Pool(2) as pool:
        other = replace(empty_study(session, tmp_path / "study", pool), origin=None)
        with pytest.raises(
            StudyError, match="were made in memory, where other processes cannot load them; use 1 worker"
        ):
            other.finish([SingleTaskRun("low")])
        other.study.close()


def test_a_worker_that_loads_other_content_refuses(session: Session, tmp_path: Path) -> None:
    with Pool(2) as pool:
        other = replace(empty_study(session, tmp_path / "study", pool), base="another")
        with pytest.raises(StudyError, match=r"a worker loaded the model of .* with other content"):
            other.finish([SingleTaskRun("low")])
        other.study.close()


def test_previews_are_split_among_the_workers() -> None:
    points = lattice(NAMES, 3)
    parts = Pool(2).split(points)
    assert len(parts) == 4
    assert sorted(str(weights) for part in parts for weights in part) == sorted(map(str, points))
    assert Pool(2).split(points[:1]) == [(points[0],)]


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_needs_workers(workers: int) -> None:
    with pytest.raises(StudyError, match="a pool needs at least 1 worker"):
        Pool(workers)
