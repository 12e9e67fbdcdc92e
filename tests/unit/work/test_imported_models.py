"""Models that were imported: which counts, whether it is still what was imported, and its curvature."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from foretaste.errors import DataError
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.sources.expert import hash_files, open_expert, stamp_files
from foretaste.sources.site_file import NAME, save_site
from foretaste.store.study import StudyStore
from foretaste.work.imported_models import (
    ImportedModel,
    check_unchanged,
    files_of,
    forget_curvature,
    imported_models,
    remember_model,
    site_of_model,
)
from foretaste.workflow.session import Session


def model_in(
    folder: Path, params: dict[str, torch.Tensor], task: str = "low", *, unit: str | None = None
) -> ImportedModel:
    """A model in a folder, with curvature 2.5 beside it where a unit is given."""
    folder.mkdir()
    save_file(params, folder / "model.safetensors")
    if unit is not None:
        curvature = Diagonal({name: torch.full_like(tensor, 2.5) for name, tensor in params.items()})
        save_site(GaussianSite(params, curvature, record=Record(unit, "adam")), folder / NAME, mean=False)
    expert = open_expert(folder)
    site = None if expert.site is None else hash_files([expert.site])
    return ImportedModel(task, expert, hash_files(expert.files), site, stamp=stamp_files(files_of(expert)))


def test_the_latest_model_of_a_task_counts(tmp_path: Path) -> None:
    models = [model_in(tmp_path / name, {"w": torch.ones(1)}) for name in ("one", "two")]
    with StudyStore.create(tmp_path / "study") as study:
        for number, model in enumerate([*models, models[0]]):
            remember_model(study, model, number)
        found = imported_models(study)["low"]
        assert found.expert.folder == tmp_path / "one"
        assert (found.digest, found.site) == (models[0].digest, None)
        assert imported_models(study, without=["low"]) == {}


def test_a_folder_that_is_gone_is_named_with_the_way_out(tmp_path: Path) -> None:
    model = model_in(tmp_path / "one", {"w": torch.ones(1)})
    with StudyStore.create(tmp_path / "study") as study:
        remember_model(study, model, 0)
        (tmp_path / "one").rename(tmp_path / "moved")
        with pytest.raises(DataError, match=r"the expert of low is gone: .*; import it again, or .* --remove low"):
            imported_models(study)


def test_changed_content_is_refused_and_a_new_date_is_not(tmp_path: Path) -> None:
    model = model_in(tmp_path / "one", {"w": torch.ones(1)})
    check_unchanged(model)
    check_unchanged(replace(model, stamp=()))  # the content decides where times differ
    save_file({"w": torch.zeros(3)}, tmp_path / "one" / "model.safetensors")
    with pytest.raises(DataError, match="has changed since it was imported for task 'low'; import it again"):
        check_unchanged(model)
    with pytest.raises(DataError, match="has changed since it was imported as the base"):
        check_unchanged(replace(model, task=""))


def test_curvature_in_a_site_file_is_at_the_model_s_params(session: Session, tmp_path: Path) -> None:
    params = {name: torch.ones_like(tensor) for name, tensor in snapshot(parameters_of(session.problem.model)).items()}
    model = model_in(tmp_path / "low", params, unit="example")
    site = site_of_model(session, session.task("low"), model, params)
    assert all(torch.equal(site.center[name], tensor) for name, tensor in params.items())
    assert all(set(tensor.flatten().tolist()) == {2.5} for tensor in site.precision.to_tensors().values())


def test_curvature_in_another_unit_is_refused(session: Session, tmp_path: Path) -> None:
    params = dict(snapshot(parameters_of(session.problem.model)))
    model = model_in(tmp_path / "low", params, unit="token")
    with pytest.raises(DataError, match="is curvature per token, and task 'low' counts in units of one example"):
        site_of_model(session, session.task("low"), model, params)


def test_curvature_is_forgotten_and_the_model_is_not(tmp_path: Path) -> None:
    model = model_in(tmp_path / "one", {"w": torch.ones(1)}, unit="example")
    assert len(files_of(model.expert)) == 2
    with StudyStore.create(tmp_path / "study") as study:
        remember_model(study, model, 0)
        forget_curvature(study)
        found = imported_models(study)["low"]
        assert found.site is None
        assert found.digest == model.digest
