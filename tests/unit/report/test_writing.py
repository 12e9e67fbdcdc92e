"""A report replaces reports of foretaste, and no other file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from foretaste.errors import BadInput
from foretaste.report.summary import Summary
from foretaste.report.writing import check_own_report, check_report, write_report
from foretaste.target import REPORT

Study = Callable[..., Summary]


def test_a_report_replaces_reports_alone(make: Study, tmp_path: Path) -> None:
    own = write_report(make("ab"), tmp_path / "own.html")
    assert check_report(own) == own
    (tmp_path / "other.html").write_text("mine")
    with pytest.raises(BadInput, match=r"other\.html"):
        check_report(tmp_path / "other.html")
    assert check_report(tmp_path / "other.html", overwrite=True)


def test_the_study_s_own_report_may_be_there(make: Study, tmp_path: Path) -> None:
    check_own_report(tmp_path / "no.study")
    write_report(make("ab"), tmp_path / REPORT)
    check_own_report(tmp_path)
