import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finished import jointly
from foretaste.errors import StorageError, WeightsError
from foretaste.params import parameters_of, snapshot
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Unwatched
from foretaste.workflow.experts import import_experts
from foretaste.workflow.export import check_target, export
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session


@pytest.mark.parametrize("method", ["simple", "diagonal"])
def test_a_preview_is_what_is_written(session: Session, tmp_path: Path, method: str) -> None:
    weights = TaskWeights(session.problem.names, [0.2, 0.3, 0.5])
    own = snapshot(parameters_of(session.problem.model))
    facts = export(session, tmp_path / "out", weights, method)
    expected = prepare_merger(session, method)[1].merge(weights).params
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(own[name], tensor) for name, tensor in parameters_of(session.problem.model).items())
    manifest = json.loads((tmp_path / "out" / "foretaste.json").read_text())
    assert {"written": str(tmp_path / "out"), **manifest} == facts
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
    assert all(
        torch.equal(tensor, expected[name])
        for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items()
    )


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_there_is_refused_before_any_work(session: Session, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    before = session.study.all_work()
    for target in (tmp_path / "out", session.study.path):
        with pytest.raises(StorageError, match=r"(exists already|not written by foretaste|is the study's folder)"):
            export(session, target, uniform(session.problem.names), "joint", overwrite=overwrite)
    assert session.study.all_work() == before
    assert (tmp_path / "out" / "mine").read_text() == "mine"


def test_what_the_study_needs_is_never_replaced(session: Session, tmp_path: Path) -> None:
    weights = uniform(session.problem.names)
    within, own = session.study.path / "tensors" / "mine", session.study.path / "exports" / "mine"
    for target in (tmp_path / "expert", own):
        export(session, target, weights, "simple")
    with pytest.raises(StorageError, match=r"is within the study .*, which only the study itself writes to"):
        export(session, within, weights, "simple")
    shutil.copytree(own, within)
    import_experts(session.study, {"low": tmp_path / "expert"})
    for target, what in (
        (tmp_path / "expert", "is the imported model of task 'low'"),
        (within, "is within the study's folder"),
    ):
        with pytest.raises(StorageError, match=f"{what} .*, which --overwrite does not replace"):
            check_target(session.recipe, session.study.path, target, overwrite=True)
    export(session, own, weights, "simple", overwrite=True)  # the page's own exports are made anew


def test_training_a_joint_run_is_said(session: Session, tmp_path: Path) -> None:
    heard = Heard()
    weights = uniform(session.problem.names)
    for _ in range(2):
        export(replace(session, watch=heard), tmp_path / "out", weights, "joint", overwrite=True)
    assert heard.lines == [f"no joint run at {weights} yet: training one, {session.joint_training.steps} steps"]


class Heard(Unwatched):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_nothing_is_written_where_it_fails(session: Session, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        export(session, tmp_path / "out", TaskWeights(["other"], [1.0]), "simple")
    assert not (tmp_path / "out").exists()
