"""Lengths of rows in tokens, and what is lost where rows are cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    median, p95, longest = (
        int(length) for length in np.quantile([row.length for row in rows], [0.5, 0.95, 1], method="inverted_cdf")
    )
    learned = sum(sum(row.learned) for row in rows)
    return RowLengths(
        len(rows), median, p95, longest, sum(row.cut for row in rows), learned, sum(row.lost for row in rows)
    )
