"""The README's first command, to the end."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from commands import ENVIRONMENT, spawned
from problems import digits_recipe

EXTRAS = (
    "transformers",
    "datasets",
    "PIL",
    "sacrebleu",
    "peft",
    "lm_eval",
    "starlette",
    "uvicorn",
    "pandas",
    "pyarrow",
    "tokenizers",
)


@pytest.mark.slow
def test_it_needs_no_extra(tmp_path: Path) -> None:
    """As after `pip install -e .`, which installs none."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); sys.argv = ['foretaste', *sys.argv[1:]]\n"
        "from foretaste.cli.entry import main; main()"
    )
    for command in (["run", str(digits_recipe(tmp_path)), "--study", "s"], ["show", "s"], ["report", "s"], ["init"]):
        words = [sys.executable, "-c", code, *command]
        found = subprocess.run(words, check=False, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path)
        assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_the_demo_does_the_whole_job(tmp_path: Path) -> None:
    study = tmp_path / "demo"
    with spawned("demo", "--study", study, "--no-open", "--json") as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    found = json.loads(out)
    made = Counter(row["method"] for row in found["rows"])
    assert made["simple"] == made["anchored"] >= 66
    assert made["joint"] >= 12
    assert {each["method"] for each in found["agreements"]} == {"simple", "anchored"}
    assert all(each["points"] + each["left_out"] >= 12 for each in found["agreements"])
    chosen = found["recommendation"]["weights"]
    confirmed = [row for row in found["rows"] if row["method"] == "joint" and row["weights"] == chosen]
    assert confirmed, "the recommended weights were trained jointly"
    assert (study / "report.html").stat().st_size > 1_000_000  # plotly is inside: it opens without a network
    assert "error" not in err
