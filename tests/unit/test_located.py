import time

import pytest

from foretaste.errors import RecipeError
from foretaste.located import line_of, load_yaml

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
    assert load_yaml(TEXT, "r.yaml")["tasks"]["movies"]["labels"] == ["bad", "good"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml, line 3: 'a' is already there in line 1; give it another name"),
        ("a:\n  - {b: 1, c: 2}\n  - b: 1\n    b: 2\n", "r.yaml, line 4: 'b' is already there in line 3"),
        ("a: [1\nb: 2\n", "r.yaml, line 2: not valid YAML"),
        ("a: \x00", "r.yaml: not valid YAML"),
        ("? [a, b]\n: c\n", "r.yaml, line 1: not valid YAML: found unhashable key"),
        ("- a\n- b\n", "r.yaml is empty or not a mapping; `foretaste init` writes one"),
        ("", "r.yaml is empty or not a mapping"),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            "r.yaml, line 1: not valid YAML: could not determine a constructor",
        ),
    ],
)
def test_faults_are_placed(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_yaml(text, "r.yaml")
    assert message in str(caught.value)


def test_equal_keys_of_different_parts_are_no_repeats() -> None:
    assert load_yaml("a: {c: 1}\nb: {c: 2}\nd: [{c: 1}, {c: 2}]\n", "r.yaml")["d"] == [{"c": 1}, {"c": 2}]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "by aliases of aliases; write them out"),
        ("a: &a [*a]", "line 1: an alias within what it stands for"),
        ("a: &a {b: {c: *a}}", "an alias within what it stands for"),
        ("a: " + "[" * 3000 + "]" * 3000, "line 1: nested more than 50 levels deep"),
        ("".join(" " * level + "a:\n" for level in range(3000)), "line 51: nested more than 50 levels deep"),
        ("a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("a: 2020-13-45", "not valid YAML: month must be in 1..12"),
        ("a: !!bool maybe", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: " + "x" * 10_000_001, "a recipe has at most 10000000"),
    ],
)
def test_hostile_yaml(text: str, words: str) -> None:
    start = time.monotonic()
    with pytest.raises(RecipeError) as caught:
        load_yaml(text, "recipe.yaml")
    assert words in str(caught.value)
    assert time.monotonic() - start < 10


def test_honest_aliases() -> None:
    text = "base: &base {train: a, labels: [1, 2]}\nnews: {<<: *base, text: t}\nothers: [*base, *base]"
    assert load_yaml(text, "r")["news"] == {"train": "a", "labels": [1, 2], "text": "t"}
