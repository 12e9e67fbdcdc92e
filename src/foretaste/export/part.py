"""One task's rows, as they go into a mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foretaste.one_line import one_line
from foretaste.sources.extra import datasets

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """One task's training rows.

    Args:
        rows: N of them, a data set or mappings by column, in the order of the task's training examples.
        units_per_row: Label tokens of each row, N of them; None where the unit is an example.
        source: Path or hub id.
        digest: Hash of the source, or its fingerprint.
        validation: Rows that must not be trained on, to look whether any of them are.
        columns: For trainers: column by what it is (``prompt``, ``completion``, ``messages``, ``text``), where it has
            another name.
        whole: Whether the rows are all rows of the file that ``source`` names.
    """

    rows: "datasets.Dataset | Sequence[Mapping[str, object]]"
    units_per_row: Sequence[int] | None = None
    source: str = ""
    digest: str = ""
    validation: "datasets.Dataset | Sequence[Mapping[str, object]] | None" = None
    columns: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False

    __repr__ = one_line
