"""The command that does the whole job, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste
from problems import digits_recipe


def test_a_run_ends_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    recipe = digits_recipe(tmp_path, finetune_steps="5", preview_points="3", joint_points="1")
    command = ["run", recipe, "--study", tmp_path / "study"]
    shown = foretaste(*command, "--open")
    assert shown.code == 0, shown.err
    assert "recommendation" in shown.out
    assert shown.out.splitlines()[-1] == f"study: {tmp_path / 'study'}"
    assert opened == [(tmp_path / "study" / "report.html").resolve().as_uri()]
    record = json.loads(foretaste(*command, "--json").out)
    assert record["report"] == str(tmp_path / "study" / "report.html")


def test_a_report_of_somebody_else_stops_it_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "report.html").write_text("mine")
    recipe = digits_recipe(tmp_path, finetune_steps="5", preview_points="3", joint_points="1")
    refused = foretaste("run", recipe, "--study", tmp_path / "study")
    assert refused.code == 2
    assert (tmp_path / "study" / "report.html").read_text() == "mine"
