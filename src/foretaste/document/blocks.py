"""Blocks: what a report says, as plain data. Writers lay it out as text or HTML and compute nothing.

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
Role = Literal["preview", "front", "joint", "recommended", "expected", "line", "task", "equal", "bars"]


@dataclass(frozen=True)
class Note:
    """A paragraph.

    Args:
        text: One or more sentences.
        label: What it is about, in front of it.
        tone: How much it matters.
    """

    text: str
    label: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Code:
    """Text to copy; only documents show it.

    Args:
        text: For example weights as the command line reads them.
    """

    text: str


@dataclass(frozen=True)
class List:
    """Lines under a label.

    Args:
        label: What they are.
        items: A sentence each.
    """

    label: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        parts: Its text; several parts stand beside or below each other.
        tone: How it is emphasised.
        share: A number from 0 to 1 to draw as a bar.
    """

    parts: tuple[str, ...]
    tone: Tone = ""
    share: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: Its heading.
        parts: Names of the parts of its cells, where they have several.
        left: Whether its text stands to the left; numbers stand to the right.
    """

    name: str
    parts: tuple[str, ...] = ()
    left: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        columns: The first one names the rows.
        rows: A cell for each column.
        title: A line above it; may be empty.
        caption: A sentence under it; may be empty.
        headed: Whether the columns' names are shown.
        apart: Whether the first parts of all cells stand together, before all other parts.
        narrow_parts: How many parts of a cell are shown where there is little room.
        narrow_caption: What to say where parts stand below each other.
        short_caption: What to say where parts are left out.
        folded: What to click on to see it, in a document; it is open if this is empty.
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
    """An axis of a chart, or its colours.

    Args:
        title: What it shows.
        percent: Whether its numbers are shares.
        less_is_better: Whether small numbers are the good ones.
        bounds: Its ends, where they are not those of the points.
        labels: Names of its places, where it has no numbers.
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
        name: As the legend calls it; may be empty.
        role: What they are, which says how they are drawn.
        points: N of them, a coordinate per axis.
        texts: N: what each point is, in lines.
        colours: N values on the chart's colour axis; empty where it has one colour.
        spread: N: for each axis the lower and upper end of an interval; empty where there is none.
        joined: Whether a line goes through the points.
        strong: Whether it is the one to look at.
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
    """What a figure shows, not how it is drawn.

    Args:
        kind: ``triangle``: shares of three; ``plane``: one number over another; ``parallel``: a line per row across all
            axes; ``bars``: one bar a label, a panel per series.
        axes: In the order of the points' coordinates.
        series: Those drawn last lie on top.
        colours: The axis of the colours, if there is one.
        size: How tall it is.
    """

    kind: ChartKind
    axes: tuple[Axis, ...]
    series: tuple[Series, ...]
    colours: Axis | None = None
    size: Literal["small", "medium", "large"] = "medium"

    __repr__ = one_line


@dataclass(frozen=True)
class Figure:
    """A chart with its words.

    Args:
        name: Unique in its report.
        title: A line above it.
        chart: What is drawn.
        caption: The key numbers in sentences.
    """

    name: str
    title: str
    chart: Chart
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures that are looked at together; only documents show them.

    Args:
        lead: A sentence above them; may be empty.
        figures: At least one.
        wide: Whether they need the whole width.
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
        title: May be empty.
        blocks: In reading order.
        first: Whether it is what the report is about.
    """

    title: str
    blocks: tuple[Block, ...]
    first: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class Report:
    """All that a document or a terminal shows.

    Args:
        name: Of the study.
        facts: A line under the name.
        sections: In reading order.
    """

    name: str
    facts: str
    sections: tuple[Section, ...]

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
