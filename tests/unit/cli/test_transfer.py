"""What needs no checkpoint; the whole way is in tests/flows/test_import.py."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from commands import foretaste, refused
from problems import digits_recipe


def test_import_prints_a_table_or_json(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "optimizer.pt").touch()
    shown = foretaste("import", tmp_path / "study", "--task", f"a={tmp_path}")
    assert "tensors" in shown.out
    assert "note: task 'a': " in shown.out
    assert "optimizer.pt is a pickle" in shown.out
    assert "foretaste export" not in shown.out  # plain tensors have no form to be merged into
    found = json.loads(foretaste("import", tmp_path / "study", "--task", f"a={tmp_path}", "--json").out)
    assert found["experts"] == {"a": {"folder": str(tmp_path), "kind": "tensors", "curvature": False}}


def test_what_is_replaced_and_removed_is_said(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_file({"w": torch.ones(1)}, tmp_path / name / "model.safetensors")
    study = tmp_path / "study"
    assert f"{study} does not exist, so there is nothing to remove" in refused("import", study, "--remove", "a")
    assert not study.exists()
    foretaste("import", study, "--task", f"a={tmp_path / 'one'}", "--task", f"b={tmp_path / 'one'}")
    again = foretaste("import", study, "--task", f"a={tmp_path / 'two'}").out
    assert f"note: a replaces the former a ({tmp_path / 'one'})" in again
    assert "has no imported model of 'c' to remove; it has: a, b" in refused(
        "import", study, "--remove", "c", "--remove", "a"
    )
    shutil.rmtree(tmp_path / "two")  # what is gone can still be removed, or replaced
    assert f"foretaste import {study} --remove a" in refused("import", study, "--task", f"b={tmp_path / 'one'}")
    assert foretaste("import", study, "--task", f"a={tmp_path / 'one'}").code == 0
    found = json.loads(foretaste("import", study, "--remove", "a", "--json").out)
    assert (list(found["experts"]), found["removed"]) == (["b"], ["a"])
    assert "removed: b" in foretaste("import", study, "--remove", "b").out
    assert (tmp_path / "one" / "model.safetensors").is_file()


def test_the_next_step_is_one_that_works(tmp_path: Path) -> None:
    """A base alone cannot be exported yet."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    save_file({"w": torch.ones(1)}, tmp_path / "base" / "model.safetensors")
    study = tmp_path / "study"
    base = foretaste("import", study, "--base", tmp_path / "base").out
    assert f"next: foretaste import {study} --task NAME=FOLDER" in base
    assert "foretaste export" not in base
    assert f"next: foretaste export {study}" in foretaste("import", study, "--task", f"a={tmp_path / 'base'}").out
    alone = foretaste("import", tmp_path / "other", "--task", f"a={tmp_path / 'base'}").out
    assert (
        f"note: merging checkpoints needs the model they come from; add it: foretaste import {tmp_path / 'other'}"
        " --base" in alone
    )
    assert "foretaste export" not in alone


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


def test_a_rank_is_for_imported_adapters(tmp_path: Path) -> None:
    assert "--rank is for sums of imported adapters" in refused(
        "export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--rank", 2
    )


def test_a_memory_budget_is_for_imported_checkpoints(tmp_path: Path) -> None:
    export = ["export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--memory"]
    assert "--memory is for merges of imported checkpoints; name the study's folder" in refused(*export, "2GiB")
    assert "--memory 'lots' is not a size; write a number above 0 and a unit" in refused(
        "export", tmp_path, "--to", tmp_path / "x", "--memory", "lots"
    )


def test_a_study_without_experts(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    assert foretaste("fit", recipe, "--study", tmp_path / "study").code == 0
    assert "nothing was imported into" in refused("export", tmp_path / "study", "--to", tmp_path / "x", "-w", "uniform")
