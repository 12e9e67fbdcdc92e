"""Blocks are plain data."""

from foretaste.document.blocks import Cell, Column, Table, cell_of, line_table


def test_a_cell_is_made_of_a_text_and_stays_a_cell() -> None:
    assert cell_of("0.9", "strong") == Cell(("0.9",), "strong")
    assert cell_of(Cell(("a", "b")), "strong") == Cell(("a", "b"))


def test_lines_have_no_heading() -> None:
    table = line_table("Time", {"previews": "3 s"})
    assert (table.headed, len(table.columns), table.title) == (False, 2, "Time")
    assert [cell.parts[0] for cell in table.rows[0]] == ["previews", "3 s"]


def test_long_values_are_shown_in_one_line() -> None:
    assert "\n" not in repr(Table((Column("a"),), tuple((cell_of(str(place)),) for place in range(99))))
