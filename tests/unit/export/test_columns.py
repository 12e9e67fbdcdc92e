from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pytest

from checkpoints import image_folder, parquet
from foretaste.errors import DataError
from foretaste.export.columns import binary_columns, open_rows, table_of, unite_columns, weight_notes
from foretaste.sources.data import read_rows
from foretaste.sources.row_warnings import row_digests

TEXT, NUMBER = datasets.Value("string"), datasets.Value("int64")


def rows_of(rows: Sequence[Mapping[str, object]]) -> datasets.Dataset:
    return open_rows(rows, {}, "task a")


def features_of(**tasks: object) -> dict[str, datasets.Features]:
    """One column x of these types."""
    return {task: datasets.Features(x=kind) for task, kind in tasks.items()}


class TestOpened:
    def test_columns_of_any_row_are_kept(self) -> None:
        found = rows_of([{"x": 1}, {"y": "b"}])
        assert found[:].to_pylist() == [{"x": 1, "y": None}, {"x": None, "y": "b"}]

    def test_names_may_be_swapped(self) -> None:
        found = open_rows([{"a": 1, "b": 2}], {"a": "b", "b": "a"}, "task a")
        assert found[:].to_pylist() == [{"b": 1, "a": 2}]

    def test_a_name_that_is_taken_is_refused(self) -> None:
        with pytest.raises(
            DataError, match="column 'q' of task a would be written as 'prompt', which it has already; rename or remove"
        ):
            open_rows([{"q": "x", "prompt": "y"}], {"q": "prompt"}, "task a")

    def test_values_of_several_types_are_refused_with_the_column(self) -> None:
        with pytest.raises(
            DataError, match=r"column 'y' of task a has values of several types: .*; give them one type"
        ):
            rows_of([{"x": 1, "y": 1}, {"x": 2, "y": "a"}])

    @pytest.mark.parametrize("rows", [[], datasets.Dataset.from_dict({"x": []})])
    def test_no_rows(self, rows: object) -> None:
        with pytest.raises(DataError, match="task a has no rows"):
            open_rows(rows, {}, "task a")


class TestUnited:
    def test_one_type_is_kept_as_it_is(self) -> None:
        label = datasets.ClassLabel(names=["neg", "pos"])
        assert unite_columns(features_of(a=label, b=label)) == (datasets.Features(x=label), [])

    def test_numbers_become_the_wider_ones(self) -> None:
        found, _ = unite_columns(features_of(a=datasets.Value("int32"), b=NUMBER, c=datasets.Value("float64")))
        assert found["x"] == datasets.Value("float64")

    def test_a_column_that_is_all_null_takes_any_type(self) -> None:
        assert unite_columns(features_of(a=datasets.Value("null"), b=TEXT))[0]["x"] == TEXT

    def test_messages_may_have_further_fields_and_another_order(self) -> None:
        one = rows_of([{"m": [{"role": "user", "content": "hi"}]}])
        other = rows_of([{"m": [{"content": "yo", "name": "Ada", "role": "user"}]}])
        found, _ = unite_columns({"a": one.features, "b": other.features})
        assert table_of(one, [0], found).to_pylist() == [{"m": [{"role": "user", "content": "hi", "name": None}]}]
        assert table_of(other, [0], found).to_pylist() == [{"m": [{"role": "user", "content": "yo", "name": "Ada"}]}]

    def test_classes_numbered_differently_are_named(self) -> None:
        sets = {
            "a": datasets.ClassLabel(names=["neg", "pos"]),
            "b": datasets.ClassLabel(names=["pos", "neg"]),
            "c": TEXT,
        }
        found, notes = unite_columns(features_of(**sets))
        assert (found["x"], notes) == (
            TEXT,
            ["column 'x' has the names of classes, since tasks number them differently"],
        )
        for task, values in (("a", [1, 0, -1]), ("b", [0, 1, -1]), ("c", ["pos", "neg", None])):
            rows = open_rows(datasets.Dataset.from_dict({"x": values}, features=features_of(**sets)[task]), {}, task)
            assert table_of(rows, [0, 1, 2], found).to_pylist() == [{"x": "pos"}, {"x": "neg"}, {"x": None}]

    @pytest.mark.parametrize(
        "kinds",
        [
            (TEXT, NUMBER),
            (TEXT, [TEXT]),
            (TEXT, datasets.Value("binary")),
            (NUMBER, datasets.ClassLabel(names=["neg", "pos"])),
            (datasets.Image(), TEXT),
            ({"y": TEXT}, {"y": NUMBER}),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, kinds: tuple[object, object]) -> None:
        for one, other in (kinds, kinds[::-1]):
            with pytest.raises(
                DataError,
                match=r"column 'x' is not of one type in all tasks \(a: .*; b: .*\); rename it .*or give it one type",
            ):
                unite_columns(features_of(a=one, b=other))

    def test_pictures_decoded_differently_are_pictures(self) -> None:
        assert unite_columns(features_of(a=datasets.Image(), b=datasets.Image(mode="RGB")))[0]["x"] == datasets.Image()


def test_pictures_that_rows_point_at_are_taken_in(tmp_path: Path) -> None:
    rows = open_rows(read_rows(str(image_folder(tmp_path / "i", 2, 0, ["cat", "dog"])), "train", None), {}, "a")
    picture = table_of(rows, [1], rows.features).to_pylist()[0]["image"]
    assert picture["bytes"] == (tmp_path / "i" / "dog" / "1.png").read_bytes()
    assert binary_columns(rows.features) == ["image"]
    (tmp_path / "i" / "dog" / "1.png").unlink()
    with pytest.raises(DataError, match=r"a file that rows point at cannot be read: .*1\.png"):
        table_of(rows, [1], rows.features)


def test_digests_are_of_the_content(tmp_path: Path) -> None:
    """Of pictures whatever their files are called, and of classes whatever their numbers."""
    folder = open_rows(read_rows(str(image_folder(tmp_path / "i", 4, 0, ["cat", "dog"])), "train", None), {}, "a")
    file = open_rows(read_rows(str(parquet(tmp_path / "p.parquet", 4, 0, ["cat", "dog"])), "train", None), {}, "b")
    pixels = [set(row_digests(each, ["image", "label"])) for each in (folder, file)]
    assert len(pixels[0]) == len(pixels[1]) == 4
    again = open_rows(read_rows(str(image_folder(tmp_path / "j", 4, 0, ["cat", "elk"])), "train", None), {}, "a")
    shared = set(row_digests(folder, ["image", "label"])) & set(row_digests(again, ["image", "label"]))
    assert len(shared) == 2  # the cats
    assert set(row_digests(folder, ["image"])) == set(row_digests(again, ["image"]))


def test_answers_that_other_trainers_would_learn_are_noted() -> None:
    question, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    for weights, noted in (((1, 0), True), ((0, 1), False), ((None, None), False)):
        chat = [{**message, "weight": weight} for message, weight in zip((question, answer), weights, strict=True)]
        found = weight_notes(
            "a",
            open_rows(
                [{"messages": [{**question, "weight": 1}, {**answer, "weight": 1}]}, {"messages": chat}], {}, "a"
            ),
        )
        assert bool(found) is noted
    for rows in ([{"messages": [question, answer]}], [{"text": "a"}]):
        assert weight_notes("a", open_rows(rows, {}, "a")) == []
