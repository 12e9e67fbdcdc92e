import pytest

from foretaste.errors import TaskError
from foretaste.names import check_name


@pytest.mark.parametrize("name", ["news", "en-de", "gsm8k_2", "Zähne", "新聞", "[bold]", "a" * 64, "Mean"])
def test_names_that_can_be_used(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty name"),
        ("a" * 65, "has 65 characters, more than 64"),
        ("a" * 600, "has 600 characters"),
        ("a\0b", r"has '\\x00'"),
        ("a\x1b[31m", r"has '\\x1b'"),
        ("\u202eabc", r"has '\\u202e'"),
        ("a\u200bb", r"has '\\u200b'"),
        ("a b", "has ' '"),
        ("a\nb", r"has '\\n'"),
        ("a,b", "has ','"),
        ("a/b", "has '/'"),
        ("..", r"has '\.'"),
        ("a=1", "has '='"),
        ("a>b", "has '>'"),
        ("a+b", r"has '\+'"),
        ("$(x)", r"has '\$'"),
        ("-x", "begins with '-'"),
        *((name, "means something else") for name in ("all", "uniform", "mean", "worst", "knee", "front", "(base)")),
    ],
)
def test_names_that_cannot(name: str, reason: str) -> None:
    with pytest.raises(TaskError, match=reason) as caught:
        check_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
