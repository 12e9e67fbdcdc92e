"""What needs no checkpoint; the whole way is in tests/flows/test_import.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from commands import foretaste


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
