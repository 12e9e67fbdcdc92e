"""The first shape that fits is shown, and no shape cuts a cell."""

import pytest
from rich.console import Console

from foretaste.report.fitting import Fitting, grid, listed

HEADER = ["method", "movies:\nerror", "single-\ntask"]
ROWS = [["diagonal", "0.0123", "0.987"], ["a-method-of-a-very-long-name", "0.5", "0.25"]]


def _shown(width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(Fitting((grid("A title that is longer than all", HEADER, ROWS), listed("", HEADER, ROWS))))
    return capture.get()


@pytest.mark.parametrize("width", [40, 44, 60, 200])
def test_no_number_is_cut(width: int) -> None:
    text = _shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(number in text for row in ROWS for number in row[1:])
    assert "\u2026" not in text


def test_the_widest_that_fits() -> None:
    lines = [line.split() for line in _shown(60).splitlines()]
    assert ROWS[0] in lines
    assert ROWS[1] in lines
    lines = [line.split() for line in _shown(40).splitlines()]
    assert ["diagonal", "movies:", "error", "0.0123"] in lines
    assert ["single-task", "0.987"] in lines


def test_within_something_narrower_than_the_console() -> None:
    wide, narrow = grid("", HEADER, ROWS), listed("", HEADER, ROWS)
    assert Fitting((wide, narrow)).chosen(Console(width=100), 30) is narrow
    assert Fitting((wide, narrow)).chosen(Console(width=100)) is wide


def test_cells_are_never_markup() -> None:
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(grid("", ["[b]"], [["[red]x[/red]"]]), listed("", ["[b]", "[i]"], [["[/]", "[u]"]]))
    assert all(text in capture.get() for text in ("[b]", "[red]x[/red]", "[/]", "[i]", "[u]"))
