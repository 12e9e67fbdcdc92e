from pathlib import Path

import pytest

from foretaste.export.manifest import LeakWarning
from foretaste.export.mixture import write_mixture
from foretaste.export.part import Part
from foretaste.weights import TaskWeights

WEIGHTS = TaskWeights(["a", "b"], [0.5, 0.5])


def test_a_manifest_says_what_the_rows_are(tmp_path: Path) -> None:
    parts = {"a": Part([{"q": "x"}, {"q": "y"}]), "b": Part([{"q": "z"}])}
    manifest = write_mixture(tmp_path / "mix", parts, WEIGHTS, unit="example", rows=4, format="jsonl")
    assert (manifest["rows"], manifest["weights"], manifest["warnings"]) == (4, {"a": 0.5, "b": 0.5}, [])
    assert "Train one epoch on train.jsonl" in str(manifest["meaning"])


def test_rows_of_both_parts_are_a_warning(tmp_path: Path) -> None:
    parts = {"a": Part([{"q": "x"}, {"q": "y"}], validation=[{"q": "y"}]), "b": Part([{"q": "z"}])}
    with pytest.warns(LeakWarning, match="rows of task a that are both training and validation rows: 1"):
        manifest = write_mixture(tmp_path / "mix", parts, WEIGHTS, unit="example", rows=4, format="jsonl")
    assert len(manifest["warnings"]) == 1  # type: ignore[arg-type]
