"""Runs made elsewhere as sections: what a table's columns hold, its first rows, and runs to make next."""

from collections.abc import Sequence

from foretaste.document.blocks import Column, Note, Section, Table, cell_of
from foretaste.document.wording import MISSING, and_more, counted, number, shares
from foretaste.evaluation import Evaluation
from foretaste.surface.views import rows_table
from foretaste.weights import TaskWeights

__all__ = ["describe_absent", "jobs_section", "mapping_sections", "proposals_section"]

_FIRST = 5
_FAULTS = 20


def mapping_sections(
    name: str,
    lines: Sequence[tuple[str, str]],
    unused: Sequence[str],
    absent: Sequence[str],
    rows: Sequence[Evaluation],
    faults: Sequence[str],
) -> list[Section]:
    """Show what the columns of a table hold, the first runs, and the rows that cannot be read.

    Args:
        name: Of the table.
        lines: What is read, and its column.
        unused: Columns that are not read.
        absent: What is mixed and has no column.
        rows: All runs of the table.
        faults: A sentence for each row that cannot be read.

    >>> [section.title for section in mapping_sections("a.csv", [("weight of web", "web")], ["id"], [], [], [])]
    ['Columns of a.csv']
    """
    table = Table(
        (Column("what", left=True), Column("column", left=True)), tuple(tuple(map(cell_of, line)) for line in lines)
    )
    notes = [Note(f"{', '.join(unused)}.", "Not read")] if unused else []
    notes += [Note(describe_absent(absent), "Note", "warning")] if absent else []
    sections = [Section(f"Columns of {name}", (table, *notes))]
    if rows:
        title = f"The first of {counted(len(rows), 'run')}"
        sections.append(Section(title, (rows_table(rows, _FIRST),)))
    if faults:
        more = and_more(len(faults), _FAULTS)
        texts = [*faults[:_FAULTS], *([f"\u2026 {more}."] if more else [])]
        sections.append(Section("Rows that cannot be read", tuple(Note(line, tone="warning") for line in texts)))
    return sections


def describe_absent(absent: Sequence[str]) -> str:
    """Say which weights a table has no column for.

    >>> describe_absent(["books"])
    'weights of books have no column and are taken for 0.'
    """
    return f"weights of {', '.join(absent)} have no column and are taken for 0."


def proposals_section(runs: Sequence[tuple[TaskWeights, str, float | None, str]], title: str = "") -> Section:
    """List runs to make.

    Args:
        runs: Weights, fidelity, expected gain if it is known, and when each was asked for.
        title: Of the section.

    >>> from foretaste.weights import uniform
    >>> proposals_section([(uniform("ab"), "joint", None, "2026-01-01T00:00:00")]).blocks[0].rows[0][0].parts
    ('a 50%, b 50%',)
    """
    if not runs:
        return Section(title, (Note("No run is pending."),))
    columns = (
        Column("weights", left=True),
        Column("fidelity", left=True),
        Column("expected gain"),
        Column("asked (UTC)"),
    )
    rows = tuple(
        (
            cell_of(shares(weights)),
            cell_of(fidelity),
            cell_of(MISSING if gain is None else number(gain)),
            cell_of(time[:16].replace("T", " ")),
        )
        for weights, fidelity, gain, time in runs
    )
    return Section(title, (Table(columns, rows),))


def jobs_section(jobs: Sequence[tuple[str, TaskWeights | None, str, str]], title: str = "") -> Section:
    """List jobs of other trainers.

    Args:
        jobs: Folder, weights if they are read, files that metrics come from, and the metrics or what is wrong.
        title: Of the section.

    >>> jobs_section([("job-01", None, "", "no results yet")]).blocks[0].rows[0][1].parts
    ('no results yet',)
    """
    heads = ("job", "weights", "read from", "results")
    lines = [
        (name, "" if weights is None else shares(weights), files, results) for name, weights, files, results in jobs
    ]
    used = [place for place in range(len(heads)) if any(line[place] for line in lines)]
    columns = tuple(Column(heads[place], left=True) for place in used)
    return Section(
        title, (Table(columns, tuple(tuple(cell_of(line[place] or MISSING) for place in used) for line in lines)),)
    )
