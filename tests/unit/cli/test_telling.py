"""The command that tells a study runs made elsewhere, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste

TASKS = ("--task", "qa=accuracy", "--task", "coding=pass@1,pass@10", "--domain", "web", "--domain", "code")
TABLE = "web,code,qa,humaneval\n0.5,0.5,0.6,0.3\n0.2,0.8,0.5,0.4\n"


def test_a_table_makes_a_study(tmp_path: Path) -> None:
    (table := tmp_path / "runs.csv").write_text(TABLE)
    column = ("--column", "coding.pass@1=humaneval")
    shown = foretaste("tell", tmp_path / "s", table, *TASKS, *column, "--dry-run")
    assert shown.code == 0
    assert "nothing was written" in shown.out
    assert not (tmp_path / "s").exists()
    told = foretaste("tell", tmp_path / "s", table, *TASKS, *column)
    assert told.out.splitlines() == ["2 new runs", f"next: foretaste show {tmp_path / 's'}"]
    again = json.loads(foretaste("tell", tmp_path / "s", table, *column, "--json").out)
    assert (again["new"], again["unchanged"]) == (0, 2)


def test_one_run_is_told_by_options(tmp_path: Path) -> None:
    run = ("--weights", "web=30,code=70", "--normalise", "--metric", "qa=0.5", "--metric", "coding:pass@10=0.7")
    assert foretaste("tell", tmp_path / "s", *TASKS, *run).out.startswith(
        "1 new run, 1 without a headline metric (not used to predict)"
    )
    other = foretaste("tell", tmp_path / "s", *run, "--metric", "qa=0.6")
    assert (other.code, "names 'qa' twice" in other.err) == (2, True)


def test_nothing_is_created_before_input_is_accepted(tmp_path: Path) -> None:
    (table := tmp_path / "runs.csv").write_text(TABLE.replace("0.5,0.5", "50,50"))
    for words, reason in (
        (("x.csv",), "there is no study"),
        ((table, *TASKS, "--column", "coding=humaneval"), "line 2: the weights sum to 100"),
        ((tmp_path / "none.csv", *TASKS), "cannot read"),
        ((*TASKS, "--metric", "qa=0.5"), "add its weights"),
        ((*TASKS, "--weights", "web=1", "--metric", "qa=high"), "'high' is no number"),
        ((*TASKS, "--weights", "web=1", "--metric", "chat=1"), "which is no task"),
        (("--domain", "web"), "--domain creates a study together with --task"),
        ((*TASKS, "--dry-run"), "name a table"),
        ((*TASKS, "--weights", "web=x,code=1", "--normalise", "--metric", "qa=1"), "are not understood"),
    ):
        refused = foretaste("tell", tmp_path / "s", *words)
        assert refused.code == 2, refused.err
        assert reason in " ".join(refused.err.split()), refused.err
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--fidelity", "proxy"), "--fidelity"),
        (("--cost", "0"), "--cost"),
        (("--seed", "3", "--normalise"), "--seed and --normalise"),
        (("--weights", "web=1"), "--weights"),
    ],
)
def test_options_that_jobs_answer_themselves_are_refused(tmp_path: Path, options: tuple[str, ...], names: str) -> None:
    result = foretaste("tell", tmp_path / "s", "--from", tmp_path / "mix", *options)
    assert result.code == 2
    assert f"leave out {names}" in " ".join(result.err.split())
