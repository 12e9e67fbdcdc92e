"""Telling a study a whole table of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from foretaste.document.wording import counted
from foretaste.errors import DataError
from foretaste.names import first_faults
from foretaste.one_line import one_line
from foretaste.sources.run_tables import RunTable, TableSource, read_table
from foretaste.store.study import StudyStore
from foretaste.workflow.outcome import empty_surface
from foretaste.workflow.run_columns import ColumnMapping, TableOptions, map_columns, runs_of
from foretaste.workflow.tell import OutsideRun, TellResult, tell

__all__ = ["TablePreview", "describe_faults", "preview_table", "tell_rows"]

_MOST_FAULTS = 20


@dataclass(frozen=True)
class TablePreview:
    """What a table holds, before anything is written.

    Args:
        table: Has the rows.
        mapping: Says what its columns hold.
        runs: The runs that were read.
        faults: A sentence with the place of each row that cannot be read.
    """

    table: RunTable
    mapping: ColumnMapping
    runs: tuple[OutsideRun, ...]
    faults: tuple[str, ...]

    __repr__ = one_line


def preview_table(study: StudyStore, source: TableSource, options: TableOptions | None = None) -> TablePreview:
    """Read a table of runs without telling it to the study.

    Args:
        study: Names tasks and what is mixed.
        source: See `foretaste.sources.run_tables.read_table`.
        options: What holds for all rows.

    Raises:
        DataError: The table cannot be read, or has no columns of weights or metrics.
    """
    surface, options = empty_surface(study), options or TableOptions()
    table = read_table(source)
    mapping = map_columns(table, surface, options.columns)
    runs, faults = runs_of(table, mapping, surface, options)
    return TablePreview(table, mapping, tuple(runs), tuple(faults))


def tell_rows(
    study: StudyStore,
    source: TableSource,
    options: TableOptions | None = None,
    *,
    skip_bad: bool = False,
    replace_numbers: bool = False,
) -> TellResult:
    """Tell a study all runs of a table, or none.

    Args:
        study: With or without a recipe.
        source: See `foretaste.sources.run_tables.read_table`.
        options: What holds for all rows. Its cost is also that of later runs of this fidelity.
        skip_bad: Whether rows that cannot be read are left out.
        replace_numbers: Whether numbers that differ from those of the study take their place.

    Raises:
        DataError: Rows that cannot be read, each with its place; or other numbers than the study has.

    >>> import pathlib, tempfile
    >>> from foretaste.workflow.outside import OutsideQuestion, start_outside
    >>> rows = [{"weight.a": 1 - share, "weight.b": share, "a.f1": 0.5, "b.f1": share} for share in (0.2, 0.5)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with start_outside(pathlib.Path(folder, "s"), OutsideQuestion.of({"a": "f1", "b": "f1"})) as study:
    ...         print(tell_rows(study, rows))
    2 new runs
    """
    preview = preview_table(study, source, options)
    if preview.faults and not skip_bad:
        raise DataError(describe_faults(preview.table, preview.faults))
    return tell(study, preview.runs, replace_numbers=replace_numbers, costs=(options or TableOptions()).costs)


def describe_faults(table: RunTable, faults: Sequence[str]) -> str:
    """Say which rows of a table cannot be read.

    >>> describe_faults(RunTable("a.csv", (), (("line 2", {}),)), ["line 2: no metric of any task"]).splitlines()[0]
    'a.csv has 1 row that cannot be read, of 1:'
    """
    lines = "\n  ".join(first_faults(faults, _MOST_FAULTS))
    return (
        f"{table.name} has {counted(len(faults), 'row')} that cannot be read, of {len(table.rows)}:\n  {lines}"
        "\nnothing was written; correct them, or leave them out with --skip-bad (skip_bad=True)"
    )
