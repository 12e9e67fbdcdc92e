"""What needs no checkpoint; the whole way is in tests/flows/test_import.py."""

import json
from pathlib import Path

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


def test_a_rank_is_for_imported_adapters(tmp_path: Path) -> None:
    assert "--rank is for sums of imported adapters" in refused("export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--rank", 2)


def test_a_memory_budget_is_for_imported_checkpoints(tmp_path: Path) -> None:
    export = ["export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--memory"]
    assert "--memory is for merges of imported checkpoints; name the study's folder" in refused(*export, "2GiB")
    assert "--memory 'lots' is no size; write a number above 0 and a unit" in refused(
        "export", tmp_path, "--to", tmp_path / "x", "--memory", "lots"
    )


def test_a_study_without_experts(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    assert foretaste("fit", recipe, "--study", tmp_path / "study").code == 0
    assert "nothing was imported into" in refused("export", tmp_path / "study", "--to", tmp_path / "x", "-w", "uniform")
