import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from foretaste.errors import DataError
from foretaste.sources.run_tables import TableSource, read_table

ROWS = [{"web": 0.5, "qa.f1": 0.25}, {"web": 1.0, "qa.f1": 0.5}]


class Frame:
    """As much of a data frame of pandas as is used."""

    columns = ("web", "qa.f1")

    def to_dict(self, orient: str, /) -> list[dict[object, object]]:
        assert orient == "records"
        rows: list[dict[object, object]] = [{}, {}]
        for filled, row in zip(rows, ROWS, strict=True):
            filled.update(row)
        return rows


def written(folder: Path, ending: str) -> Path:
    path = folder / f"runs.{ending}"
    if ending == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps({"web": row["web"], "qa": {"f1": row["qa.f1"]}}) + "\n" for row in ROWS))
    else:
        comma = "," if ending == "csv" else "\t"
        path.write_text("\n".join([comma.join(ROWS[0]), *(comma.join(map(str, row.values())) for row in ROWS)]))
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_files_of_every_kind_are_read(ending: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, ending))
    assert table.columns == ("web", "qa.f1")
    assert [[float(str(cell)) for cell in cells.values()] for _, cells in table.rows] == [[0.5, 0.25], [1.0, 0.5]]


@pytest.mark.parametrize("source", [Frame(), datasets.Dataset.from_list(ROWS), pa.Table.from_pylist(ROWS), ROWS])
def test_tables_in_memory_are_read(source: TableSource) -> None:
    table = read_table(source)
    assert [dict(cells) for _, cells in table.rows] == ROWS
    assert [place for place, _ in table.rows] == ["row 1", "row 2"]


def test_empty_cells_are_left_out_and_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffweb,f1\n1.0,\n\n , 0.5\n")
    assert [(place, dict(cells)) for place, cells in read_table(path).rows] == [
        ("line 2", {"web": "1.0"}),
        ("line 4", {"f1": " 0.5"}),
    ]
    assert [dict(cells) for _, cells in read_table([{"a": float("nan"), "b": None, "c": 1}]).rows] == [{"c": 1}]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"x", "no table that can be read"),
        ("a.csv", b"a,a\n1,2\n", "has two columns 'a'"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2 has more cells"),
        ("a.csv", b"a,b\n", "has no rows"),
        ("a.csv", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2 is no object"),
        ("a.jsonl", b"{a}\n", "line 1 cannot be read as JSON"),
        ("a.parquet", b"PAR1nonsense", "is no Parquet file"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_table(tmp_path / name)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none.csv: No such file"):
        read_table(tmp_path / "none.csv")


class PolarsFrame:
    """As much of a data frame of Polars as is used."""

    columns = ("web", "qa.f1")

    def to_dicts(self) -> list[dict[str, object]]:
        return [dict(row) for row in ROWS]

    def to_dict(self, *, as_series: bool = True) -> dict[str, list[object]]:
        raise AssertionError(f"columns are not rows: {as_series}")


def test_a_frame_of_polars_is_read_by_rows() -> None:
    assert [dict(cells) for _, cells in read_table(PolarsFrame()).rows] == ROWS


@pytest.mark.parametrize("cell", ["NaN", " na ", "null", "", None, float("nan"), np.float32("nan")])
def test_cells_that_say_so_are_empty(cell: object) -> None:
    assert dict(read_table([{"web": 0.5, "qa": cell}]).rows[0][1]) == {"web": 0.5}


def test_rows_are_mappings() -> None:
    with pytest.raises(DataError, match="a row of the table is no mapping"):
        read_table([1])  # type: ignore[list-item]
