"""Lengths of rows in tokens, and what is lost where rows are cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foretaste.sources.row_warnings import cut_of
from foretaste.sources.tokens import EncodedRows

__all__ = ["RowLengths", "lengths_of"]


@dataclass(frozen=True)
class RowLengths:
    """Lengths of a task's rows in tokens, before any are cut.

    Args:
        rows: Number of rows.
        median: Half of the rows are at most so long.
        p95: 95 % of the rows are at most so long.
        longest: Length of the longest row.
        cut: Number of rows that are cut to the most tokens.
        learned: Number of learned tokens that are left, of all rows.
        lost: Number of learned tokens that are cut off, of all rows.
    """

    rows: int
    median: int
    p95: int
    longest: int
    cut: int
    learned: int
    lost: int


def lengths_of(parts: Sequence[EncodedRows]) -> RowLengths:
    """Measure the rows of some parts of a task's data together.

    Args:
        parts: Training and validation rows, or one of them.

    >>> from foretaste.sources.tokens import Row
    >>> lengths_of([EncodedRows([Row([5], [6], length=2), Row([5], [6], cut=True, length=9, lost=3)])])
    RowLengths(rows=2, median=2, p95=9, longest=9, cut=1, learned=2, lost=3)
    """
    rows = [row for part in parts for row in part.rows]
    lengths = [row.length for row in rows]
    median, p95 = (int(length) for length in np.quantile(lengths, [0.5, 0.95], method="inverted_cdf"))
    learned, cut = sum(sum(row.learned) for row in rows), cut_of(EncodedRows(rows))
    return RowLengths(cut.count, median, p95, cut.longest, cut.rows, learned, cut.lost)
