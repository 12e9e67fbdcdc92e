from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.errors import DataError, WeightsError
from foretaste.evaluation import Fidelity
from foretaste.weights import uniform
from foretaste.workflow.outcome import empty_surface, read_outcome
from foretaste.workflow.session import Session
from foretaste.workflow.tell import (
    OutsideRun,
    TellResult,
    read_metrics,
    read_weights,
    tell,
)
from swarms import DOMAINS, made_up_runs, run_at, swarm


def test_telling_again_changes_nothing(tmp_path: Path) -> None:
    runs = made_up_runs(5)
    with swarm(tmp_path / "s", runs) as study:
        revision = study.revision()
        assert tell(study, runs) == TellResult(unchanged=5)
        assert tell(study, [*runs, run_at(uniform(DOMAINS))]) == TellResult(new=1, unchanged=5)
        assert len(read_outcome(study).surface.rows) == 6
        assert study.revision() != revision


def test_fidelity_and_seed_make_another_run(tmp_path: Path) -> None:
    run = run_at(uniform(DOMAINS))
    with swarm(tmp_path / "s", [run, replace(run, seed=1), replace(run, fidelity="proxy-60m")]) as study:
        rows = read_outcome(study).surface.rows
    assert [(row.fidelity, row.method, row.seed) for row in rows] == [
        (Fidelity.JOINT, "joint", 0),
        (Fidelity.JOINT, "joint", 1),
        (Fidelity.PREVIEW, "proxy-60m", 0),
    ]


def test_other_numbers_are_refused_unless_they_replace(tmp_path: Path) -> None:
    run = replace(run_at(uniform(DOMAINS)), origin="line 2")
    changed = replace(run, metrics={"qa": {"accuracy": 0.9}})
    with swarm(tmp_path / "s", [run]) as study:
        with pytest.raises(
            DataError, match=r"line 2 \(joint, seed 0\): accuracy of qa was 0\.\d+, is 0\.9\n.*--replace"
        ):
            tell(study, [changed, run_at(uniform(DOMAINS), seed=4)])
        assert len(read_outcome(study).surface.rows) == 1
        assert tell(study, [changed], replace_numbers=True) == TellResult(replaced=1)
        (row,) = read_outcome(study).surface.rows
    assert row.metrics["qa"]["accuracy"] == 0.9
    assert set(row.metrics["coding"]) == {"pass@1", "pass@10"}


def test_more_metrics_of_a_run_are_added(tmp_path: Path) -> None:
    run = run_at(uniform(DOMAINS))
    with swarm(tmp_path / "s") as study:
        assert tell(study, [replace(run, metrics={"qa": run.metrics["qa"]})]) == TellResult(new=1, incomplete=1)
        assert tell(study, [run]) == TellResult(extended=1)
        assert dict(read_outcome(study).surface.rows[0].metrics["coding"]) == run.metrics["coding"]


def test_the_same_run_twice_with_other_numbers_needs_seeds(tmp_path: Path) -> None:
    run = replace(run_at(uniform(DOMAINS)), origin="line 2")
    twin = replace(run, metrics={"qa": {"accuracy": 0.1}}, origin="line 9")
    with swarm(tmp_path / "s") as study, pytest.raises(DataError, match=r"line 9 .*: line 2 has the same weights"):
        tell(study, [run, twin])


def test_more_metrics_leave_the_cost(tmp_path: Path) -> None:
    run = run_at(uniform(DOMAINS))
    with swarm(tmp_path / "s", [replace(run, metrics={"qa": run.metrics["qa"]}, cost=0.5)]) as study:
        assert tell(study, [run]) == TellResult(extended=1)
        assert read_outcome(study).surface.rows[0].cost == 0.5
        assert tell(study, [replace(run, cost=0.75)]) == TellResult(extended=1)
        assert tell(study, [run]) == TellResult(unchanged=1)
        assert read_outcome(study).surface.rows[0].cost == 0.75


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -3.0])
def test_a_cost_that_is_none_is_refused(cost: float) -> None:
    with pytest.raises(DataError, match="the cost is"):
        replace(run_at(uniform(DOMAINS)), cost=cost)


def test_a_seed_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(DataError, match="has too many digits"):
        replace(run_at(uniform(DOMAINS)), seed=10**30)


def test_incomplete_runs_are_counted_whenever_they_are_told(tmp_path: Path) -> None:
    run = run_at(uniform(DOMAINS))
    part = replace(run, metrics={"qa": run.metrics["qa"]})
    with swarm(tmp_path / "s", [part]) as study:
        assert tell(study, [part]) == TellResult(unchanged=1, incomplete=1)


def test_weights_by_name(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        surface = empty_surface(study)
    assert read_weights(surface, {"web": 1.0}).corner == "web"
    assert read_weights(surface, {"web": 3e9, "books": 1e9}, normalise=True)["web"] == 0.75
    for shares, reason in (
        ({"news": 1.0}, "weights of news, which the study does not mix"),
        ({"web": 60, "code": 40}, "sum to 100, not 1; they look like percentages; add --normalise"),
        ({"web": 0.7}, r"sum to 0\.7, not 1; add --normalise"),
        ({"web": 2.0, "code": -1.0}, "weight of task 'code' is -1"),
        ({"web": float("nan")}, "weight of task 'web' is nan"),
    ):
        with pytest.raises(WeightsError, match=reason):
            read_weights(surface, shares)


def test_metrics_by_task(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        surface = empty_surface(study)
    assert read_metrics(surface, {"coding": 0.5}) == {"qa": {}, "coding": {"pass@1": 0.5}}
    for metrics, reason in (
        ({"chat": 0.5}, "metrics of chat, which is no task"),
        ({"qa": float("inf")}, "accuracy of task 'qa' is inf"),
        ({}, "no metric of any task"),
    ):
        with pytest.raises(DataError, match=reason):
            read_metrics(surface, metrics)


def test_a_study_with_a_model_takes_runs_from_elsewhere(session: Session) -> None:
    names = session.problem.names
    run = OutsideRun(uniform(names), {name: {"accuracy": 0.5, "loss": 1.0} for name in names}, seed=9)
    assert tell(session.study, [run]) == TellResult(new=1)
    row = read_outcome(session.study).surface.rows[-1]
    assert (row.fidelity, row.seed) == (Fidelity.JOINT, 9)
