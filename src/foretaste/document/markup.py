"""HTML of sections. Every text is escaped."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape

from foretaste.document.blocks import Block, Cell, Code, Figure, Figures, List, Note, Section, Table

__all__ = ["Draw", "flat_columns", "flat_row", "html", "table_html"]

Draw = Callable[[Figure], str]

_FITTING = 3  # columns that a phone has room for


def html(sections: Sequence[Section], draw: Draw | None = None) -> str:
    r"""Write sections as HTML, for a whole page or a notebook.

    Args:
        sections: The sections, in reading order.
        draw: Function from a figure to its drawing as HTML; without it figures are left out.

    >>> html([Section("Time", (Note("3 s < 4 s"),))])
    '<section class="">\n<h2>Time</h2>\n<p>3 s &lt; 4 s</p>\n</section>'
    """
    return "\n".join(_section_html(section, draw) for section in sections)


def _section_html(section: Section, draw: Draw | None) -> str:
    body = "\n".join(filter(None, (_block_html(block, draw) for block in section.blocks)))
    kind = "first" if section.first else ""
    title = f"<h2>{escape(section.title)}</h2>\n" if section.title else ""
    return f'<section class="{kind}">\n{title}{body}\n</section>'


def _block_html(block: Block, draw: Draw | None) -> str:
    match block:
        case Note():
            return _note_html(block)
        case Code():
            return f'<p><code class="copy">{escape(block.text)}</code></p>'
        case List():
            items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
            return f"<details><summary>{escape(block.label)}</summary><ul>{items}</ul></details>"
        case Figures():
            return "" if draw is None else _figures_html(block, draw)
        case Table():
            table = table_html(block)
            return f"<details><summary>{escape(block.folded)}</summary>{table}</details>" if block.folded else table


def _note_html(note: Note) -> str:
    kind = ' class="note"' if note.tone == "quiet" else ""
    strong = (
        f'<span class="warn">{escape(note.label)}:</span> '
        if note.tone == "warning"
        else f"<b>{escape(note.label)}:</b> "
    )
    return f"<p{kind}>{strong if note.label else ''}{escape(note.text)}</p>"


def _figures_html(block: Figures, draw: Draw) -> str:
    lead = f"<p>{escape(block.lead)}</p>" if block.lead else ""
    kind = "wide" if block.wide else ""
    figures = "\n".join(
        f"<figure><h3>{escape(figure.title)}</h3>{draw(figure)}"
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in block.figures
    )
    return f'{lead}<div class="figures {kind}">{figures}</div>'


def table_html(table: Table) -> str:
    """Write one table as HTML.

    Cells of a table with many columns carry their column's name, for pages that show each row as a card where there is
    little room.

    >>> from foretaste.document.blocks import Column
    >>> table_html(Table((Column("task"), Column("accuracy")), ((Cell(("a<b",)), Cell(("0.500",))),)))
    '<div class="scroll"><table><thead><tr><th scope="col">task</th>...<td>a&lt;b</td><td>0.500</td>...'
    """
    title = f'<p class="note"><b>{escape(table.title)}</b></p>' if table.title else ""
    caption = f'<p class="note">{escape(table.caption)}</p>' if table.caption else ""
    if not table.headed:
        lines = "".join(
            f'<tr><th scope="row">{_cell_html(name)}</th><td>{_cell_html(value)}</td></tr>'
            for name, value in table.rows
        )
        return f'{title}<table class="lines">{lines}</table>{caption}'
    names = [escape(name) for name in flat_columns(table)]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    is_wide = len(names) > _FITTING
    tags = [f'<td data-label="{name}">' if is_wide else "<td>" for name in names]
    body = "\n".join(
        "<tr>"
        + "".join(f"{tag}{_cell_html(cell)}</td>" for tag, cell in zip(tags, flat_row(table, row), strict=True))
        + "</tr>"
        for row in table.rows
    )
    kind = ' class="cards"' if is_wide else ""
    return (
        f'{title}<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>{caption}"
    )


def _cell_html(cell: Cell) -> str:
    text = escape(" ".join(cell.parts))
    if cell.share is not None:
        text = f'<span class="bar"><span style="width:{100 * cell.share:.4g}%"></span></span> {text}'
    tags = {
        "strong": f"<b>{text}</b>",
        "quiet": f"<small>{text}</small>",
        "warning": f'<span class="warn">{text}</span>',
    }
    return tags.get(cell.tone, text)


def flat_columns(table: Table, glue: str = " ", parts: int | None = None) -> list[str]:
    """Name a column for every part of a table's cells.

    Args:
        table: The table.
        glue: Text between the names of column and part.
        parts: How many parts of each cell count; all if left out.

    >>> from foretaste.document.blocks import Column
    >>> table = Table((Column("made by"), Column("a", ("weight", "f1")), Column("b", ("weight", "f1"))), (), apart=True)
    >>> flat_columns(table)
    ['made by', 'weight a', 'weight b', 'a f1', 'b f1']
    """
    names = []
    for place, part in _places(table, parts):
        column = table.columns[place]
        words = [column.name] if part is None else [column.name, column.parts[part]]
        names.append(glue.join(reversed(words) if table.apart and part == 0 else words))
    return names


def flat_row(table: Table, row: Sequence[Cell], parts: int | None = None) -> list[Cell]:
    """Split a row's cells into a cell for every part, as `flat_columns` names them.

    Args:
        table: The table of the row.
        row: A cell for each column.
        parts: How many parts of each cell count; all if left out.

    >>> from foretaste.document.blocks import Column
    >>> table = Table((Column("a", ("weight", "f1")),), ())
    >>> flat_row(table, [Cell(("50%", "0.9"))])
    [Cell(parts=('50%',), tone='', share=None), Cell(parts=('0.9',), tone='', share=None)]
    """
    return [
        row[place] if part is None else replace(row[place], parts=(row[place].parts[part],))
        for place, part in _places(table, parts)
    ]


def _places(table: Table, parts: int | None) -> list[tuple[int, int | None]]:
    """List each column with each part that it shows, in order; the part is None if the column has no parts."""
    pairs: list[tuple[int, int | None]] = []
    first = [(place, 0) for place, column in enumerate(table.columns) if column.parts]
    for place, column in enumerate(table.columns):
        if not column.parts:
            pairs.append((place, None))
            continue
        if table.apart and (place, 0) == first[0]:
            pairs += first
        pairs += [(place, part) for part in range(int(table.apart), len(column.parts[:parts]))]
    return pairs
