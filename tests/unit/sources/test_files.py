import gc
import json
import os
from pathlib import Path

import datasets
import pytest

from checkpoints import image_folder, parquet, sentences, table
from foretaste.errors import DataError
from foretaste.sources import files
from foretaste.sources.data import read_rows, rows_digest
from foretaste.sources.files import content_digest, lines_warning, read_folder, read_table

HARD_NAMES = ["d[1]", "d1", "a*b", "what?", "x::y", "{a,b}", "zip:", "sp ace", "ümlaut", "#1", "100%"]


def texts(path: Path) -> list[str]:
    return [str(row["text"]) for row in read_table(path)]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_a_file_that_is_replaced_under_the_same_time_stamp_gives_its_new_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    for text in ("before", "after!"):
        if ending == "parquet":
            datasets.Dataset.from_dict({"text": [text]}).to_parquet(str(path))
        elif ending == "json":
            path.write_text(json.dumps([{"text": text}]))
        else:
            table(path, [{"text": text}])
        os.utime(path, ns=(10**18, 10**18))
        assert texts(path) == [text]
    assert texts(path) == ["after!"]


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # datasets leaves its metadata file to the garbage collector
def test_labels_of_a_metadata_file_that_is_replaced_under_the_same_time_stamp(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "f", 4, 1, ["a", "b"])
    for label in ("one", "two"):
        names = [f"{'ab'[place % 2]}/{place}.png" for place in range(4)]
        (folder / "metadata.csv").write_text("file_name,kind\n" + "".join(f"{name},{label}\n" for name in names))
        os.utime(folder / "metadata.csv", ns=(10**18, 10**18))
        assert read_folder(folder)["kind"][:] == [label] * 4
    gc.collect()  # here, and not in the middle of another test


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
def test_a_path_is_a_path(tmp_path: Path, ending: str) -> None:
    for folder in HARD_NAMES:
        (tmp_path / folder).mkdir()
        for stem in HARD_NAMES:
            path, text = tmp_path / folder / f"{stem}.{ending}", f"{folder}/{stem}"
            if ending == "parquet":
                datasets.Dataset.from_dict({"text": [text]}).to_parquet(str(tmp_path / "written"))
                (tmp_path / "written").rename(path)
            else:
                table(path, [{"text": text}])
    for folder in HARD_NAMES:
        for stem in HARD_NAMES:
            assert texts(tmp_path / folder / f"{stem}.{ending}") == [f"{folder}/{stem}"]


def test_a_pattern_is_no_path(tmp_path: Path) -> None:
    table(tmp_path / "train1.jsonl", [{"text": "a"}])
    with pytest.raises(DataError, match=r"train\?\.jsonl does not exist"):
        read_rows(str(tmp_path / "train?.jsonl"), "train", None)


def test_a_folder_of_pictures_is_a_path_too(tmp_path: Path) -> None:
    for name in HARD_NAMES:
        folder = image_folder(tmp_path / name, 4, 1, ["c*t", "d[0]"])
        rows = read_folder(folder)
        assert rows.features["label"].names == ["c*t", "d[0]"]
        assert [image.size for image in rows["image"]] == [(32, 32)] * 4


def test_quotation_marks_of_tab_separated_files_are_text(tmp_path: Path) -> None:
    lines = ['"Good" news', '"Open', "plain", 'it"s'] * 10
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{place}\n" for place, text in enumerate(lines)))
    rows = read_table(path)
    assert list(rows["text"]) == lines
    assert list(rows["label"]) == list(range(40))
    assert lines_warning(path, len(rows)) == ()


def test_quotation_marks_count_where_they_are_told_to(tmp_path: Path) -> None:
    rows = [{"text": 'one\ttwo "three"', "label": "a"}, {"text": "line\nbreak", "label": "b"}]
    path = table(tmp_path / "a.tsv", rows)
    assert [dict(row) for row in read_table(path, quoted=True)] == rows
    (warning,) = lines_warning(path, 2)
    assert warning.endswith(
        "has 3 lines below its header, but 2 rows were read: fields hold line breaks, or a quotation mark is never"
        " closed"
    )
    assert lines_warning(table(tmp_path / "b.csv", sentences(5, 0)), 5) == ()
    assert (
        lines_warning(tmp_path / "none.csv", 5) == lines_warning(table(tmp_path / "c.jsonl", sentences(5, 0)), 4) == ()
    )


def test_the_digest_says_how_quotation_marks_were_read(tmp_path: Path) -> None:
    plain, marked = table(tmp_path / "a.tsv", sentences(4, 0)), tmp_path / "b.tsv"
    marked.write_text('text\tlabel\n"Good"\ta\n')
    for path, same in ((plain, True), (marked, False)):
        rows = read_table(path)
        assert (rows_digest(str(path), rows) == rows_digest(str(path), rows, quoted=True)) is same


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_words_that_pandas_takes_for_missing_values_are_texts(tmp_path: Path, ending: str) -> None:
    words = ["NA", "N/A", "null", "None", "nan", "NaN", "n/a", "<NA>", "#N/A", "-nan"]
    path = table(
        tmp_path / f"a.{ending}",
        [{"text": f"{word} is", "label": word} for word in words] + [{"text": "", "label": "x"}],
    )
    rows = read_table(path)
    assert list(rows["label"]) == [*words, "x"]
    assert rows["text"][-1] is None


@pytest.mark.parametrize("word", ["train", "test", "val", "dev", "ILSVRC2012_val_", "validation", "training-set"])
def test_every_picture_below_a_folder_belongs_to_it(tmp_path: Path, word: str) -> None:
    """Whatever its name and its folder's say, and in the order of the paths."""
    image_folder(tmp_path, 20, 1, ["cat", f"{word}_dog", "elk"])
    for place in range(0, 20, 3):
        (tmp_path / "cat" / f"{place}.png").rename(tmp_path / "cat" / f"{word}{place:03}.png")
    rows = read_rows(str(tmp_path), "train", None)
    expected = sorted(str(path) for path in tmp_path.rglob("*.png"))
    assert len(rows) == 20
    assert [image["path"] for image in rows.cast_column("image", datasets.Image(decode=False))["image"]] == expected
    names = rows.features["label"].names
    assert [names[label] for label in rows["label"]] == [Path(path).parent.name for path in expected]


def test_pictures_behind_links_and_hidden_files(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "f", 4, 1, ["a", "b"])
    elsewhere = image_folder(tmp_path / "g", 2, 1, ["c"])
    before = content_digest(folder)
    (folder / "c").symlink_to(elsewhere / "c")
    (folder / "c" / "round").symlink_to(folder)
    (folder / "a" / ".hidden.png").write_bytes(b"not a picture")
    rows = read_folder(folder)
    assert [rows.features["label"].names[place] for place in rows["label"]] == ["a", "a", "b", "b", "c", "c"]
    after = content_digest(folder)
    (elsewhere / "c" / "0.png").write_bytes((folder / "a" / "0.png").read_bytes() + b"more")
    assert len({before, after, content_digest(folder)}) == 3


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stamp = table(tmp_path / "a.csv", sentences(4, 0)), files._stamp
    calls: list[int] = []

    def changing(file: str) -> tuple[int, int, int]:
        calls.append(1)
        size, *times = stamp(file)
        return size + len(calls), times[0], times[1]

    monkeypatch.setattr(files, "_stamp", changing)
    with pytest.raises(DataError, match="changed while it was read; try again when it is complete"):
        read_table(path)
    monkeypatch.undo()
    assert len(read_table(path)) == 4


def test_parquet_knows_its_labels(tmp_path: Path) -> None:
    rows = read_table(parquet(tmp_path / "a.parquet", 4, 1, ["no", "yes"]))
    assert rows.features["label"].names == ["no", "yes"]
