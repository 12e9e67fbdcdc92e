from pathlib import Path

import pytest

from foretaste.cli.reports import check_report, summarize_study, write_report
from foretaste.errors import BadInput


def test_a_summary_is_made_for_other_wishes(folder: Path) -> None:
    summary = summarize_study(folder / "study", "low=1", ["all>=50%"], "simple")
    assert (str(summary.preference), summary.method, len(summary.floors)) == (
        "the mean weighted low 100%, mid 0%, high 0%",
        "simple",
        1,
    )


def test_a_report_replaces_reports_alone(folder: Path, tmp_path: Path) -> None:
    own = write_report(summarize_study(folder / "study"), tmp_path / "own.html")
    assert check_report(own) == own
    (tmp_path / "other.html").write_text("mine")
    with pytest.raises(BadInput, match=r"other\.html"):
        check_report(tmp_path / "other.html")
    assert check_report(tmp_path / "other.html", overwrite=True)
