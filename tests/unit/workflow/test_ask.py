from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from foretaste.errors import DataError, StudyError, WeightsError
from foretaste.simplex import dirichlet
from foretaste.surface.table import Array, Headline, Surface
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.ask import ask, drop_pending, pending_runs, space_filling
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.outside import OutsideQuestion
from foretaste.workflow.session import Session
from foretaste.workflow.tell import OutsideRun, tell
from swarms import DOMAINS, made_up_runs, run_at, swarm


def test_the_first_runs_fill_the_space(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        runs = ask(study, 6)
    assert [run.weights for run in runs[:4]] == [uniform(DOMAINS), *corners(DOMAINS)]
    assert all(run.gain is None for run in runs)
    assert len({run.weights for run in runs}) == 6


def test_pending_runs_are_not_proposed_again_until_they_are_dropped(tmp_path: Path) -> None:
    with swarm(tmp_path / "s", made_up_runs(12)) as study:
        first, second = ask(study, 3), ask(study, 3)
        assert all(run.gain for run in first)
        assert not {run.weights for run in first} & {run.weights for run in second}
        assert pending_runs(study) == [*first, *second]
        assert drop_pending(study, [first[0].weights]) == [first[0]]
        assert len(drop_pending(study)) == 5
        assert pending_runs(study) == []
        assert ask(study)[0].weights == first[0].weights
        drop_pending(study)
        with pytest.raises(StudyError, match=r"no run at .* is pending"):
            drop_pending(study, [first[0].weights])


def test_a_told_run_is_no_longer_pending_even_if_its_weights_were_rounded(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        (run,) = ask(study)
        rounded = TaskWeights(DOMAINS, [0.333, 0.333, 0.334])
        tell(study, [run_at(rounded, "proxy-60m")])
        assert pending_runs(study) == [run]
        tell(study, [run_at(rounded)])
        assert pending_runs(study) == []


def test_pending_runs_expire(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        first = ask(study)
        assert ask(study, expire_hours=1)[0].weights != first[0].weights
        assert ask(study, expire_hours=0)[0].weights == first[0].weights
        assert len(pending_runs(study)) == 1


@pytest.mark.parametrize("proxies", [0, 20], ids=["no run", "proxies"])
def test_weights_that_come_back_rounded_are_not_proposed_again(tmp_path: Path, proxies: int) -> None:
    with swarm(tmp_path / "s", made_up_runs(proxies, "proxy-60m")) as study:
        asked = []
        for _ in range(6):
            (run,) = ask(study)
            asked.append(run.weights)
            shares = [round(share, 3) for share in run.weights.values()]
            shares[-1] = round(1 - sum(shares[:-1]), 3)
            assert tell(study, [run_at(TaskWeights(DOMAINS, shares))]).new == 1
            assert pending_runs(study) == []
    gaps = [np.abs(np.subtract(one.shares, other.shares)).max() for one, other in combinations(asked, 2)]
    assert min(gaps) > 0.002


@pytest.mark.parametrize("hours", [float("nan"), -1.0, 1e12])
def test_a_time_that_is_none_is_refused(tmp_path: Path, hours: float) -> None:
    with swarm(tmp_path / "s") as study, pytest.raises(WeightsError, match="proposals cannot expire after"):
        ask(study, expire_hours=hours)


def test_asking_finds_better_weights_than_as_many_random_runs(tmp_path: Path) -> None:
    """The control has the same law, count of runs and recommendation; only where the runs are differs."""
    names = tuple(f"d{number}" for number in range(8))
    question = OutsideQuestion.of({"a": "loss", "b": "loss"}, names)
    losses: dict[str, list[float]] = {"asked": [], "random": []}
    for seed in range(3):
        slopes = np.random.default_rng(seed).exponential(2.0, (2, len(names)))

        def run(weights: TaskWeights, slopes: Array = slopes) -> OutsideRun:
            first, second = np.exp(-slopes @ np.array(list(weights.values()))).tolist()
            return OutsideRun(weights, {"a": {"loss": first}, "b": {"loss": second}})

        random = dirichlet(names, 10, np.random.default_rng(seed))
        for kind, sums in losses.items():
            with swarm(tmp_path / f"{kind}-{seed}", question=question) as study:
                for place in range(10):
                    tell(study, [run(ask(study)[0].weights if kind == "asked" else random[place])])
                best = read_outcome(study).summary().recommendation
            assert best is not None
            sums.append(sum(metrics["loss"] for metrics in run(best.weights).metrics.values()))
    assert np.mean(losses["asked"]) < 0.9 * np.mean(losses["random"])


def test_cheap_runs_are_asked_for_by_name(tmp_path: Path) -> None:
    with swarm(tmp_path / "s", made_up_runs(12, "proxy-60m")) as study:
        runs = ask(study, 2, "proxy-60m")
        assert [run.fidelity for run in runs] == ["proxy-60m"] * 2
        assert ask(study)[0].weights == uniform(DOMAINS)  # the first joint run
        for name, error in (("simple", DataError), ("joint", WeightsError)):
            with pytest.raises(error):
                ask(study, 0 if name == "joint" else 1, name)


def test_many_domains_begin_inside_the_simplex(tmp_path: Path) -> None:
    names = tuple(f"d{number}" for number in range(17))
    question = OutsideQuestion.of({"a": "loss"}, names)
    with swarm(tmp_path / "s", question=question) as study:
        runs = ask(study, 5)
        assert runs[0].weights == uniform(names)
        assert all(min(run.weights.values()) > 0 for run in runs)
        tell(study, [OutsideRun(run.weights, {"a": {"loss": 3 - run.weights["d3"]}}) for run in runs])
        assert len(ask(study, 3)) == 3


def test_space_is_filled_far_from_what_is_taken() -> None:
    surface = Surface({name: Headline("f1") for name in "abc"}, ())
    taken = [uniform("abc"), *corners("abc")]
    chosen = space_filling(surface, taken, 3)
    assert len(set(chosen)) == 3
    assert all(sorted(weights.values())[1] > 0.2 for weights in chosen)
    assert space_filling(surface, taken, 0) == []
    private = replace(surface, has_private_heads=True)
    assert all(min(weights.values()) > 0 for weights in space_filling(private, (), 4))


def test_a_study_with_a_model_may_be_asked(session: Session) -> None:
    names = session.problem.names
    assert ask(session.study)[0].weights == uniform(names)
