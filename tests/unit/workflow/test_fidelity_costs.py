from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.errors import DataError
from foretaste.weights import uniform
from foretaste.workflow.fidelity_costs import check_cost, fidelity_costs, set_fidelity_cost, stored_costs
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.tell import tell
from swarms import DOMAINS, run_at, swarm


def test_costs_of_fidelities(tmp_path: Path) -> None:
    proxy = run_at(uniform(DOMAINS), "proxy-60m")
    with swarm(tmp_path / "s", [proxy]) as study:
        assert fidelity_costs(study) == {"joint": 1.0}
        for cost in (0.05, 0.1, 0.05):
            set_fidelity_cost(study, "proxy-60m", cost)
        assert fidelity_costs(study) == {"proxy-60m": 0.05, "joint": 1.0}
        tell(study, [replace(proxy, seed=1)])
        assert read_outcome(study).surface.rows[-1].cost == 0.05
        with pytest.raises(DataError, match="cost of proxy-60m is 0"):
            set_fidelity_cost(study, "proxy-60m", 0)


def test_a_cost_is_kept_for_runs_that_do_not_tell_theirs(tmp_path: Path) -> None:
    proxy = run_at(uniform(DOMAINS), "proxy-60m")
    with swarm(tmp_path / "s") as study:
        tell(study, [replace(proxy, cost=0.5)], costs={"proxy-60m": 0.5})
        tell(study, [replace(proxy, seed=1)])
        assert [row.cost for row in read_outcome(study).surface.rows] == [0.5, 0.5]
        assert fidelity_costs(study)["proxy-60m"] == 0.5
        with pytest.raises(DataError, match="cost of proxy-60m is 0"):
            tell(study, [replace(proxy, seed=2)], costs={"proxy-60m": 0.0})
        assert len(read_outcome(study).surface.rows) == 2  # nothing was written


def test_a_run_of_unknown_cost_does_not_cheapen_the_others(tmp_path: Path) -> None:
    joint = run_at(uniform(DOMAINS))
    with swarm(tmp_path / "s", [replace(joint, cost=3600.0), *(replace(joint, seed=seed) for seed in (1, 2))]) as study:
        assert fidelity_costs(study) == {"joint": 3600.0}


def test_costs_by_name_are_checked_and_stored(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        assert stored_costs(study) == {}
        set_fidelity_cost(study, "proxy-60m", 0.25)
        assert stored_costs(study) == {"proxy-60m": 0.25}
    for name, cost in (("proxy 60m", 1.0), ("proxy-60m", float("nan"))):
        with pytest.raises(DataError):
            check_cost(name, cost)
