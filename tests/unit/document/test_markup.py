"""HTML of blocks: everything is there, and every text is escaped."""

from html.parser import HTMLParser

import pytest

from foretaste.document.blocks import (
    Axis,
    Block,
    Cell,
    Chart,
    Code,
    Column,
    Figure,
    Figures,
    List,
    Note,
    Section,
    Table,
    cell_of,
    line_table,
)
from foretaste.document.markup import flat_columns, flat_row, html, table_html

HOSTILE = "<img src=x>\"'&"
PARTS = Table(
    (Column("made by"), Column("a", ("weight", "f1", "loss")), Column("b", ("weight", "f1", "loss")), Column("hash")),
    ((cell_of("simple"), Cell(("50%", "0.9", "0.1")), Cell(("50%", "0.8", "0.2")), cell_of("0f")),),
)
FIGURE = Figure("map-0", HOSTILE, Chart("plane", (Axis("x"), Axis("y")), ()), HOSTILE)
BLOCKS: list[Block] = [
    Note(HOSTILE, HOSTILE),
    Note(HOSTILE, HOSTILE, "warning"),
    Note(HOSTILE, tone="quiet"),
    Code(HOSTILE),
    List(HOSTILE, (HOSTILE,)),
    line_table(HOSTILE, {HOSTILE: HOSTILE}),
    Table((Column(HOSTILE),), ((cell_of(HOSTILE),),), HOSTILE, HOSTILE, folded=HOSTILE),
    Figures(HOSTILE, (FIGURE,)),
]


class Tags(HTMLParser):
    """Names of the tags, and whether they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_texts_are_escaped_and_tags_close(block: Block) -> None:
    text = html([Section(HOSTILE, (block,), first=True)], lambda figure: f"<div>{figure.name}</div>")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "img" not in tags.seen
    assert '<section class="first">' in text


def test_bars_are_as_long_as_their_share() -> None:
    table = Table(
        (Column("task"), Column("weight")),
        ((cell_of("a"), Cell(("100%",), share=1.0)), (cell_of("b"), Cell(("0%",), share=0.0))),
    )
    assert 'style="width:100%"></span></span> 100%' in table_html(table)
    assert 'style="width:0%"></span></span> 0%' in table_html(table)


def test_figures_are_left_out_where_nothing_draws_them() -> None:
    section = Section("The map", (Figures("lead", (FIGURE,), wide=True),))
    assert "figure" not in html([section])
    assert '<div class="figures wide"><figure>' in html([section], lambda _: "")


def test_parts_have_columns_of_their_own() -> None:
    assert flat_columns(PARTS) == ["made by", "a weight", "a f1", "a loss", "b weight", "b f1", "b loss", "hash"]
    assert [cell.parts for cell in flat_row(PARTS, PARTS.rows[0], 2)] == [
        ("simple",),
        ("50%",),
        ("0.9",),
        ("50%",),
        ("0.8",),
        ("0f",),
    ]


def test_first_parts_may_stand_together() -> None:
    apart = Table(PARTS.columns, PARTS.rows, apart=True)
    assert flat_columns(apart, "/") == ["made by", "weight/a", "weight/b", "a/f1", "a/loss", "b/f1", "b/loss", "hash"]
    assert len(flat_row(apart, apart.rows[0])) == 8
    assert flat_columns(apart, parts=2) == ["made by", "weight a", "weight b", "a f1", "b f1", "hash"]


def test_tones_are_marked() -> None:
    cells = tuple(Cell(("x",), tone) for tone in ("strong", "quiet", "warning"))
    text = table_html(Table((Column("a"),) * 3, (cells,)))
    assert "<b>x</b>" in text
    assert "<small>x</small>" in text
    assert '<span class="warn">x</span>' in text


def test_cells_of_a_wide_table_carry_their_columns_names() -> None:
    """A page shows each of its rows as a card where there is little room."""
    wide = Table(tuple(Column(f"{HOSTILE}{place}") for place in range(4)), ((cell_of("x"),) * 4,))
    assert '<table class="cards">' in table_html(wide)
    assert '<td data-label="&lt;img src=x&gt;&quot;&#x27;&amp;3">x</td>' in table_html(wide)
    narrow = Table(wide.columns[:3], ((cell_of("x"),) * 3,))
    assert "<table>" in table_html(narrow)
    assert "data-label" not in table_html(narrow)
