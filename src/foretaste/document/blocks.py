"""Blocks: the content of a report as plain data, which writers lay out as text or HTML and compute nothing.

A report is a name, a line of facts and sections; a section is a title and blocks: notes, lists, tables and figures.
"""

from dataclasses import dataclass
from typing import Literal

from foretaste.one_line import one_line

__all__ = [
    "Axis",
    "Block",
    "Cell",
    "Chart",
    "Code",
    "Column",
    "Figure",
    "Figures",
    "List",
    "Note",
    "Report",
    "Section",
    "Series",
    "Table",
    "Tone",
    "cell_of",
    "line_table",
]

Tone = Literal["", "strong", "quiet", "warning", "good", "bad"]
ChartKind = Literal["triangle", "plane", "parallel", "bars"]
Role = Literal["preview", "front", "joint", "recommended", "expected", "line", "task", "equal", "bars", "band"]


@dataclass(frozen=True)
class Note:
    """A paragraph of a report.

    Args:
        text: One or more sentences.
        label: The subject, which stands in front of the text; may be empty.
        tone: How much the paragraph matters.
    """

    text: str
    label: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Code:
    """Text for readers to copy; only documents show it.

    Args:
        text: The text, such as weights in the command line's form.
    """

    text: str


@dataclass(frozen=True)
class List:
    """Lines under a label.

    Args:
        label: The subject of the lines.
        items: The lines, one sentence each.
    """

    label: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        parts: The text; several parts stand beside or below each other.
        tone: How the text is emphasised.
        share: A number from 0 to 1 to draw as a bar.
    """

    parts: tuple[str, ...]
    tone: Tone = ""
    share: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: The heading.
        parts: Names of the cells' parts, if cells have several.
        left: Whether cells are aligned left, as texts are; numbers are aligned right.
    """

    name: str
    parts: tuple[str, ...] = ()
    left: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Args:
        columns: The first one names the rows.
        rows: A cell for each column.
        title: A line above the table; may be empty.
        caption: A sentence under the table; may be empty.
        headed: Whether the columns' names are shown.
        apart: Whether the first parts of all cells stand together, before all other parts.
        narrow_parts: How many parts of a cell are shown where there is little room.
        narrow_caption: The caption if parts stand below each other.
        short_caption: The caption if parts are left out.
        folded: The label that a reader clicks on to open the table in a document; empty if the table is open.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    caption: str = ""
    headed: bool = True
    apart: bool = False
    narrow_parts: int = 2
    narrow_caption: str = ""
    short_caption: str = ""
    folded: str = ""

    __repr__ = one_line


@dataclass(frozen=True)
class Axis:
    """An axis of a chart, or the scale of its colours.

    Args:
        title: The quantity.
        percent: Whether its numbers are shares.
        less_is_better: Whether smaller numbers are better.
        bounds: The ends of the axis; those of the points if left out.
        labels: Names of the places along an axis without numbers.
    """

    title: str
    percent: bool = False
    less_is_better: bool = False
    bounds: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """Points of a chart that belong together.

    Args:
        name: The name in the legend; may be empty.
        role: The points' meaning, which decides how they are drawn.
        points: N points, each with a coordinate per axis.
        texts: N descriptions of points, in lines.
        colours: N values on the chart's colour axis; empty if all points have one colour.
        spread: N intervals, each with a lower and an upper end per axis; empty if there are none.
        joined: Whether a line goes through the points.
        strong: Whether the series is emphasised.
    """

    name: str
    role: Role
    points: tuple[tuple[float, ...], ...]
    texts: tuple[tuple[str, ...], ...] = ()
    colours: tuple[float, ...] = ()
    spread: tuple[tuple[tuple[float, float], ...], ...] = ()
    joined: bool = False
    strong: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class Chart:
    """The content of a figure, without how it is drawn.

    Args:
        kind: ``triangle``: shares of three; ``plane``: one number over another; ``parallel``: a line per row across all
            axes; ``bars``: one bar a label, a panel per series.
        axes: The axes, in the order of the points' coordinates.
        series: The series; later ones are drawn on top.
        colours: The axis of the colours, if there is one.
        size: The height.
    """

    kind: ChartKind
    axes: tuple[Axis, ...]
    series: tuple[Series, ...]
    colours: Axis | None = None
    size: Literal["small", "medium", "large"] = "medium"

    __repr__ = one_line


@dataclass(frozen=True)
class Figure:
    """A chart with its title and caption.

    Args:
        name: A name that is unique in the report.
        title: A line above the chart.
        chart: The content.
        caption: The key numbers in sentences.
    """

    name: str
    title: str
    chart: Chart
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures that belong together; only documents show them.

    Args:
        lead: A sentence above the figures; may be empty.
        figures: At least one figure.
        wide: Whether each figure needs the whole width.
    """

    lead: str
    figures: tuple[Figure, ...]
    wide: bool = False

    __repr__ = one_line


Block = Note | Code | List | Table | Figures


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Args:
        title: The title; may be empty.
        blocks: The blocks, in reading order.
        first: Whether this is the report's main section.
    """

    title: str
    blocks: tuple[Block, ...]
    first: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class Report:
    """Everything that a document or a terminal shows.

    Args:
        name: The study's name.
        facts: A line under the name.
        sections: The sections, in reading order.
        headline: What the study found, for someone who reads nothing else; may be empty.
    """

    name: str
    facts: str
    sections: tuple[Section, ...]
    headline: str = ""

    __repr__ = one_line


def cell_of(value: str | Cell, tone: Tone = "") -> Cell:
    """Make a cell of a text; a cell stays as it is.

    >>> cell_of("0.934", "quiet")
    Cell(parts=('0.934',), tone='quiet', share=None)
    """
    return value if isinstance(value, Cell) else Cell((value,), tone)


def line_table(title: str, lines: dict[str, str]) -> Table:
    """Make a table of names and values without headings.

    >>> line_table("Time", {"previews": "3 s"}).rows
    ((Cell(parts=('previews',), tone='', share=None), Cell(parts=('3 s',), tone='', share=None)),)
    """
    rows = tuple((cell_of(name), cell_of(value)) for name, value in lines.items())
    return Table((Column(""), Column("")), rows, title, headed=False)
