"""Sequences and mappings of results, and what is missing without pandas."""

import sys

import pytest

from foretaste.document.blocks import Note, Section
from foretaste.errors import MissingExtra
from foretaste.readable import Readable, ReadableMapping, ReadableSequence, View, register_view, sections_of


class Words(ReadableSequence[str]):
    pass


class Counts(ReadableMapping[int]):
    pass


class Answer(Readable):
    pass


register_view(
    Answer, View(lambda answer: {"answer": 42}, lambda answer: [Section("", (Note("42"),))], lambda answer: [{"x": 42}])
)


def test_a_sequence_is_immutable_and_equal_to_one_of_the_same_items() -> None:
    words = Words(["a", "b", "c"])
    assert (len(words), words[0], words[-1]) == (3, "a", "c")
    assert words[1:] == Words(["b", "c"])
    assert isinstance(words[1:], Words)
    assert words == ["a", "b", "c"]
    assert words != "abc"
    assert len({words, Words(["a", "b", "c"])}) == 1
    assert repr(words) == "Words(3)"


def test_a_mapping_keeps_its_order() -> None:
    counts = Counts({"b": 1, "a": 2})
    assert (list(counts), counts["a"], len(counts)) == (["b", "a"], 2, 2)
    assert repr(counts) == "Counts(b, a)"


def test_a_result_is_read_by_the_view_of_its_type() -> None:
    assert Answer().to_dict() == {"answer": 42}
    assert "42" in Answer()._repr_html_()
    assert sections_of(Answer())[0].blocks == (Note("42"),)
    assert Answer().to_pandas().to_dict("records") == [{"x": 42}]


def test_a_missing_pandas_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install 'foretaste\[pandas\]'"):
        Answer().to_pandas()
