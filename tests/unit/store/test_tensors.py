import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foretaste.errors import DataError
from foretaste.store.tensors import load, load_metadata, save, write

PARAMS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones((), dtype=torch.bfloat16), "c": torch.empty(0, 2)}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    name = save(tmp_path, PARAMS)
    found = load(tmp_path / f"{name}.safetensors")
    assert found.keys() == PARAMS.keys()
    assert all(torch.equal(found[key], PARAMS[key]) and found[key].dtype == PARAMS[key].dtype for key in PARAMS)


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    names = {save(tmp_path, PARAMS), save(tmp_path, dict(reversed(PARAMS.items())))}
    assert len(names) == len(list(tmp_path.iterdir())) == 1
    assert save(tmp_path, PARAMS | {"b": torch.zeros(())}) not in names


def test_non_contiguous_tensors(tmp_path: Path) -> None:
    turned = {"a": PARAMS["a"].T}
    assert torch.equal(load(tmp_path / f"{save(tmp_path, turned)}.safetensors")["a"], turned["a"])


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, PARAMS, {"step": 3, "nested": {"a": [1.5]}})
    assert load_metadata(path) == {"step": 3, "nested": {"a": [1.5]}}
    write(path, PARAMS)
    with pytest.raises(DataError, match="no readable metadata"):
        load_metadata(path)


def test_missing_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.safetensors is missing"):
        load(tmp_path / "gone.safetensors")
    path = tmp_path / f"{save(tmp_path, PARAMS)}.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="truncated or not a safetensors file"):
        load(path)
    torch.save({"a": 1}, tmp_path / "pickle.safetensors")
    with pytest.raises(DataError, match="not a safetensors file"):
        load(tmp_path / "pickle.safetensors")


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    """A real limit on file size stands in for a full disk, in a process of its own."""
    code = (
        "import resource, signal, sys, torch; from pathlib import Path; from foretaste.store.tensors import save\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))\n"
        "save(Path(sys.argv[1]), {'w': torch.zeros(100000)})\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "StorageError: could not write" in found.stderr
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10000
