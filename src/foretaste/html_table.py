"""A small HTML table, for notebooks; every text in it is escaped."""

from collections.abc import Sequence
from html import escape

__all__ = ["html_table"]


def html_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with a caption; numbers have three decimals and stand to the right.

    Args:
        caption: A sentence above it.
        header: Names of the columns.
        rows: As many cells each.

    >>> html_table("Two tasks", ["task", "accuracy"], [["a<b", 0.5]])
    '<table><caption>Two tasks</caption><tr><th>task</th><th>accuracy</th></tr><tr><td>a&lt;b</td><td align="right">0.500</td></tr></table>'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{lines}</table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td align="right">{value:.3f}</td>'
    return f"<td>{escape(str(value))}</td>"
