"""Layout: a table in several shapes, of which the first that the console is wide enough for is shown.

A number is never cut: the last shape has a line for every cell, and fits wherever a name and a number do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from foretaste.document.blocks import Cell, Table
from foretaste.document.markup import flat_columns, flat_row
from foretaste.document.wording import trimmed
from foretaste.one_line import one_line

__all__ = ["STYLES", "Fitting", "Shape", "lay_out"]

STYLES = {"": "", "strong": "bold", "quiet": "dim", "warning": "yellow", "good": "green", "bad": "red"}

_ENDLESS = 10_000
_SHORT = 18
_BAR = 10


@dataclass(frozen=True)
class Shape:
    """A table as it may be shown.

    Args:
        grid: The table.
        caption: What to say under it in this shape; may be empty.
    """

    grid: Grid
    caption: str

    __repr__ = one_line


@dataclass(frozen=True)
class Fitting:
    """One table in several shapes.

    Args:
        shapes: The widest first.
    """

    shapes: tuple[Shape, ...]

    __repr__ = one_line

    def choose(self, console: Console, width: int | None = None) -> Shape:
        """Choose the first shape that fits, or the last one.

        Args:
            console: Where it is shown.
            width: How many columns of it there are; all if left out.
        """
        room, free = width or console.width, console.options.update(width=_ENDLESS)
        return next(
            (shape for shape in self.shapes if console.measure(shape.grid, options=free).maximum <= room),
            self.shapes[-1],
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shape = self.choose(console, options.max_width)
        yield shape.grid
        if shape.caption:
            yield Text(shape.caption, "dim")


def lay_out(table: Table) -> Fitting:
    """Lay a table out in all its shapes: parts side by side, the first parts only, parts below each other, a list.

    Args:
        table: Any.

    >>> from foretaste.document.blocks import Column, cell_of
    >>> table = Table((Column("task"), Column("accuracy")), ((cell_of("movies"), cell_of("0.934")),))
    >>> [shape.grid.row_count for shape in lay_out(table).shapes]
    [1, 1, 1]
    """
    if not table.headed:
        return Fitting((Shape(_plain_grid(table), table.caption),))
    most = max(len(column.parts) for column in table.columns)
    few = min(most, table.narrow_parts)
    if not most:
        names = [column.name for column in table.columns]
        broken = [name.replace(" ", "\n") for name in names]
        return Fitting(
            (
                Shape(_grid(table, names, table.rows), table.caption),
                Shape(_grid(table, broken, table.rows, tight=True, fold=True), table.caption),
                Shape(_list(table, 0), table.caption),
            )
        )
    shapes = [_side_by_side(table, count, tight=place > 0) for place, count in enumerate(dict.fromkeys((most, few)))]
    stacked = [
        f"{column.name}\n{column.parts[min(few, len(column.parts)) - 1]}" if column.parts else column.name
        for column in table.columns
    ]
    cells = [[_first_parts(cell, few) for cell in row] for row in table.rows]
    caption = _caption(table, few, table.narrow_caption)
    return Fitting(
        (
            *shapes,
            Shape(_grid(table, stacked, cells, tight=True, fold=True), caption),
            Shape(_list(table, few), caption),
        )
    )


def _side_by_side(table: Table, count: int, *, tight: bool) -> Shape:
    """Every part in a column of its own."""
    rows = [flat_row(table, row, count) for row in table.rows]
    return Shape(_grid(table, flat_columns(table, "\n", count), rows, tight=tight), _caption(table, count))


def _caption(table: Table, count: int, narrow: str = "") -> str:
    left_out = any(len(column.parts) > count for column in table.columns)
    return " ".join(filter(None, (table.caption, narrow, table.short_caption if left_out else "")))


def _first_parts(cell: Cell, count: int) -> Cell:
    return Cell(cell.parts[:count], cell.tone, cell.share)


def _empty_grid(title: str = "") -> Grid:
    columns = Text(title, "bold") if title else None
    return Grid(
        box=box.SIMPLE_HEAD, title=columns, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )


def _plain_grid(table: Table) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    grid.add_column("", overflow="ellipsis", no_wrap=True)
    grid.add_column("", justify="right", no_wrap=True)
    for row in table.rows:
        grid.add_row(*map(_text, row))
    return grid


def _grid(
    table: Table, names: Sequence[str], rows: Sequence[Sequence[Cell]], *, tight: bool = False, fold: bool = False
) -> Grid:
    """A table whose cells are as wide as they are.

    Tight ones cut the columns' names, and may fold those of the rows.
    """
    grid = _empty_grid(table.title)
    lefts = [column.left for column in table.columns] if len(table.columns) == len(names) else [False] * len(names)
    barred = {place for place in range(len(names)) if any(row[place].share is not None for row in rows)}
    for place, name in enumerate(names):
        if place in barred:
            grid.add_column("", min_width=_BAR, max_width=_BAR)
        heading = Text("\n".join(map(trimmed, name.split("\n"))) if tight else name)
        if place == 0 and fold:
            grid.add_column(heading, max_width=_SHORT, overflow="fold")
        else:
            grid.add_column(heading, justify="left" if place == 0 or lefts[place] else "right", no_wrap=True)
    for row in rows:
        cells: list[RenderableType] = []
        for place, cell in enumerate(row):
            if place in barred:
                cells.append(
                    ProgressBar(
                        total=1, completed=cell.share or 0.0, width=_BAR, complete_style="cyan", finished_style="cyan"
                    )
                )
            cells.append(_text(cell, "\n"))
        grid.add_row(*cells)
    return grid


def _list(table: Table, parts: int) -> Grid:
    """A line for every cell."""
    grid = _empty_grid(table.title)
    grid.add_column(Text(table.columns[0].name), max_width=_SHORT, overflow="fold")
    grid.add_column("", max_width=_SHORT, overflow="fold")
    has_text = any(column.left for column in table.columns)
    grid.add_column("", justify="right", overflow="fold", no_wrap=not has_text)
    for first, *others in table.rows:
        for place, (column, cell) in enumerate(zip(table.columns[1:], others, strict=True)):
            items = _first_parts(cell, parts) if parts else cell
            last = place == len(others) - 1
            grid.add_row(
                "" if place else _text(first),
                Text(column.name),
                _text(items, "  " if len(items.parts) < 3 else "\n"),
                end_section=last,
            )
    return grid


def _text(cell: Cell, glue: str = " ") -> Text:
    """The cell's text, never read as markup."""
    return Text(glue.join(cell.parts), STYLES[cell.tone])
