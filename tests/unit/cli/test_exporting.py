from pathlib import Path

from commands import refused
from problems import digits_recipe


def test_a_rank_is_for_adapters(tmp_path: Path) -> None:
    assert "rank (--rank) is for merges of LoRA updates, and this study trains all params" in refused(
        "export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--rank", 2
    )


def test_a_memory_budget_is_for_imported_checkpoints(tmp_path: Path) -> None:
    export = ["export", digits_recipe(tmp_path), "--to", tmp_path / "x", "--memory"]
    assert "--memory is for merges of imported checkpoints; name the study's folder" in refused(*export, "2GiB")
    assert "--memory 'lots' is not a size; write a number above 0 and a unit" in refused(
        "export", tmp_path, "--to", tmp_path / "x", "--memory", "lots"
    )
