"""Fitting: a table in as many shapes as it takes, of which the first that the console is wide enough for is shown.

A number is never cut: the last shape has a line for every cell, and fits wherever a name and a number do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from foretaste.one_line import one_line

__all__ = ["Fitting", "grid", "listed"]

_ENDLESS = 10_000
_SHORT = 18


@dataclass(frozen=True)
class Fitting:
    """One table in several shapes.

    Args:
        choices: The widest first.

    >>> wide, narrow = grid("", ["task", "accuracy"], [["movies", "0.934"]]), listed("", ["task", "accuracy"], [["movies", "0.934"]])
    >>> Fitting((wide, narrow)).chosen(Console(width=80)) is wide
    True
    """

    choices: tuple[Table, ...]

    __repr__ = one_line

    def chosen(self, console: Console, width: int | None = None) -> Table:
        """The first that fits, else the last.

        Args:
            console: Where it is shown.
            width: How much of it there is; all if left out.
        """
        room, free = width or console.width, console.options.update(width=_ENDLESS)
        return next((table for table in self.choices if console.measure(table, options=free).maximum <= room), self.choices[-1])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.chosen(console, options.max_width)


def grid(title: str, header: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """An ordinary table, whose cells are as wide as they are.

    Args:
        title: May be empty.
        header: A line break makes a column narrower.
        rows: A cell for each heading.

    >>> grid("", ["task", "error"], [["movies", "0.010"]]).row_count
    1
    """
    table = _table(title)
    for place, heading in enumerate(header):
        table.add_column(Text(heading), justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def listed(title: str, header: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """The same, with a line for every cell.

    Args:
        title: May be empty.
        header: Of the first cell and all others.
        rows: A cell for each heading.

    >>> listed("", ["task", "error", "rank"], [["movies", "0.010", "0.80"]]).row_count
    2
    """
    table = _table(title)
    table.add_column(Text(_flat(header[0])), max_width=_SHORT, overflow="fold")
    table.add_column("", max_width=_SHORT, overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    for first, *others in rows:
        for place, (heading, cell) in enumerate(zip(header[1:], others, strict=True)):
            table.add_row("" if place else _text(first), Text(_flat(heading)), _text(cell), end_section=place == len(others) - 1)
    return table


def _text(cell: str | Text) -> Text:
    """Never read as markup."""
    return Text(cell) if isinstance(cell, str) else cell


def _flat(heading: str) -> str:
    return heading.replace("-\n", "-").replace("\n", " ")


def _table(title: str) -> Table:
    shown = Text(title, "bold") if title else None
    return Table(box=box.SIMPLE_HEAD, title=shown, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
