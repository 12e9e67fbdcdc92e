"""Text: sections as Rich renderables; who calls prints them."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from foretaste.document.blocks import Block, Code, Figures, List, Note, Section, Table
from foretaste.report.layout import STYLES, lay_out

__all__ = ["render"]


def render(sections: Sequence[Section], name: str = "") -> Group:
    """Lay sections out for a terminal: the first one in a frame, figures and text to copy left out.

    Args:
        sections: In reading order.
        name: What they are about, written into the frame.

    >>> render([Section("Time", (Note("3 s"),))]).renderables
    [<text 'Time' [] 'bold'>, <text '3 s' [] ''>]
    """
    parts: list[RenderableType] = []
    for place, section in enumerate(sections):
        blocks = _blocks(section)
        if section.first:
            title = Text(f"{name}: {section.title.lower()}" if name else section.title)
            parts.append(Panel(Group(*blocks), title=title, title_align="left", padding=(1, 2)))
        else:
            parts += [Text(section.title, "bold")] * bool(section.title) + blocks
        if place < len(sections) - 1:
            parts.append(Text())
    return Group(*parts)


def _blocks(section: Section) -> list[RenderableType]:
    """All blocks, with a blank line after each table that has another one or a paragraph below it."""
    lines: list[RenderableType] = []
    for place, block in enumerate(section.blocks):
        below_table = place and isinstance(section.blocks[place - 1], Table)
        if below_table and not (isinstance(block, Note) and block.tone == "quiet"):
            lines.append(Text())
        lines += _block(block)
    return lines


def _block(block: Block) -> list[RenderableType]:
    match block:
        case Note():
            return [_note(block)]
        case List():
            return [Text(f"{block.label}:", "bold"), *(Text(f"  {item}") for item in block.items)]
        case Table():
            return [lay_out(block)]
        case Code() | Figures():
            return []


def _note(note: Note) -> Text:
    if not note.label:
        return Text(note.text, STYLES[note.tone])
    label = "bold red" if note.tone == "warning" else "bold"
    return Text.assemble((f"{note.label}: ", label), (note.text, "dim" if note.tone == "quiet" else ""))
