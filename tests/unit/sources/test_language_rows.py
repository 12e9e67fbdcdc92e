from collections.abc import Mapping

import datasets
import pytest

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.sources.language_rows import encode_rows
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.tokens import Tokens


@pytest.fixture
def tokens(checkpoints: Checkpoints) -> Tokens:
    tokenizer = tokenizer_at(str(checkpoints.gpt2))
    return Tokens(tokenizer, 64, len(tokenizer))


def test_every_row_is_coded(tokens: Tokens) -> None:
    rows = datasets.Dataset.from_dict({"q": ["one", ""], "a": ["two", "three"]})
    found = encode_rows(rows, {"prompt": "q", "completion": "a"}, "a.csv", tokens)
    assert len(found) == 2
    assert not any(row.cut or row.masked for row in found.rows)


@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        ({"prompt": "q", "completion": "a"}, {"q": ["x"], "a": [" "]}, "row 1 of a.csv has no text in column 'a'"),
        ({"text": "t"}, {"t": [3]}, "row 1 of a.csv has int in column 't' where a text is expected"),
    ],
)
def test_a_row_without_text_is_named(
    tokens: Tokens, columns: Mapping[str, str], values: Mapping[str, list[object]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        encode_rows(datasets.Dataset.from_dict(dict(values)), columns, "a.csv", tokens)
