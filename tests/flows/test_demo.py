"""The README's first command, to the end."""

import json
from collections import Counter
from pathlib import Path

from commands import spawned


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
