from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from finished import finetuned, site_at
from foretaste.errors import DataError, StudyError
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.sources.site_file import NAME, save_site
from foretaste.work.imported_models import check_unchanged, forget_curvature, imported_models
from foretaste.workflow.experts import check, import_experts, import_into, read_experts
from foretaste.workflow.fit import fit
from foretaste.workflow.session import Session


def expert(
    session: Session, folder: Path, *, height: float | None = None, unit: str = "example", mean: bool = False
) -> Path:
    """All params 1, and curvature of one height beside them; or both in one site file."""
    folder.mkdir()
    params = {name: torch.ones_like(tensor) for name, tensor in snapshot(parameters_of(session.problem.model)).items()}
    if not mean:
        save_file(params, folder / "model.safetensors")
    if height is not None:
        curvature = Diagonal({name: torch.full_like(tensor, height) for name, tensor in params.items()})
        save_site(GaussianSite(params, curvature, record=Record(unit, "adam")), folder / NAME, mean=mean)
    return folder


def test_an_expert_takes_the_place_of_the_first_run_alone(session: Session, tmp_path: Path) -> None:
    import_experts(session.study, {"mid": expert(session, tmp_path / "mid")})
    task = session.problem.tasks[1]
    run = finetuned(session, task)
    assert run.result["imported"] == str(tmp_path / "mid")
    assert all(
        bool((session.study.tensors(run.artefact)[name] == 1).all()) for name in parameters_of(session.problem.model)
    )
    assert "imported" not in finetuned(session, task, member=1).result
    assert "imported" not in finetuned(session, session.problem.tasks[0]).result


@pytest.mark.parametrize("mean", [False, True])
def test_curvature_that_came_along_is_used_until_it_is_made_anew(session: Session, tmp_path: Path, mean: bool) -> None:
    import_experts(
        session.study, {name: expert(session, tmp_path / name, height=2.5, mean=mean) for name in session.problem.names}
    )
    site = site_at(session, "low")
    assert site.record.estimator == "adam"
    assert all(set(tensor.flatten().tolist()) == {2.5} for tensor in site.precision.to_tensors().values())
    fit(session, only_estimate=True)
    assert site_at(session, "low").record.estimator == "fisher:exact"


def test_the_latest_counts(session: Session, tmp_path: Path) -> None:
    one, two = expert(session, tmp_path / "one"), expert(session, tmp_path / "two", height=1.0)
    for folder in (one, two, one):
        import_experts(session.study, {"low": folder})
        assert imported_models(session.study)["low"].expert.folder == folder


def test_curvature_in_another_unit_is_refused(session: Session, tmp_path: Path) -> None:
    import_experts(session.study, {"low": expert(session, tmp_path / "low", height=1.0, unit="token")})
    with pytest.raises(DataError, match="is curvature per token, and task 'low' counts in units of one example"):
        fit(session)


def test_nothing_to_forget_is_no_new_row(session: Session, tmp_path: Path) -> None:
    import_experts(session.study, {"low": expert(session, tmp_path / "low")})
    forget_curvature(session.study)
    assert len(session.study.all_work("import")) == 1


def test_refusals(session: Session, tmp_path: Path) -> None:
    folder = expert(session, tmp_path / "low")
    with pytest.raises(DataError, match="needs its task's name"):
        check({"": folder})
    import_experts(session.study, {"other": folder})
    with pytest.raises(StudyError, match="models for other, the recipe has the tasks low, mid, high"):
        read_experts(session)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match="the expert of other is gone"):
        imported_models(session.study)


@pytest.mark.parametrize("name", ["model.safetensors", NAME])
def test_files_that_change_after_import_are_noticed(session: Session, tmp_path: Path, name: str) -> None:
    folder = expert(session, tmp_path / "low", height=1.0)
    import_experts(session.study, {"low": folder})
    check_unchanged(imported_models(session.study)["low"])
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="has changed since it was imported for task 'low'; import it again"):
        check_unchanged(imported_models(session.study)["low"])
    (folder / name).write_bytes(whole)
    check_unchanged(imported_models(session.study)["low"])  # another time, the same content


@pytest.mark.parametrize("mean", [False, True])
def test_curvature_of_another_model_is_refused_before_anything_is_kept(
    session: Session, tmp_path: Path, mean: bool
) -> None:
    folder = expert(session, tmp_path / "low")
    other = {
        name: torch.full_like(tensor, 2.0) for name, tensor in snapshot(parameters_of(session.problem.model)).items()
    }
    save_site(GaussianSite(other, Diagonal(other)), folder / NAME, mean=mean)
    with pytest.raises(DataError, match=r"low/foretaste-site.*; or remove foretaste-site.safetensors"):
        import_experts(session.study, {"low": folder})
    assert imported_models(session.study) == {}


def test_nothing_is_removed_before_the_new_models_are_checked(session: Session, tmp_path: Path) -> None:
    import_experts(session.study, {"low": expert(session, tmp_path / "low")})
    misfit = expert(session, tmp_path / "mid")
    other = {
        name: torch.full_like(tensor, 2.0) for name, tensor in snapshot(parameters_of(session.problem.model)).items()
    }
    save_site(GaussianSite(other, Diagonal(other)), misfit / NAME, mean=False)
    for folder in (misfit, tmp_path / "nothing"):
        with pytest.raises(DataError):
            import_into(session.study, {"mid": folder}, removed=["low"])
        assert list(imported_models(session.study)) == ["low"]
    with pytest.raises(StudyError, match="has no imported model of 'high' to remove"):
        import_into(session.study, {"mid": expert(session, tmp_path / "other")}, removed=["high"])
    assert list(imported_models(session.study)) == ["low"]


def test_a_model_is_removed_where_others_are_imported(session: Session, tmp_path: Path) -> None:
    import_experts(session.study, {"low": expert(session, tmp_path / "low")})
    result = import_into(session.study, {"mid": expert(session, tmp_path / "mid")}, removed=["low"])
    assert (list(result.experts), result.removed) == (["mid"], ("low",))
    assert import_into(session.study, {}, removed=["mid"]).experts == {}
    import_into(session.study, {"low": tmp_path / "low"})
    again = import_into(session.study, {"low": tmp_path / "low"}, removed=["low"])
    assert list(again.experts) == ["low"]
