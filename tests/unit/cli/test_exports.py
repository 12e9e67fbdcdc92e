import subprocess
import sys
from pathlib import Path

import pytest

from commands import ENVIRONMENT, foretaste, refused
from hub import hub
from problems import digits_recipe


def test_export_replaces_only_what_foretaste_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--overwrite", "--to"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    monkeypatch.chdir(tmp_path / "mine")
    for target in (tmp_path / "mine", Path("."), Path("..")):
        said = refused(*export, target)
        reasons = (
            "--overwrite replaces only what foretaste wrote",
            "is the folder that you are in",
            "holds the study's folder",
        )
        assert any(reason in said for reason in reasons)
        assert "finetuning" not in said
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    assert foretaste(*export, tmp_path / "out").code == 0
    assert foretaste(*export, tmp_path / "out").code == 0


def test_training_a_joint_run_is_said(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--joint", "--json", "--to"]
    assert "no joint run at low=" in foretaste(*export, tmp_path / "one").err
    assert "no joint run" not in foretaste(*export, tmp_path / "two").err
    assert "trained if there is none" in " ".join(foretaste("export", "--help").out.replace("│", " ").split())


def test_a_study_without_experts(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    assert foretaste("fit", recipe, "--study", tmp_path / "study").code == 0
    assert "nothing was imported into" in refused("export", tmp_path / "study", "--to", tmp_path / "x", "-w", "uniform")


def test_uploads_are_for_models(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--to", tmp_path / "out"]
    assert "--private is for uploads; add --push NAME" in refused(*export, "--private")
    assert "--push uploads models" in refused(*export, "--push", "mix", "--mixture", "jsonl")
    assert not (tmp_path / "study").exists()


def test_an_upload_that_cannot_be_made_is_refused_before_any_work(tmp_path: Path) -> None:
    """The tests run without a network."""
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--to", tmp_path / "out"]
    message = refused(*export, "--push", "mix")
    assert "mix cannot be uploaded" in message or "uploading mix needs a token" in message
    assert not (tmp_path / "out").exists()
    assert "finetuning" not in message


def test_a_model_is_written_and_uploaded(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    out = tmp_path / "out"
    command = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--to", out, "--push", "mix"]
    with hub() as served:
        done = subprocess.run(
            [sys.executable, "-m", "foretaste", *map(str, command)],
            env={**ENVIRONMENT, **served.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == f"uploaded to {served.address}/ann/mix"
        assert served.files["ann/mix"] == {path.name: path.read_bytes() for path in out.iterdir()}
