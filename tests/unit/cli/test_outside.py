"""What the commands for runs made elsewhere print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foretaste.cli.outside import Telling, preview_tables, print_proposals, print_rows
from foretaste.workflow.ask import ask
from foretaste.workflow.run_columns import TableOptions
from swarms import made_up_runs, swarm


def test_a_preview_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swarm(tmp_path / "s").close()
    (table := tmp_path / "runs.csv").write_text("web,books,qa\n0.5,0.5,0.5\n0.5,0.6,0.5\n")
    preview_tables(Telling(tmp_path / "s", (), (), (table,), TableOptions(), False, False), as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["columns"] == {"weight of web": "web", "weight of books": "books", "accuracy of qa": "qa"}
    assert (shown["absent"], shown["runs"], len(shown["faults"])) == (["code"], 1, 1)


def test_proposals_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with swarm(tmp_path / "s") as study:
        runs = ask(study, 2)
    print_proposals(runs, "Run next", "next: tell", as_json=False)
    assert capsys.readouterr().out.splitlines()[-2:] == ["web=1,code=0,books=0", "next: tell"]
    print_proposals([], "Pending", "next: tell", as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_rows_have_the_names_of_their_fidelities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swarm(tmp_path / "s", made_up_runs(2, "preview:simple")).close()
    print_rows(tmp_path / "s", "preview:simple", 5, as_json=True)
    assert [row["fidelity"] for row in json.loads(capsys.readouterr().out)] == ["preview:simple"] * 2


def test_runs_made_elsewhere_need_no_torch() -> None:
    """Importing torch takes seconds, which a loop that tells one run at a time would pay each time."""
    code = "import sys, foretaste.cli.outside; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
