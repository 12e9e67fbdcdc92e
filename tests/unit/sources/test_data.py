import json
from pathlib import Path

import datasets
import pytest

from checkpoints import image_folder, parquet, sentences, table
from foretaste.errors import DataError
from foretaste.sources.data import Part, check_columns, column, label_set, read_rows, refuse, rows_digest

ROWS = sentences(6, 1)


def read(path: Path, most: int | None = None) -> datasets.Dataset:
    return read_rows(str(path), "train", most)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_tables_of_text(tmp_path: Path, ending: str) -> None:
    rows = read(table(tmp_path / f"a.{ending}", ROWS))
    assert [dict(row) for row in rows] == ROWS
    assert len(read(tmp_path / f"a.{ending}", 4)) == 4
    assert len(read(tmp_path / f"a.{ending}", 99)) == 6


def test_one_json_array(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    assert [dict(row) for row in read(tmp_path / "a.json")] == ROWS


def test_parquet_and_image_folders_know_their_labels(tmp_path: Path) -> None:
    for rows in (
        read(parquet(tmp_path / "a.parquet", 6, 1, ["light", "dark"])),
        read(image_folder(tmp_path / "f", 6, 1, ["light", "dark"])),
    ):
        labels, known = label_set(rows, "label", "here")
        assert set(known) == {"light", "dark"}
        assert labels.count("light") == labels.count("dark") == 3
        assert column(rows, "image", "here")[0].size == (32, 32)


def test_labels_are_those_that_occur_numbers_before_texts() -> None:
    rows = datasets.Dataset.from_dict({"number": [10, 2, 2], "text": ["b", "a", "b"]})
    assert label_set(rows, "number", "here") == ([10, 2, 2], (2, 10))
    assert label_set(rows, "text", "here") == (["b", "a", "b"], ("a", "b"))


@pytest.mark.parametrize("labels", [[0.5, 1.0], [True, False], [[0], [1]]])
def test_labels_that_are_neither_text_nor_number(labels: list[object]) -> None:
    rows = datasets.Dataset.from_dict({"label": labels})
    with pytest.raises(
        DataError, match="in row 1 of here is neither text nor a whole number; name the label column with 'label'"
    ):
        label_set(rows, "label", "here")


def test_secret_labels_are_not_taken_for_the_last_class() -> None:
    features = datasets.Features({"label": datasets.ClassLabel(names=["no", "yes"])})
    rows = datasets.Dataset.from_dict({"label": [0, 1, -1]}, features=features)
    with pytest.raises(
        DataError, match="row 3 of here has the label number -1, which has no name; use a split with labels"
    ):
        label_set(rows, "label", "here")


def test_columns_are_whole() -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", None], "other": [1, 2]})
    assert column(rows, "other", "here") == [1, 2]
    with pytest.raises(DataError, match="here has no column 'label'; it has text, other"):
        column(rows, "label", "here")
    with pytest.raises(DataError, match="row 2 of here has no value in column 'text'; fill or remove it"):
        column(rows, "text", "here")


def test_a_column_that_cannot_be_decoded(tmp_path: Path) -> None:
    images = image_folder(tmp_path / "f", 4, 1, ["a", "b"])
    (images / "b" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="column 'image' of here cannot be decoded: UnidentifiedImageError"):
        column(read(images), "image", "here")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "does not exist; relative paths start at the recipe's folder"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "text,label\n", "a.csv has no rows"),
        ("a.parquet", "no parquet", "cannot be read as data: ArrowInvalid"),
        ("a.json", "[]", "a.json has no rows"),
        ("a.json", "{", "cannot be read as data: "),
        ("a.txt", "text", "is not a folder and its ending is not one of .jsonl"),
        ("no/such/folder", None, "is not a folder and its ending is not one of"),
    ],
)
def test_faults_are_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as data: EmptyDatasetError"):
        read(tmp_path)


def test_a_hub_that_cannot_be_reached() -> None:
    with pytest.raises(DataError, match="nobody/nothing cannot be read as data: "):
        read_rows("nobody/nothing", "train", None)


def test_digests_see_every_byte_and_the_number_of_rows(tmp_path: Path) -> None:
    file, images = table(tmp_path / "a.csv", ROWS), image_folder(tmp_path / "f", 4, 1, ["a", "b"])
    for where in (file, images):
        assert (
            rows_digest(str(where), read(where))
            == rows_digest(str(where), read(where))
            != rows_digest(str(where), read(where, 2))
        )
    before = rows_digest(str(file), read(file)), rows_digest(str(images), read(images))
    table(file, [*ROWS[:-1], {**ROWS[-1], "label": "bad"}])
    (images / "a" / "0.png").rename(images / "b" / "0.png")
    after = rows_digest(str(file), read(file)), rows_digest(str(images), read(images))
    assert set(before).isdisjoint(after)


def test_digests_of_rows_that_are_no_file() -> None:
    one, two = datasets.Dataset.from_dict({"a": [1]}), datasets.Dataset.from_dict({"a": [2]})
    assert rows_digest("hub/id", one) == rows_digest("hub/id", one) != rows_digest("hub/id", two)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n\n{"text": "b" "c"}\n',
            r"cannot be read as data: row 3 is no JSON \(Expecting ',' delimiter, column 14\)",
        ),
        ("b.jsonl", '{"text": "a"}\n' * 5 + "oops\n", "row 6 is no JSON"),
        ("e.jsonl", '{"text": "a"}\n\x00\n', "row 2 is no JSON"),
        ("c.jsonl", '{"text": "a"}\n["b"]\n', "row 2 is not a JSON object"),
        ("d.json", '{"text": "a"}\n{"text" "b"}\n', "in row 2$"),
    ],
)
def test_rows_are_counted_from_one(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_what_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rows = table(tmp_path / "a.jsonl", ROWS), datasets.Dataset.from_dict({"text": ["a"]})

    def closed(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    for method, where in (("open", path), ("read_bytes", tmp_path)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, closed)
            with pytest.raises(
                DataError, match=r"a\.jsonl cannot be read: Permission denied; let yourself read it, or name another"
            ):
                rows_digest(str(where), rows)


def test_all_missing_columns_are_told_at_once() -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    parts = [
        Part(("tasks", task, part), f"{task}-{part}.csv", rows) for task in "ab" for part in ("train", "validation")
    ]
    check_columns((part, ["text"]) for part in parts)
    with pytest.raises(DataError) as caught:
        check_columns(zip(parts, (["text"], ["txt", "label"], ["txt", "lab", "txt"], ["label"]), strict=True))
    assert caught.value.field == ("tasks", "a", "validation")
    assert str(caught.value).splitlines() == [
        "a-validation.csv has no column 'txt'; it has text, label",
        "tasks.b.train: b-train.csv has no columns 'txt', 'lab'; it has text, label",
    ]
    refuse([])
