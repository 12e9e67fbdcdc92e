"""A study's report: its sections in reading order."""

from collections import Counter

from foretaste.document.blocks import Note, Report, Section
from foretaste.document.wording import counted
from foretaste.evaluation import Fidelity
from foretaste.names import first_few
from foretaste.report.sections.agreement import agreement_section
from foretaste.report.sections.certainty import nothing_yet
from foretaste.report.sections.headline import headline
from foretaste.report.sections.maps import map_section
from foretaste.report.sections.recommendation import confirmation_sections, recommendation_section
from foretaste.report.sections.results import (
    history_sections,
    previews_section,
    provenance_section,
    rows_section,
    time_sections,
)
from foretaste.report.sections.tradeoff import tradeoff_section
from foretaste.report.sections.training import training_sections
from foretaste.report.summary import Summary
from foretaste.surface.fidelities import fidelity_name

__all__ = ["study_facts", "study_report", "study_sections"]


def study_report(summary: Summary, *, full: bool = True) -> Report:
    """Make the report of a study.

    Args:
        summary: What its rows say.
        full: Whether it has figures, every row and the provenance too, as a document does; a terminal's report has none
            of these.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> study_report(summary).sections[0].blocks[0].text
    's has no results yet; run `foretaste run RECIPE`'
    """
    lead = headline(summary) if full and summary.surface.rows else ""
    return Report(summary.name, study_facts(summary), study_sections(summary, full=full), lead)


def study_sections(summary: Summary, *, full: bool = True) -> tuple[Section, ...]:
    """Make the sections of a study's report, the recommendation first.

    Args:
        summary: What its rows say.
        full: See `study_report`.
    """
    if not summary.surface.rows:
        return (Section("Nothing yet", (Note(nothing_yet(summary)),), first=True),)
    has_previews = bool(summary.previews.rows) or (summary.is_from_outside and bool(summary.joint.rows))
    sections = [recommendation_section(summary, full=full), *confirmation_sections(summary)]
    if full and has_previews:
        explorer_has_map = summary.outlook is not None and len(summary.weight_names) in (2, 3)
        sections += [*([] if explorer_has_map else [map_section(summary)]), tradeoff_section(summary)]
    if has_previews:
        sections.append(previews_section(summary))
    if summary.agreements:
        sections.append(agreement_section(summary, full=full))
    if full:
        sections += [*history_sections(summary), *training_sections(summary.curves)]
        sections += [rows_section(summary), provenance_section(summary)]
    return (*sections, *time_sections(summary))


def study_facts(summary: Summary) -> str:
    """Write one line: the tasks, how many rows there are, and what is maximised.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> study_facts(
    ...     summarise(
    ...         surface,
    ...         name="s",
    ...         method="simple",
    ...         preference=Preference("mean", {}),
    ...         floors=(),
    ...         provenance={},
    ...         costs={},
    ...     )
    ... )
    'Tasks: a, b. 0 previews, 0 joint runs. Goal: the highest mean over tasks.'
    """
    if summary.is_from_outside:
        return f"{_outside_facts(summary)} Goal: {_goal(summary)}."
    previews, joint = (len(summary.surface.where(kind).rows) for kind in (Fidelity.PREVIEW, Fidelity.JOINT))
    counts = f"{counted(previews, 'preview')}, {counted(joint, 'joint run')}"
    return f"Tasks: {', '.join(summary.tasks)}. {counts}. Goal: {_goal(summary)}."


def _outside_facts(summary: Summary) -> str:
    """Say what is mixed, what is judged, and how many runs of each fidelity were told."""
    names, tasks = summary.weight_names, first_few(summary.tasks)
    mixed = f"Tasks: {tasks}." if summary.has_task_weights else f"Mixed: {first_few(names)}. Judged by: {tasks}."
    fidelities = Counter(fidelity_name(row) for row in summary.surface.rows)
    runs = ", ".join(f"{name} {count}" for name, count in fidelities.items())
    return f"{mixed} {counted(len(summary.surface.rows), 'run')} from elsewhere{f' ({runs})' if runs else ''}."


def _goal(summary: Summary) -> str:
    floors = " and ".join(str(floor) for floor in summary.floors)
    kind = summary.preference.kind
    goal = {"worst": "the best result for the worst task", "knee": str(summary.preference)}.get(
        kind, f"the highest {str(summary.preference).removeprefix('the ')}"
    )
    return goal + (f", with {floors}" if floors else "")
