import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foretaste.errors import StorageError, WeightsError
from foretaste.params import parameters_of, snapshot
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.export import export
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import ready
from foretaste.workflow.runs import jointly
from foretaste.workflow.session import Session


@pytest.mark.parametrize("method", ["simple", "diagonal"])
def test_a_preview_is_what_is_written(session: Session, tmp_path: Path, method: str) -> None:
    weights = TaskWeights(session.problem.names, [0.2, 0.3, 0.5])
    own = snapshot(parameters_of(session.problem.model))
    facts = export(session, tmp_path / "out", weights, method)
    expected = ready(session, fit(session), method)[1].merge(weights).params
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(own[name], tensor) for name, tensor in parameters_of(session.problem.model).items())
    assert json.loads((tmp_path / "out" / "foretaste.json").read_text()) == facts
    assert facts["weights"] == {"low": 0.2, "mid": 0.3, "high": 0.5}
    assert ("prior_precision" in facts) == (method == "diagonal")


def test_a_joint_run_is_what_is_written(session: Session, tmp_path: Path) -> None:
    weights = uniform(session.problem.names)
    facts = export(session, tmp_path / "out", weights, "joint")
    run = jointly(session, weights)
    expected = session.study.tensors(run.artefact)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert (facts["method"], facts["params"]) == ("joint", run.artefact)


def test_a_corner_is_the_task_s_model(session: Session, tmp_path: Path) -> None:
    corner = corners(session.problem.names)[0]
    export(session, tmp_path / "out", corner, "diagonal")
    expected = session.study.tensors(fit(session)["low"].run.artefact)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items())


def test_a_folder_that_is_there_is_refused_before_any_work(session: Session, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    before = session.study.all_work()
    with pytest.raises(StorageError, match="out exists already"):
        export(session, tmp_path / "out", uniform(session.problem.names), "joint")
    assert session.study.all_work() == before
    export(session, tmp_path / "out", uniform(session.problem.names), "simple", overwrite=True)
    assert not (tmp_path / "out" / "mine").exists()


def test_nothing_is_written_where_it_fails(session: Session, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        export(session, tmp_path / "out", TaskWeights(["other"], [1.0]), "simple")
    assert not (tmp_path / "out").exists()
