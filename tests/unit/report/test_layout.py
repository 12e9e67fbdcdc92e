"""The first shape that fits is shown, and no shape cuts a number."""

import pytest
from rich.console import Console

from foretaste.document.blocks import Cell, Column, Table, cell_of, line_table
from foretaste.report.layout import lay_out

ROWS = [["diagonal", "0.0123", "0.987"], ["a-method-of-a-very-long-name", "0.5", "0.25"]]
TABLE = Table(
    (Column("method"), Column("error of the movies"), Column("single-task")),
    tuple(tuple(map(cell_of, row)) for row in ROWS),
    title="A title that is longer than all",
)
PARTS = Table(
    (Column("made by"), *(Column(name, ("weight", "f1", "loss")) for name in "abc")),
    ((cell_of("simple"), *[Cell(("33.3%", "0.912", "0.345"))] * 3),),
    caption="caption",
    narrow_caption="Each cell: weight, then metric.",
    short_caption="Other metrics: --json.",
)


def _shown(table: Table, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(lay_out(table))
    return capture.get()


@pytest.mark.parametrize("width", [34, 44, 60, 200])
def test_no_number_is_cut(width: int) -> None:
    text = _shown(TABLE, width)
    assert max(map(len, text.splitlines())) <= width
    assert all(number in text for row in ROWS for number in row[1:])
    assert "\u2026" not in text


def test_the_widest_that_fits() -> None:
    lines = [line.split() for line in _shown(TABLE, 70).splitlines()]
    assert ROWS[0] in lines
    assert ROWS[1] in lines
    lines = [line.split() for line in _shown(TABLE, 34).splitlines()]
    assert ["diagonal", "error", "of", "the", "0.0123"] in lines or [
        "diagonal",
        "error",
        "of",
        "the",
        "movies",
        "0.0123",
    ] in lines
    assert ["single-task", "0.987"] in lines


def test_within_something_narrower_than_the_console() -> None:
    fitting = lay_out(TABLE)
    assert fitting.choose(Console(width=100), 20) is fitting.shapes[-1]
    assert fitting.choose(Console(width=100)) is fitting.shapes[0]


def test_parts_stand_beside_each_other_then_below_and_captions_follow() -> None:
    wide, fewer, stacked, listed = (_shown(PARTS, width) for width in (100, 60, 36, 26))
    assert ["simple", *["33.3%", "0.912", "0.345"] * 3] in [line.split() for line in wide.splitlines()]
    assert wide.splitlines()[-1].strip() == "caption"
    assert ["simple", *["33.3%", "0.912"] * 3] in [line.split() for line in fewer.splitlines()]
    assert "Other metrics: --json." in fewer
    assert ["simple", *["33.3%"] * 3] in [line.split() for line in stacked.splitlines()]
    assert "Each cell: weight, then metric." in " ".join(stacked.split())
    assert ["simple", "a", "33.3%", "0.912"] in [line.split() for line in listed.splitlines()]


def test_cells_are_never_markup() -> None:
    table = Table((Column("[b]"), Column("[i]")), ((cell_of("[red]x[/red]"), cell_of("[/]")),), "[u]")
    for width in (60, 30):
        assert all(text in _shown(table, width) for text in ("[b]", "[red]x[/red]", "[/]", "[i]", "[u]"))


def test_lines_without_a_heading() -> None:
    assert [line.split() for line in _shown(line_table("", {"previews": "3 s"}), 40).splitlines()] == [
        ["previews", "3", "s"]
    ]


def test_bars_are_drawn() -> None:
    table = Table((Column("task"), Column("weight")), ((cell_of("a"), Cell(("50%",), share=0.5)),))
    assert "\u2501" in _shown(table, 60)
