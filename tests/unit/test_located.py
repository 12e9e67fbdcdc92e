import pytest

from foretaste.errors import RecipeError
from foretaste.located import line_of, loaded

TEXT = """name: a
tasks:
  movies:
    train: a.csv
    labels:
      - bad
      - good
  news: {train: b.csv}
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ([], 1),
        (["name"], 1),
        (["tasks", "movies", "train"], 4),
        (["tasks", "movies", "labels", "1"], 7),
        (["tasks", "movies", "labels", "9"], 5),
        (["tasks", "movies", "validation"], 3),
        (["tasks", "news", "train", "str"], 8),
        (["nothing"], 1),
    ],
)
def test_lines_of_fields(field: list[str], line: int) -> None:
    assert line_of(TEXT, field) == line


def test_plain_values() -> None:
    assert loaded(TEXT, "r.yaml")["tasks"]["movies"]["labels"] == ["bad", "good"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml, line 3: 'a' is there already in line 1; give it another name"),
        ("a:\n  - {b: 1, c: 2}\n  - b: 1\n    b: 2\n", "r.yaml, line 4: 'b' is there already in line 3"),
        ("a: [1\nb: 2\n", "r.yaml, line 2: not valid YAML"),
        ("a: \x00", "r.yaml: not valid YAML"),
        ("? [a, b]\n: c\n", "r.yaml, line 1: not valid YAML: found unhashable key"),
        ("- a\n- b\n", "r.yaml is empty or not a mapping; `foretaste init` writes one"),
        ("", "r.yaml is empty or not a mapping"),
        ("a: !!python/object/apply:os.getcwd []\n", "r.yaml, line 1: not valid YAML: could not determine a constructor"),
    ],
)
def test_faults_are_placed(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded(text, "r.yaml")
    assert message in str(caught.value)


def test_equal_keys_of_different_parts_are_no_repeats() -> None:
    assert loaded("a: {c: 1}\nb: {c: 2}\nd: [{c: 1}, {c: 2}]\n", "r.yaml")["d"] == [{"c": 1}, {"c": 2}]
