"""Writing a study's report into a file, without replacing anything that foretaste did not write."""

from pathlib import Path

from foretaste.report.explorer import study_page
from foretaste.report.page import MARKS
from foretaste.report.summary import Summary
from foretaste.target import REPORT, check_file, has_mark
from foretaste.whole import write_whole

__all__ = ["check_own_report", "check_report", "write_report"]


def check_report(path: Path, *, overwrite: bool = False) -> Path:
    """Check that a report may be written here: a new file, a report of foretaste, any file with ``overwrite``."""
    return check_file(path, overwrite=overwrite, is_ours=lambda file: has_mark(file, MARKS))


def check_own_report(folder: Path) -> None:
    """Check that a study's own report may be written, if the study exists already."""
    if folder.is_dir():
        check_report(folder / REPORT)


def write_report(summary: Summary, path: Path, *, overwrite: bool = False) -> Path:
    """Write the page, whole, and return the path as it was given."""
    file, content = check_report(path, overwrite=overwrite), study_page(summary)
    write_whole(file, lambda temporary: temporary.write_text(content, encoding="utf-8"))
    return path
