"""A study's report, as several commands print and write it."""

from collections.abc import Mapping
from pathlib import Path

from foretaste.cli.printing import print_report
from foretaste.report.records import study_record
from foretaste.report.sections.explanation import explain as explain_summary
from foretaste.report.sections.search import search_section
from foretaste.report.sections.study import study_sections
from foretaste.report.summary import Summary
from foretaste.store.study import StudyStore
from foretaste.surface.searched import SearchResult
from foretaste.workflow.outcome import read_outcome

__all__ = ["print_search", "print_study", "summarize_study"]


def summarize_study(
    folder: Path, prefer: str | None = None, floors: list[str] | None = None, method: str | None = None
) -> Summary:
    """Summarize a study, under another preference, other floors or one method's previews alone if given.

    Args:
        folder: The study's.
        prefer: As typed.
        floors: As typed.
        method: A method's name.
    """
    with StudyStore.open(folder) as study:
        rows = read_outcome(study, prefer, floors, method, with_curves=True)
    return rows.summary(method)


def print_study(summary: Summary, more: Mapping[str, object], after: str, *, as_json: bool) -> None:
    """Print a study's report for people, or its record for machines.

    Args:
        summary: What its rows say.
        more: What the record has beside them.
        after: Lines under the report.
        as_json: Whether machines read it.
    """
    print_report(
        as_json,
        lambda: study_record(summary) | dict(more),
        lambda: study_sections(summary, full=False),
        after,
        name=summary.name,
    )


def print_search(
    result: SearchResult, summary: Summary, more: Mapping[str, object], after: str, *, explain: bool, as_json: bool
) -> None:
    """Print what a search did and the study that it leaves, for people or for machines.

    Args:
        result: What the search did.
        summary: What the study's rows say.
        more: What the record has beside them.
        after: Lines under the report.
        explain: Whether sentences explain the recommendation in place of the study's tables.
        as_json: Whether machines read it.
    """
    if as_json:
        print_study(summary, more, after, as_json=True)
    elif explain:
        print_report(False, None, [search_section(result)], "\n\n".join([*explain_summary(summary), after]))
    else:
        print_report(False, None, [search_section(result)])
        print_study(summary, more, after, as_json=False)
