from pathlib import Path

from foretaste.cli.reports import summarize_study


def test_a_summary_is_made_for_other_wishes(folder: Path) -> None:
    summary = summarize_study(folder / "study", "low=1", ["all>=50%"], "simple")
    assert (str(summary.preference), summary.method, len(summary.floors)) == (
        "the mean weighted low 100%, mid 0%, high 0%",
        "simple",
        1,
    )
