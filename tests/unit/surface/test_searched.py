import pytest

from foretaste.errors import WeightsError
from foretaste.surface.searched import Budget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("joint=5,previews=100", Budget()),
        (" previews = 20 ", Budget(joint=0, previews=20)),
        ("sharpened=3,joint=0", Budget(joint=0, sharpened=3)),
    ],
)
def test_parse_and_back(text: str, expected: Budget) -> None:
    found = Budget.parse(text)
    assert found == expected
    assert Budget.parse(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "joint", "joint=", "joint=-1", "joint=1.5", "runs=3", "joint=1,joint=2", "joint=1,,previews=3"]
)
def test_what_cannot_be_read_shows_how(text: str) -> None:
    with pytest.raises(WeightsError, match="write for example joint=5,previews=100,sharpened=10"):
        Budget.parse(text)
