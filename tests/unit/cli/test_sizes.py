import pytest
import typer

from foretaste.cli.sizes import finite, size
from foretaste.errors import StudyError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GiB", 2 << 30),
        ("1.5MiB", 3 << 19),
        ("64K", 64 << 10),
        ("1T", 1 << 40),
        (" 3 GB ", 3 * 10**9),
        ("5kB", 5000),
        ("100B", 100),
        ("7", 7),
    ],
)
def test_numbers_with_units(text: str, expected: int) -> None:
    assert size(text, "--memory") == expected


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "0", "0.0 MiB", "2 gigs", "1e9", "2GiB of it"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(
        StudyError, match=r"--memory .* is not a size; write a number above 0 and a unit, for example --memory 2GiB"
    ):
        size(text, "--memory")


@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000 + "GiB", "2000TiB"])
def test_more_than_any_machine_has(text: str) -> None:
    with pytest.raises(StudyError, match="is more than any machine has; give at most 1024TiB"):
        size(text, "--memory")


def test_numbers_that_are_none() -> None:
    assert finite(None) is None
    assert finite(3.0) == 3.0
    with pytest.raises(typer.BadParameter, match="nan is not a number"):
        finite(float("nan"))
