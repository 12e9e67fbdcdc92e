from foretaste.export.part import Part


def test_rows_of_any_number_are_one_line() -> None:
    assert len(repr(Part([{"text": "x" * 1000}] * 1000, units_per_row=[1] * 1000))) < 200
